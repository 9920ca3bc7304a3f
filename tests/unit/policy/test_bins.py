"""Bins: what falls otherwise is seen, what does not is not."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy.bins import count, make
from inferry.types.feedback import Prediction


def distance(one, other):
    return sum(abs(a / sum(one) - b / sum(other)) for a, b in zip(one, other, strict=True)) / 2


def two(p):
    return Prediction(label="yes" if p > 0.5 else "no", scores={"no": 1 - p, "yes": p})


def drawn(kind, seed, *, moved=False, size=1500):
    rng = random.Random(seed)
    match kind:
        case "chances":
            return [two(rng.betavariate(3 if moved else 2, 5)) for _ in range(size)]
        case "numbers":
            return [Prediction(value=rng.lognormvariate(4, 1) * (1.3 if moved else 1)) for _ in range(size)]
        case "classes":
            weights = (2, 3, 5) if moved else (4, 3, 3)
            return [Prediction(label=label) for label in rng.choices("abc", weights, k=size)]
        case "whole":
            return [
                Prediction(label=n, value=float(n))
                for n in (int(rng.gauss(60 if moved else 50, 15)) for _ in range(size))
            ]
    shift = 0.15 if moved else 0.0
    return [
        Prediction(label="a", scores={"a": p, "b": 0.9 - p, "c": 0.1})
        for p in (rng.uniform(0.4, 0.7) + shift for _ in range(size))
    ]


@pytest.mark.parametrize("kind", ["chances", "numbers", "classes", "whole", "sure"])
def test_what_falls_otherwise_is_seen_and_what_does_not_is_not(kind) -> None:
    bins = make(drawn(kind, 1, size=1000))
    stable = count(bins, drawn(kind, 2))
    assert distance(stable, count(bins, drawn(kind, 3))) < 0.1
    assert distance(stable, count(bins, drawn(kind, 4, moved=True))) > 0.1


def test_swapped_classes_are_seen() -> None:
    bins = make(drawn("chances", 1))
    swapped = [two(1 - one.scores["yes"]) for one in drawn("chances", 2)]
    assert distance(count(bins, drawn("chances", 3)), count(bins, swapped)) > 0.4


def test_few_or_empty_answers_make_no_bins() -> None:
    assert make([]) is None
    assert make(drawn("chances", 1, size=49)) is None
    assert make([Prediction()] * 100) is None


def test_what_fits_no_bin_has_one_of_its_own() -> None:
    bins = make(drawn("classes", 1))
    assert count(bins, [Prediction(label="z"), Prediction(value=0.5), Prediction(), Prediction(label="a")]) == (
        1,
        0,
        0,
        2,
    )
    assert count(make(drawn("chances", 1)), [Prediction(label="x")])[-1] == 1


def test_many_classes_are_the_frequent_ones_and_the_rest() -> None:
    rng = random.Random(3)
    words = [Prediction(label=f"w{rng.randrange(40)}") for _ in range(1000)]
    bins = make(words)
    assert len(bins.labels) == 12
    assert sum(count(bins, words)) == 1000


ANY = st.builds(
    Prediction,
    label=st.one_of(st.none(), st.sampled_from(["a", 1, True, 2.5])),
    value=st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False)),
    scores=st.dictionaries(st.sampled_from("abc"), st.floats(0, 1), max_size=3),
)


@given(st.lists(ANY, min_size=50, max_size=80), st.lists(ANY, max_size=20))
def test_any_answers_are_counted_once_each(known, others) -> None:
    bins = make(known)
    if bins is not None:
        assert len(bins.edges) < 10
        assert sum(count(bins, others)) == sum(one != Prediction() for one in others)
