"""Routing: revision by weight, replica by load."""

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy import route
from inferry.types.traffic import PLACES

places = st.integers(0, PLACES - 1)


@st.composite
def splits(draw):
    """Weights that sum to 100, of revisions 1 to 5."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), max_size=4)))
    sizes = [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]
    return dict(zip(draw(st.permutations(range(1, len(sizes) + 1))), sizes, strict=True))


def owned(runs):
    """The owner of every place."""
    return [revision for revision, size in runs for _ in range(size)]


@given(st.lists(splits(), min_size=1, max_size=6))
def test_each_revision_owns_exactly_its_share_after_any_history(history):
    runs = ()
    for weights in history:
        runs = route.assign(runs, weights)
        counts = Counter(owned(runs))
        assert counts == {number: weight * 100 for number, weight in weights.items() if weight}


@given(st.lists(splits(), min_size=2, max_size=6))
def test_a_revision_whose_weight_does_not_shrink_keeps_every_place(history):
    runs = route.assign((), history[0])
    for before, after in pairwise(history):
        new = route.assign(runs, after)
        for old_owner, new_owner in zip(owned(runs), owned(new), strict=True):
            assert old_owner == new_owner or after.get(old_owner, 0) < before[old_owner]
        runs = new


@given(splits(), splits())
def test_no_more_places_move_than_the_weights_demand(before, after):
    runs = route.assign((), before)
    moved = sum(old != new for old, new in zip(owned(runs), owned(route.assign(runs, after)), strict=True))
    assert moved == sum(max(0, weight - after.get(number, 0)) for number, weight in before.items()) * 100


@given(splits(), places)
def test_owners_agree_with_the_runs(weights, place):
    runs = route.assign((), weights)
    assert route.Owners(runs).of(place) == owned(runs)[place]


def test_weights_that_do_not_sum_to_100_are_refused():
    with pytest.raises(ValueError, match="sum to 90"):
        route.assign((), {1: 50, 2: 40})


def test_100_000_keys_stay_with_a_growing_canary_and_the_shares_are_right():
    keys = [route.bucket(b"fraud", b"user-%d" % number) for number in range(100_000)]
    runs, canary = route.assign((), {1: 100}), set()
    for weight in (10, 20, 50):
        runs = route.assign(runs, {1: 100 - weight, 2: weight})
        owners = route.Owners(runs)
        now = {number for number, place in enumerate(keys) if owners.of(place) == 2}
        assert canary <= now
        assert abs(len(now) / len(keys) - weight / 100) < 0.005
        canary = now


@given(splits(), st.integers(1, 6), st.integers(0, 100))
def test_a_shift_gives_the_percent_and_shares_the_rest_as_before(weights, revision, percent):
    others = {number: weight for number, weight in weights.items() if number != revision and weight}
    if percent < 100 and not others:
        with pytest.raises(ValueError, match="nobody"):
            route.shift(weights, revision, percent)
        return
    made = route.shift(weights, revision, percent)
    assert sum(made.values()) == 100
    assert made.get(revision, 0) == percent
    for number, weight in others.items():
        assert abs(made.get(number, 0) - (100 - percent) * weight / sum(others.values())) < 1


@given(st.binary(max_size=80), st.binary(max_size=32))
def test_a_key_stays_where_it_is(salt, key):
    assert route.bucket(salt, key) == route.bucket(salt, key) in range(PLACES)


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=12))
def test_the_least_loaded_replica_that_speaks_is_chosen(rows):
    loads, suspect = [load for load, _ in rows], [silent for _, silent in rows]
    place = route.choose_replica(loads, suspect)
    speaking = [load for load, silent in rows if not silent]
    if not speaking:
        assert place is None
    else:
        assert not suspect[place]
        assert loads[place] == min(speaking)


def test_equal_replicas_take_turns():
    assert [route.choose_replica([0, 0, 0], [False] * 3, turn) for turn in range(6)] == [0, 1, 2, 0, 1, 2]
    assert [route.choose_replica([1, 0, 0], [False, False, True], turn) for turn in range(3)] == [1, 1, 1]
