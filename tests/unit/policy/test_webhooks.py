"""Webhooks: what is told to whom, in which order, and for how long it is tried."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import InvalidInput
from inferry.policy.webhooks import FIRST_S, GIVE_UP_S, HOLD, LONGEST_S, check_patterns, pick, seconds, settle, wants
from inferry.types.webhooks import EVENT_TYPES, Delivery, Event

EVENT = Event(type="rollout.step", subject="endpoints/fraud", at=0.0)


def delivery(number, due=0.0, tries=0):
    return Delivery(hook="ops", number=number, id=f"e{number}", event=EVENT, since=0.0, due=due, tries=tries)


@pytest.mark.parametrize(
    ("patterns", "type", "wanted"),
    [
        (["*"], "version.registered", True),
        (["rollout.*"], "rollout.step", True),
        (["rollout.*"], "rollouts.step", False),
        (["pipeline.stage.*"], "pipeline.stage.done", True),
        (["pipeline.stage.*"], "pipeline.done", False),
        (["version.failed", "rollout.aborted"], "rollout.aborted", True),
        (["version.failed"], "version.passed", False),
    ],
)
def test_patterns_name_types(patterns, type, wanted):
    assert wants(patterns, type) is wanted


@pytest.mark.parametrize("pattern", ["", "rollouts.*", "rollout", "rollout*", "*.step", "version.deleted", "Rollout.*"])
def test_a_pattern_that_matches_nothing_is_refused(pattern):
    with pytest.raises(InvalidInput):
        check_patterns([pattern])
    with pytest.raises(InvalidInput):
        check_patterns([])


def test_every_type_can_be_asked_for():
    assert check_patterns([*EVENT_TYPES, EVENT_TYPES[0]]) == EVENT_TYPES


def test_a_failing_event_holds_the_next_back_at_first_and_then_no_more():
    assert pick([delivery(1), delivery(2)], 0.0) == delivery(1)
    assert pick([delivery(1, due=9, tries=1), delivery(2)], 0.0) is None
    assert pick([delivery(1, due=9, tries=HOLD), delivery(2)], 0.0) == delivery(2)
    assert pick([delivery(1, due=9, tries=HOLD), delivery(2)], 9.0) == delivery(1, due=9, tries=HOLD)
    assert pick([], 0.0) is None


@given(status=st.integers(0, 599), tries=st.integers(1, 10**6), past=st.floats(0, 1e6), chance=st.floats(0, 1))
def test_only_success_and_410_and_time_end_it(status, tries, past, chance):
    found = settle(status, tries, 1000.0, 1000.0 + past, chance)
    if 200 <= status < 300:
        assert found.state == "delivered"
    elif status == 410 or past >= GIVE_UP_S:
        assert (found.state, bool(found.off)) == ("dead", status == 410)
    else:
        assert found.state == "waiting"
        wait = found.due - 1000.0 - past
        assert 0 <= wait <= LONGEST_S + 1e-6
        assert found.due <= 1000.0 + GIVE_UP_S


@given(chance=st.floats(0, 1))
def test_a_day_of_tries_is_neither_a_storm_nor_a_handful(chance):
    now, tries, waits = 0.0, 0, []
    while True:
        tries += 1
        found = settle(503, tries, 0.0, now, chance)
        if found.state == "dead":
            break
        waits.append(found.due - now)
        now = found.due
    assert now == GIVE_UP_S
    assert 20 <= tries <= 36
    assert FIRST_S / 2 <= waits[0] <= FIRST_S
    assert all(later > wait - 1e-6 for wait, later in pairwise(waits[:-1]))


def test_a_receiver_says_when_to_come_again():
    assert settle(429, 1, 0.0, 10.0, 1.0, "120").due == 130.0
    assert settle(503, 1, 0.0, 10.0, 1.0, "1").due == 15.0
    assert settle(503, 1, 0.0, 0.0, 1.0, "999999999").due == GIVE_UP_S
    assert seconds("Thu, 01 Jan 1970 00:02:00 GMT", 20.0) == 100.0
    assert seconds("Thu, 01 Jan 1970 00:00:10 GMT", 20.0) == 0.0


@given(st.text(max_size=40))
def test_a_header_of_nonsense_asks_for_nothing_impossible(text):
    assert seconds(text, 0.0) >= 0.0
