"""For how long a replica stays that nobody asks: what is chosen, and that it costs little over what was best."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy import scale
from inferry.policy.idle import BINS, LONGEST_S, SHORTEST_S, UNKNOWN_S, Pauses, choose, counted, noted
from inferry.policy.scale import begin, decide
from inferry.types.scaling import AUTO, Scaling, Snapshot


def after(pauses):
    found, now = Pauses(), 0.0
    for count, pause in enumerate(pauses):
        now += pause
        found = counted(noted(found, pause, now, count), 1.0, now + 1.0, count)
    return found


def spent(pauses, keep_s, worth):
    """What a fixed time would have cost, in seconds of an idle replica."""
    return sum(pause if pause <= keep_s else keep_s + worth for pause in pauses)


@given(st.lists(st.floats(0, 1e6), max_size=80), st.floats(0, 600), st.floats(0, 1e5))
def test_whatever_came_the_choice_is_within_its_bounds_and_says_why(pauses, cold_start_s, price):
    keep = choose(after(pauses), cold_start_s, price)
    assert SHORTEST_S <= keep.seconds <= LONGEST_S
    assert keep.why
    assert len(after(pauses).weights) in (0, BINS)


def test_who_knows_no_pauses_keeps_it_for_as_long_as_a_start_is_worth():
    assert choose(Pauses(), 1.2, 100).seconds == 120
    assert choose(Pauses(), 0.03, 100).seconds == SHORTEST_S
    assert choose(Pauses(), 90.0, 100).seconds == LONGEST_S
    assert choose(Pauses(), 0.0, 100).seconds == UNKNOWN_S
    assert choose(Pauses(), 1.2, 100).why == "a start of 1.2 s costs as much as 120 s of an idle replica"


def test_pauses_that_are_all_a_little_longer_than_a_start_is_worth_are_not_waited_for():
    assert choose(after([150.0] * 40), 1.0, 100).seconds == SHORTEST_S


def test_pauses_that_are_shorter_are_and_no_longer_than_they_last():
    keep = choose(after([60.0] * 40), 10.0, 100)
    assert 60 <= keep.seconds <= 72
    assert keep.why.endswith("100 % of the longer pauses of late end before")


def test_late_pauses_count_more():
    pauses = [60.0] * 40
    assert choose(after(pauses), 2.0, 100).seconds >= 60
    assert choose(after(pauses + [1500.0] * 100), 2.0, 100).seconds == SHORTEST_S


def test_more_who_wait_make_a_start_worth_more():
    found, arrived = Pauses(), 0
    for pause in range(20):
        found = noted(found, 100.0, pause * 100.0, arrived + 1)
        found = counted(found, 2.0, pause * 100.0 + 1.0, arrived + 5)
        assert found.ended is not None, "it is not as long as a start yet"
        found = counted(found, 2.0, pause * 100.0 + 2.0, arrived + 9)
        arrived += 9
    assert found.more == 8
    assert choose(found, 2.0, 20).seconds >= 100
    assert choose(found._replace(more=0.0), 2.0, 20).seconds == SHORTEST_S
    assert "for which 9 requests wait, costs as much as 200 s" in choose(found, 2.0, 20).why


KINDS = {
    "every minute": lambda chance: 60.0,
    "every twenty minutes": lambda chance: 1200.0,
    "at random": lambda chance: chance.expovariate(1 / 200),
    "clumps": lambda chance: chance.expovariate(1 / 20) if chance.random() < 0.8 else chance.expovariate(1 / 2000),
    "two rhythms": lambda chance: 45.0 if chance.random() < 0.7 else 3000.0,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("worth", [5.0, 100.0, 900.0])
def test_it_costs_hardly_more_than_the_best_fixed_time_would_have(kind, worth):
    """The best one is known only afterwards, and is another one for each load."""
    chance = random.Random(7)
    pauses = [max(SHORTEST_S + 0.1, KINDS[kind](chance)) for _ in range(600)]
    found, cost = Pauses(), 0.0
    for pause in pauses:
        cost += spent([pause], choose(found, worth / 100, 100).seconds, worth)
        found = noted(found, pause, 0.0, 0)._replace(ended=None)
    fixed = {keep_s: spent(pauses, keep_s, worth) for keep_s in (10, 30, 60, 120, 300, 900, 1800, 3600)}
    assert cost <= 1.15 * min(fixed.values())


def test_an_endpoint_that_is_asked_each_minute_stays_and_one_that_is_asked_each_hour_does_not():
    scaling = Scaling(min_replicas=0, max_replicas=1, idle_timeout_s=AUTO)
    for gap, zeros in ((60, 0), (900, 9)):
        state, now, slept, last = begin(scaling, 1, 0.0), 0.0, 0, None
        for number in range(10):
            for second in range(gap):
                now += 1
                snapshot = Snapshot(arrived=number + (second > 0), waiting=0, ready=1, cold_start_s=1.5)
                decision = decide(snapshot, scaling, state, now)
                slept += decision.replicas < state.replicas
                state, last = decision.state, decision
        assert slept >= zeros if zeros else slept == 0
        assert last.figures.keep_why.startswith("a start of 1.5 s")
    assert scale.keeping(scaling, state, 1.5).seconds == SHORTEST_S
    assert last.reason == "nobody asks"
