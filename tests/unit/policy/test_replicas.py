"""Replicas: which to start and which to stop."""

import itertools
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy.replicas import FIRST_DELAY_S, LAST_DELAY_S, Failures, Running, delay, plan, spread

GROUPS = st.sampled_from("abc")
counts = st.dictionaries(GROUPS, st.integers(0, 4))
fleets = st.lists(st.tuples(GROUPS, st.booleans()), max_size=14).map(
    lambda rows: [Running(f"r{number}", group, usable) for number, (group, usable) in enumerate(rows)]
)
deaths = st.dictionaries(GROUPS, st.builds(Failures, st.integers(0, 5000), st.floats(0, 100)))


def usable(running):
    return Counter(replica.group for replica in running if replica.usable)


@given(counts, fleets, counts, deaths, st.floats(0, 200))
def test_no_group_is_ever_started_over_what_is_wanted(wanted, running, starting, failures, now):
    decision = plan(wanted, running, starting, failures, now)
    have = usable(replica for replica in running if replica.id not in decision.stop)
    for group, count in Counter(decision.start).items():
        assert have[group] + starting.get(group, 0) + count <= wanted[group]


@given(counts, fleets, counts, deaths, st.floats(0, 200))
def test_a_wanted_group_never_loses_a_usable_replica_that_it_needs(wanted, running, starting, failures, now):
    decision = plan(wanted, running, starting, failures, now)
    before = usable(running)
    after = usable(replica for replica in running if replica.id not in decision.stop)
    for group, count in wanted.items():
        assert after[group] == min(before[group], count)


@given(counts, fleets, counts, deaths, st.floats(0, 200))
def test_silent_replicas_are_replaced_before_they_are_stopped(wanted, running, starting, failures, now):
    decision = plan(wanted, running, starting, failures, now)
    have = usable(running)
    for replica in running:
        if not replica.usable and replica.group in wanted:
            assert (replica.id in decision.stop) == (have[replica.group] >= wanted[replica.group])


@given(counts, fleets, counts, deaths, st.floats(0, 200))
def test_groups_that_nobody_wants_are_stopped(wanted, running, starting, failures, now):
    stop = plan(wanted, running, starting, failures, now).stop
    assert len(stop) == len(set(stop))
    assert {replica.id for replica in running if replica.group not in wanted} <= set(stop)


@given(counts, fleets, deaths)
def test_repeating_the_plan_converges_and_then_rests(wanted, running, failures):
    now, numbers = 0.0, itertools.count(1000)
    for _ in range(20):
        decision = plan(wanted, running, {}, failures, now)
        running = [replica for replica in running if replica.id not in decision.stop]
        running += [Running(f"r{next(numbers)}", group, True) for group in decision.start]
        now = max(now, decision.wake or now)
    assert plan(wanted, running, {}, failures, now) == ([], [], None)
    assert {group: count for group, count in wanted.items() if count} == usable(running)
    assert all(replica.usable for replica in running)


@given(counts, deaths, st.floats(0, 200))
def test_a_group_in_back_off_is_started_at_its_time_and_not_before(wanted, failures, now):
    decision = plan(wanted, [], {}, failures, now)
    due = {
        group: (f := failures.get(group, Failures())).last + delay(f.deaths) * spread(group, f.deaths)
        for group in wanted
    }
    assert set(decision.start) == {group for group, count in wanted.items() if count and due[group] <= now}
    waiting = [due[group] for group, count in wanted.items() if count and due[group] > now]
    assert decision.wake == (min(waiting) if waiting else None)


def test_groups_that_failed_together_are_not_tried_again_together():
    factors = {spread(("fraud", number), deaths) for number in range(50) for deaths in (3, 4)}
    assert len(factors) == 100
    assert all(0.75 <= factor < 1.25 for factor in factors)


def test_the_wait_doubles_up_to_its_limit_and_stays_there():
    assert [delay(number) for number in (0, 1, 2, 3, 4)] == [0, 0, FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S]
    for number in range(2, 300):
        assert delay(number + 1) == min(LAST_DELAY_S, 2 * delay(number))


@pytest.mark.parametrize("deaths", [1_000, 1_100, 1_000_000])
def test_a_model_that_has_died_for_days_is_still_tried_again(deaths):
    assert delay(deaths) == LAST_DELAY_S


def test_with_one_silent_and_two_good_ones_the_silent_one_goes():
    running = [Running("silent", "a", False), Running("one", "a", True), Running("two", "a", True)]
    for order in itertools.permutations(running):
        assert plan({"a": 2}, order, {}, {}, 0.0) == ([], ["silent"], None)
