"""Work without hurry grows into what is free, and steps back when others wait."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inferry.policy.spare import MOST_BYTES, MOST_ROWS, Pace, after_answer, after_refusal, read_timing, rows_for


def settled(waited_s, computed_s=0.01, rounds=600, most=64):
    pace = Pace()
    for _ in range(rounds):
        pace = after_answer(pace, waited_s(pace.window) + computed_s, computed_s, most)
    return pace


def test_a_free_replica_gets_more_and_more_at_once():
    assert settled(lambda window: 0.0).window == 64


def test_a_replica_that_takes_one_at_a_time_gets_few_so_that_nobody_waits_long():
    pace = settled(lambda window: (window - 1) * 0.01)
    assert 2 <= pace.window <= 4


def test_when_others_wait_long_one_request_is_left_with_pauses_between():
    pace = settled(lambda window: 0.2)
    assert pace.window == 1.0
    assert pace.pause_s > 0.1


def test_a_refusal_halves_what_is_under_way():
    assert after_refusal(Pace(window=32.0), 0.5) == Pace(window=16.0, pause_s=0.5)


@given(st.floats(1, 64), st.floats(0, 60), st.floats(0, 60), st.integers(1, 64))
def test_the_window_stays_between_one_and_the_most(window, waited, computed, most):
    pace = after_answer(Pace(window=window), waited + computed, computed, most)
    assert 1 <= pace.window <= max(1, most)
    assert 0 <= pace.pause_s <= 1


def test_requests_grow_to_what_is_computed_in_a_moment():
    rows = 256
    for _ in range(20):
        rows = rows_for(rows, rows, rows * 16, rows * 10e-6)
    assert 2400 <= rows <= 2500


def test_large_rows_make_small_requests():
    assert rows_for(64, 64, 64 << 20, 1e-6) == 4


@given(st.integers(1, MOST_ROWS), st.integers(1, MOST_ROWS), st.integers(1, 1 << 30), st.floats(0, 100))
def test_a_request_has_a_row_and_is_bounded(now, rows, size, computed):
    found = rows_for(now, rows, size, computed)
    assert 1 <= found <= min(MOST_ROWS, 2 * now)
    assert found == 1 or found * size / rows <= MOST_BYTES * 1.01


def test_timings_are_read_from_the_header():
    assert read_timing("total;dur=3.500, predict;dur=1.250") == (0.0035, 0.00125)
    assert read_timing("") == read_timing("cache;desc=x, total;dur=word") == (0.0, 0.0)
