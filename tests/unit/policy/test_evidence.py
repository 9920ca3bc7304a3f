"""Evidence: e-values keep their promise exactly, and grow when there is a difference."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy.evidence import (
    TILTS,
    above,
    add,
    grow,
    likelier,
    more_bad,
    over_limit,
    p_value,
    quantile,
    record,
    slope,
    slower,
    total,
    worse_share,
)

BOUNDS = (1.0, 2.0, 4.0, 8.0)
counts = st.integers(0, 12)


@given(counts, counts, st.integers(0, 24))
def test_the_mean_of_a_groups_e_value_is_one_when_both_are_the_same(mine, other, bad):
    bad = min(bad, mine + other)
    ways = {
        x: math.comb(bad, x) * math.comb(mine + other - bad, mine - x)
        for x in range(max(0, bad - other), min(bad, mine) + 1)
    }
    whole = sum(ways.values())
    for place in range(len(TILTS)):
        mean = sum(way / whole * math.exp(more_bad(x, mine, bad - x, other)[place]) for x, way in ways.items())
        assert mean == pytest.approx(1.0, rel=1e-6)


def chances(of, share):
    return [math.comb(of, x) * share**x * (1 - share) ** (of - x) for x in range(of + 1)]


@given(
    st.integers(1, 9), st.integers(1, 9), st.floats(0, 0.95), st.floats(0, 1), st.floats(0.001, 0.9),
    st.sampled_from([0.0, 0.005, 0.1]),
)  # fmt: skip
def test_no_shares_that_are_allowed_make_the_mean_of_the_e_value_larger_than_one(
    mine, other, share, part, known, worse_by
):
    canary = part * min(1.0, share + worse_by)
    for place in range(len(TILTS)):
        mean = sum(
            a * b * math.exp(worse_share(x, mine, y, other, known, worse_by)[place])
            for x, a in enumerate(chances(mine, canary))
            for y, b in enumerate(chances(other, share))
        )
        assert mean <= 1 + 1e-6


@given(counts, counts, st.integers(0, 24))
def test_it_is_smaller_yet_where_the_canary_is_better(mine, other, bad):
    bad = min(bad, mine + other)
    ways = {
        x: math.comb(bad, x) * math.comb(mine + other - bad, mine - x) * 0.5**x
        for x in range(max(0, bad - other), min(bad, mine) + 1)
    }
    whole = sum(ways.values())
    for place in range(len(TILTS)):
        assert sum(w / whole * math.exp(more_bad(x, mine, bad - x, other)[place]) for x, w in ways.items()) <= 1 + 1e-6


@given(st.integers(0, 30), st.floats(0.01, 0.9))
def test_the_mean_of_the_e_value_of_a_limit_is_one_at_the_limit(of, limit):
    for place in range(len(TILTS)):
        mean = sum(
            math.comb(of, x) * limit**x * (1 - limit) ** (of - x) * math.exp(over_limit(x, of, limit)[place])
            for x in range(of + 1)
        )
        assert mean == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(("mine", "other"), [(0, 5), (5, 0), (0, 0)])
def test_a_window_with_one_side_only_says_nothing(mine, other):
    assert more_bad(mine, mine, other, other) == (0.0,) * len(TILTS)
    assert worse_share(mine, mine, other, other, 0.1, 0.1) == (0.0,) * len(TILTS)


def test_where_any_share_is_allowed_nothing_is_said():
    assert worse_share(9, 9, 0, 9, 0.9, 0.1) == (0.0,) * len(TILTS)


def test_looking_at_every_window_makes_false_alarms_no_more_than_alpha():
    rng = np.random.default_rng(5)
    alpha, alarms, runs = 0.05, 0, 400
    for _ in range(runs):
        log_e = ()
        for number in range(1, 121):
            share = rng.choice([0.02, 0.3])  # it moves for both
            mine, other = rng.integers(0, 20), rng.integers(0, 60)
            gains = more_bad(rng.binomial(mine, share), mine, rng.binomial(other, share), other)
            log_e = grow(log_e, gains, number, math.inf)
            if total(log_e) >= -math.log(alpha):
                alarms += 1
                break
    assert alarms / runs <= alpha


def test_a_fault_that_begins_late_is_found_almost_as_soon():
    def windows_until_found(good):
        log_e = ()
        for number in range(1, good + 500):
            bad = 0 if number <= good else 5
            log_e = grow(log_e, more_bad(bad, 20, 0, 80), number, 2.0)
            if total(log_e) > math.log(1000):
                return number - good
        raise AssertionError

    assert windows_until_found(0) <= 6
    assert windows_until_found(300) <= windows_until_found(0) + 7


def test_one_window_alone_never_decides():
    log_e = grow((), more_bad(500, 500, 0, 5000), 1, math.log(1000) / 3)
    assert total(log_e) < math.log(1000) / 3


@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=7, unique=True))
def test_records_of_values_in_any_order_have_a_mean_of_one(values):
    import itertools

    orders = list(itertools.permutations(values[:5]))
    for place in range(2):
        mean = 0.0
        for order in orders:
            log_e = sum(
                record(value, max(order[:at], default=0.0), at + 1, 0.0)[place] for at, value in enumerate(order)
            )
            mean += math.exp(log_e) / len(orders)
        assert mean == pytest.approx(1.0)


def test_a_group_that_fails_where_nothing_ever_failed_says_a_lot():
    assert max(worse_share(10, 20, 0, 100, 1e-5, 0.005)) > math.log(1000)
    assert max(worse_share(10, 200, 1, 200, 1e-3, 0.005)) > 2


def test_quantiles_lie_within_their_bucket():
    assert quantile((0, 10, 0, 0), BOUNDS, 0.5) == 1.5
    assert quantile((0, 0, 0, 0), BOUNDS, 0.5) == 0.0
    assert quantile((1, 1, 1, 1), BOUNDS, 1.0) == 8.0


def test_counts_over_a_limit_are_straight_within_a_bucket():
    assert above((0, 0, 8, 0), BOUNDS, [2.0, 3.0, 4.0]).tolist() == [8.0, 4.0, 0.0]


def test_slow_is_relative_to_what_slows_both():
    mine, other = slower((0, 5, 5, 0), (0, 50, 50, 0), BOUNDS, 0.5, 0.0)
    later = slower((0, 0, 5, 5), (0, 0, 50, 50), BOUNDS, 0.5, 0.0)
    assert (mine, other) == later == (5.0, 50.0)


def test_a_canary_that_is_slower_by_what_is_allowed_is_as_often_slow():
    bounds = tuple(2.0 ** (place / 4) for place in range(80))
    seconds = np.random.default_rng(0).lognormal(3, 0.5, 20_000)
    mine, other = (np.bincount(np.searchsorted(bounds, s), minlength=80) for s in (seconds * 1.2, seconds))
    slow, other_slow = slower(mine, other, bounds, 0.5, 0.2)
    assert slow == pytest.approx(other_slow, rel=0.02)


def test_the_rest():
    assert likelier((1, 9), (5, 5)) == (False, True)
    assert slope([0, 1, 2], [0, 2, 4]) == 2
    assert slope([1], [3]) == 0
    assert total(()) == 0
    assert add(-math.inf, 1.0) == 1.0
    assert p_value(-5) == 1.0
    assert 0 < p_value(1e6) < 1e-300
