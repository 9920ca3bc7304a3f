"""Batching: which waiting requests share one call of the model."""

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy.batching import (
    CALL_US,
    LONG_PAYS,
    LONG_US,
    MAX_ROWS,
    MOST_PIECE,
    NEAR,
    PAYS,
    PIECE_US,
    best_rows,
    expected_us,
    next_batch,
    piece_rows,
    read_curve,
    row_us,
    saving,
)


class Waiting(NamedTuple):
    alike: str | None
    rows: int
    deadline: int = 0


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
    assert {queue[position].alike for position in chosen} == {queue[0].alike}
    if queue[0].alike is None:
        assert chosen == [0]


@given(queues, st.integers(1, 16))
def test_whoever_was_left_out_did_not_fit(queue, max_rows):
    chosen = next_batch(queue, max_rows)
    rows = sum(queue[position].rows for position in chosen)
    for position in set(range(len(queue))) - set(chosen):
        other = queue[position]
        before = sum(queue[mate].rows for mate in chosen if mate < position)
        assert other.alike != queue[0].alike or other.alike is None or before + other.rows > max_rows
    assert rows >= queue[0].rows


@given(queues, st.integers(1, 16))
def test_taking_batches_until_the_queue_is_empty_runs_everybody_once(queue, max_rows):
    left, seen = list(enumerate(queue)), []
    while left:
        chosen = set(next_batch([item for _, item in left], max_rows))
        seen += [left[position][0] for position in chosen]
        left = [item for position, item in enumerate(left) if position not in chosen]
    assert sorted(seen) == list(range(len(queue)))


costs = st.lists(st.floats(1, 1e7), min_size=7, max_size=7)
curves = costs.map(lambda us: list(zip((1, 2, 4, 8, 16, 32, 64), sorted(us), strict=True)))


@pytest.mark.parametrize(
    ("curve", "rows"),
    [
        ({}, MAX_ROWS),
        ({"1": 10}, MAX_ROWS),
        ({"1": 6, "2": 6, "4": 6, "8": 6, "16": 6, "32": 6, "64": 7}, 64),  # a call costs the same whatever it holds
        ({"1": 7000, "2": 14000, "4": 28000, "8": 58000}, 1),  # stacking only makes others wait
        ({"1": 4300, "2": 8000, "4": 15000, "8": 31000, "16": 64000}, 1),  # a tenth less: one slow moment's doing
        ({"1": 4300, "2": 6000, "4": 9000, "8": 18000, "16": 36000}, 4),
        (
            {"1": 108, "2": 105, "4": 143, "8": 242, "16": 486, "32": 973, "64": 1947},
            64,
        ),  # flat from 8 rows on, and short
        (  # one slow moment in the middle
            {"1": 138.8, "2": 149.3, "4": 168.0, "8": 367.8, "16": 602.2, "32": 1365.6, "64": 2572.7},
            32,
        ),
        ({"1": 1100, "2": 1200, "4": 1500, "8": 2500, "16": 4900, "32": 9700, "64": 19400}, 8),  # flat, and long
    ],
)
def test_stacking_goes_as_far_as_it_pays(curve, rows):
    assert best_rows(read_curve(curve)) == rows


@pytest.mark.parametrize(
    ("curve", "times"),
    [
        ({}, 1.0),
        ({"1": 10}, 1.0),  # nothing is known of more
        ({"1": 7000, "2": 14000, "4": 28000, "8": 58000}, 1.0),
        ({"1": 170, "2": 200, "4": 220, "8": 370, "16": 670, "32": 1270, "64": 4000}, 200 / (1300 / 32)),
    ],
)
def test_what_a_row_costs_less_in_a_batch(curve, times):
    assert saving(read_curve(curve)) == pytest.approx(times)


@given(curves)
def test_a_slow_moment_is_taken_out_and_nothing_is_made_dearer(curve):
    measured, levelled = dict(curve), row_us(curve)
    assert all(levelled[rows] * rows <= measured[rows] + CALL_US + 1e-6 for rows in measured)
    assert min(levelled.values()) == min((us + CALL_US) / rows for rows, us in curve)


@given(curves)
def test_the_chosen_rows_are_nearly_as_cheap_as_any(curve):
    rows = best_rows(curve)
    each = row_us(curve)
    alone_pays = LONG_PAYS if each[1] >= LONG_US else PAYS
    assert each[rows] <= min(each.values()) * (alone_pays if rows == 1 else NEAR) + 1e-9


@given(curves)
def test_the_expected_time_is_measured_at_the_points_and_between_them_in_between(curve):
    times = expected_us(curve, 64)
    assert len(times) == 65
    for rows, us in curve:
        assert times[rows] == pytest.approx(us)
    assert all(a <= b + 1e-6 for a, b in pairwise(times))


@given(queues, st.integers(1, 16), st.lists(st.integers(0, 3000), min_size=30, max_size=30), st.floats(0.5, 4))
def test_nobody_joins_a_batch_that_ends_after_a_deadline_in_it(queue, max_rows, deadlines, slowness):
    queue = [Waiting(item.alike, item.rows, deadline) for item, deadline in zip(queue, deadlines, strict=False)]
    times = [100.0 * rows for rows in range(max_rows + 1)]
    chosen = next_batch(queue, max_rows, 50, times, slowness)
    if len(chosen) > 1:
        rows = sum(queue[position].rows for position in chosen)
        limits = [queue[position].deadline for position in chosen if queue[position].deadline]
        assert not limits or 50 + times[rows] * slowness <= min(limits)


@given(curves)
def test_a_piece_of_a_large_request_takes_about_as_long_as_others_may_wait(curve):
    rows = piece_rows(curve)
    assert 64 <= rows <= MOST_PIECE
    each = max(1e-3, (curve[-1][1] - curve[-2][1]) / 32)
    assert rows == 64 or rows * each <= PIECE_US * 1.001
