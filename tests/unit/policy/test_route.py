"""Routing: revision by weight, replica by load."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from inferry.policy import route

places = st.integers(0, route.BUCKETS - 1)


@st.composite
def splits(draw):
    """Weights that sum to 100."""
    cuts = sorted(draw(st.lists(st.integers(0, 100), max_size=4)))
    return [high - low for low, high in zip([0, *cuts], [*cuts, 100], strict=True)]


@given(splits(), places)
def test_only_a_revision_with_traffic_is_chosen(weights, place):
    assert weights[route.choose_revision(weights, place)] > 0


@given(splits())
def test_every_revision_owns_exactly_its_share_of_places(weights):
    owned = Counter(route.choose_revision(weights, place) for place in range(0, route.BUCKETS, 100))
    assert [owned[position] for position in range(len(weights))] == weights


@given(st.integers(0, 99), st.data(), places)
def test_while_a_weight_grows_nobody_moves_away_from_it(weight, data, place):
    more = data.draw(st.integers(weight, 100))
    before = route.choose_revision([weight, 100 - weight], place)
    after = route.choose_revision([more, 100 - more], place)
    assert before == after or after == 0


@given(st.binary(max_size=16), st.binary(max_size=32))
def test_a_key_stays_where_it_is(salt, key):
    assert route.bucket(salt, key) == route.bucket(salt, key) in range(route.BUCKETS)


@given(st.sampled_from([b"fraud", b"churn", b"a", b"x" * 63]), splits(), st.integers(0, 1 << 32))
def test_counted_requests_are_shared_out_near_the_weights(salt, weights, start):
    total = 5000
    chosen = Counter(
        route.choose_revision(weights, route.bucket(salt, number.to_bytes(8, "little")))
        for number in range(start, start + total)
    )
    for position, weight in enumerate(weights):
        assert abs(chosen[position] / total - weight / 100) < 0.05


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
