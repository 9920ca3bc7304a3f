"""What counts as the same answer, and what as faster."""

from __future__ import annotations

import numpy as np
import pytest

from inferry.policy.equality import compare
from inferry.policy.speed import faster

NAN, INF = np.nan, np.inf

CASES = {
    "the same": ([1.0, 2.0], [1.0, 2.0], ""),
    "within": ([1.0, 100.0], [1.00001, 100.005], ""),
    "beyond": ([1.0, 100.0], [1.0, 100.1], "y differs in 1 of 2 rows, by up to 0.1"),
    "NaN is NaN": ([NAN, 1.0], [NAN, 1.0], ""),
    "NaN is no number": ([NAN, 1.0], [0.0, 1.0], "y differs in 1 of 2 rows, by up to inf"),
    "no number is NaN": ([0.0, 1.0], [NAN, 1.0], "y differs in 1 of 2 rows, by up to inf"),
    "infinities": ([INF, -INF], [INF, -INF], ""),
    "another infinity": ([INF], [-INF], "y differs in 1 of 1 rows, by up to inf"),
    "labels": (["a", "b"], ["a", "c"], "y differs in 1 of 2 rows, first 'c' instead of 'b'"),
    "whole numbers": ([1, 2, 3], [1, 2, 4], "y differs in 1 of 3 rows, first 4 instead of 3"),
    "another dtype": ([1.0], [1], "y is int64[1] instead of float64[1]"),
    "another shape": ([1.0], [[1.0]], "y is float64[1, 1] instead of float64[1]"),
}


def array(values):
    return np.array(values, dtype=object) if isinstance(values[0], str) else np.array(values)


@pytest.mark.parametrize("case", CASES)
def test_answers_are_compared(case):
    native, converted, said = CASES[case]
    assert compare({"y": array(native)}, {"y": array(converted)}, 1e-4, 1e-5).difference == said


def test_the_largest_difference_is_told_with_its_place():
    native = {"label": array([1, 2]), "p": np.array([[0.5, 0.5], [0.25, 0.75]])}
    converted = {"label": array([1, 2]), "p": np.array([[0.5, 0.5], [0.25, 0.75001]])}
    found = compare(native, converted, 1e-4, 1e-5)
    assert (found.difference, found.where) == ("", "p, row 1")
    assert found.largest == pytest.approx(1e-5)


def test_every_output_must_be_there():
    assert (
        "['p'] instead of ['p', 'q']" in compare({"p": array([1]), "q": array([1])}, {"p": array([1])}, 0, 0).difference
    )


def test_one_row_must_be_faster_and_no_batch_much_slower():
    assert faster({"1": 100.0, "8": 200.0}, {"1": 20.0, "8": 290.0}) == ""
    assert faster({"1": 100.0}, {"1": 101.0}) == "it is slower: 101 us for one row, natively 100 us"
    assert (
        faster({"1": 100.0, "8": 200.0}, {"1": 20.0, "8": 301.0}) == "it is slower: 301 us for 8 rows, natively 200 us"
    )
    assert faster({}, {"1": 20.0}) == ""
