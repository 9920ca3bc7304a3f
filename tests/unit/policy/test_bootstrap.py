"""Bootstrap: the interval is the same every time, covers what it should, and knows when rows say nothing."""

import math

import numpy as np
import pytest

from inferry.policy.bootstrap import paired


def test_the_same_rows_give_the_same_interval():
    values = np.random.default_rng(1).normal(size=200)
    first, again = (paired(lambda at: float(values[at].mean()), 200, 0.95) for _ in range(2))
    assert first == again
    assert first.low < first.value < first.high
    assert first.value == pytest.approx(values.mean())


def test_equal_models_differ_by_nothing():
    assert paired(lambda at: 0.0, 10, 0.95)[:3] == (0.0, 0.0, 0.0)


def test_the_interval_is_that_of_the_normal_distribution_where_that_holds():
    values = np.random.default_rng(2).normal(size=2000)
    found = paired(lambda at: float(values[at].mean()), 2000, 0.95)
    half = 1.96 * values.std() / math.sqrt(2000)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


def test_it_covers_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(60):
        values = np.random.default_rng(1000 + seed).normal(0.3, 1, size=150)
        found = paired(lambda at, values=values: float(values[at].mean()), 150, 0.9, seed=seed)
        held += found.low <= 0.3 <= found.high
    assert 0.78 <= held / 60 <= 0.98


def test_rows_that_define_nothing_give_no_interval():
    assert math.isnan(paired(lambda at: 1.0, 0, 0.95).value)
    assert math.isnan(paired(lambda at: math.nan, 5, 0.95).low)


def test_many_rows_are_drawn_less_often():
    assert paired(lambda at: 0.0, 700_000, 0.95).draws < 1000
