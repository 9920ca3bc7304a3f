"""Sums over gateways: continuous, whichever of them starts again."""

from __future__ import annotations

from collections import Counter

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy import gateways
from inferry.types.scaling import Load
from inferry.types.traffic import FieldDifference, MirrorReport, RevisionCounters

NAME = ("fraud", 1)


def load(**fields):
    return Load(endpoint="fraud", revision=1, **fields)


def counted(ok, slow=0, mirror=None):
    return RevisionCounters(
        epoch=1, endpoint="fraud", revision=1, statuses={200: ok, 500: slow}, latency=(ok, slow), total_us=ok,
        mirror=mirror,
    )  # fmt: skip


def test_two_gateways_are_added_up():
    sums = gateways.loads()
    sums.hear(1, 7, {NAME: load()})
    sums.hear(2, 9, {NAME: load()})
    assert sums.hear(1, 7, {NAME: load(arrived=10, waiting=1, in_flight=2, busy_us=500, service_us=900.0)}) == {NAME}
    assert sums.hear(2, 9, {NAME: load(arrived=4, in_flight=3, busy_us=100, service_us=400.0, late=1.5)}) == {NAME}
    assert sums.total(NAME) == load(arrived=14, waiting=1, in_flight=5, busy_us=600, service_us=400.0, late=1.5), (
        "who sees most of a replica knows best how fast it is"
    )


def test_what_a_gateway_had_counted_before_it_was_heard_is_no_news():
    sums = gateways.loads()
    sums.hear(1, 7, {NAME: load(arrived=1000, waiting=2, in_flight=3, busy_us=10_000, late=5.0)})
    assert sums.total(NAME) == load(arrived=5, waiting=2, in_flight=3)
    sums.hear(2, 9, {NAME: load(arrived=10**9)})
    assert sums.total(NAME).arrived == 5, "nor what a second one had"
    sums.hear(1, 7, {NAME: load(arrived=1007, busy_us=10_500, late=6.0)})
    assert sums.total(NAME) == load(arrived=12, busy_us=500, late=1.0)


def test_one_that_starts_again_leaves_what_it_counted_and_nothing_under_way():
    sums = gateways.loads()
    other = ("other", 3)
    sums.hear(1, 7, {NAME: load(), other: load()})
    sums.hear(1, 7, {NAME: load(arrived=50, in_flight=4, busy_us=900), other: load(arrived=8, waiting=1)})
    assert sums.hear(1, 8, {NAME: load(arrived=2, in_flight=2)}) == {NAME, other}
    assert sums.total(NAME) == load(arrived=52, in_flight=2, busy_us=900)
    assert sums.total(other) == load(arrived=8)


def test_others_are_forgotten():
    sums = gateways.loads()
    sums.hear(1, 7, {NAME: load(), ("other", 1): load()})
    sums.keep([NAME])
    assert sums.total(NAME) == load()
    assert ("other", 1) not in sums.hear(1, 8, {NAME: load()})


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.booleans(), st.integers(0, 50), st.integers(0, 5)), min_size=1, max_size=40
    )
)
def test_counters_never_go_back(steps):
    """Gateways answer, are asked, and die at any time: each answer that was told of counts once, for ever."""
    sums, now, epochs, told = gateways.counters(), {}, Counter(), Counter()
    before = 0
    for gateway, dies, ok, failed in steps:
        if dies:
            epochs[gateway] += 1
            now.pop(gateway, None)
        one = now.get(gateway, counted(0))
        now[gateway] = counted(one.statuses[200] + ok, one.statuses[500] + failed)
        told.update({200: ok, 500: failed})
        sums.hear(gateway, epochs[gateway] + 1, {NAME: now[gateway]})
        total = sums.total(NAME)
        assert total.statuses == {200: told[200], 500: told[500]}
        assert (total.latency, total.total_us) == ((told[200], told[500]), told[200])
        assert sum(total.statuses.values()) >= before
        before = sum(total.statuses.values())


def test_reports_of_copies_are_added_and_the_parts_stay_as_they_were():
    one = MirrorReport(
        compared=10, equal=9, failed=1, fields={"y": FieldDifference(values=10, differing=1, largest=2.0)}
    )
    other = MirrorReport(compared=5, equal=5, dropped=2, fields={"y": FieldDifference(values=5, largest=0.5)})
    kept = msgspec.json.encode(one)
    total = gateways.add_counters(counted(1, mirror=one), counted(2, mirror=other)).mirror
    assert (total.compared, total.equal, total.failed, total.dropped) == (15, 14, 1, 2)
    assert total.fields == {"y": FieldDifference(values=15, differing=1, largest=2.0)}
    assert msgspec.json.encode(one) == kept
    assert gateways.add_reports(None, one) is one
