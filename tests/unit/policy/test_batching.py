"""Batching: which waiting requests share one call of the model."""

from hypothesis import given
from hypothesis import strategies as st

from inferry.policy.batching import Waiting, next_batch

waiting = st.builds(Waiting, st.sampled_from([None, "a", "b"]), st.integers(1, 12))
queues = st.lists(waiting, min_size=1, max_size=30)


@given(queues, st.integers(1, 16))
def test_the_first_is_in_and_the_order_of_arrival_is_kept(queue, max_rows):
    chosen = next_batch(queue, max_rows)
    assert chosen[0] == 0
    assert chosen == sorted(set(chosen))
    assert chosen[-1] < len(queue)


@given(queues, st.integers(1, 16))
def test_rows_stay_within_the_limit_unless_the_first_alone_is_over_it(queue, max_rows):
    chosen = next_batch(queue, max_rows)
    rows = sum(queue[position].rows for position in chosen)
    assert rows <= max_rows or chosen == [0]


@given(queues, st.integers(1, 16))
def test_only_equal_shapes_are_mates_and_shapeless_ones_run_alone(queue, max_rows):
    chosen = next_batch(queue, max_rows)
    assert {queue[position].shape for position in chosen} == {queue[0].shape}
    if queue[0].shape is None:
        assert chosen == [0]


@given(queues, st.integers(1, 16))
def test_whoever_was_left_out_did_not_fit(queue, max_rows):
    chosen = next_batch(queue, max_rows)
    rows = sum(queue[position].rows for position in chosen)
    for position in set(range(len(queue))) - set(chosen):
        other = queue[position]
        before = sum(queue[mate].rows for mate in chosen if mate < position)
        assert other.shape != queue[0].shape or other.shape is None or before + other.rows > max_rows
    assert rows >= queue[0].rows


@given(queues, st.integers(1, 16))
def test_taking_batches_until_the_queue_is_empty_runs_everybody_once(queue, max_rows):
    left, seen = list(enumerate(queue)), []
    while left:
        chosen = set(next_batch([item for _, item in left], max_rows))
        seen += [left[position][0] for position in chosen]
        left = [item for position, item in enumerate(left) if position not in chosen]
    assert sorted(seen) == list(range(len(queue)))
