"""Admission: who may wait, and when the others should come back."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import Overloaded
from inferry.policy import admission

waits = st.floats(0, 1e9)
timeouts = st.integers(1, 3_600_000_000)


@given(st.integers(0, admission.MAX_QUEUE - 1), waits, timeouts)
def test_who_can_be_answered_in_time_may_wait_and_nobody_else(waiting, wait_us, timeout_us):
    in_time = wait_us * admission.MARGIN <= timeout_us
    try:
        admission.queue(waiting, wait_us, timeout_us, admission.MARGIN)
    except Overloaded as refused:
        assert not in_time
        assert refused.retry_after > 0
    else:
        assert in_time


@given(waits, timeouts, st.floats(admission.MARGIN, admission.MAX_MARGIN))
def test_coming_back_when_told_is_enough_if_nobody_else_came_and_not_much_too_late(wait_us, timeout_us, margin):
    with contextlib.suppress(Overloaded):
        admission.queue(1, wait_us, timeout_us, margin)
        return
    with pytest.raises(Overloaded) as refused:
        admission.queue(1, wait_us, timeout_us, margin)
    left = wait_us - refused.value.retry_after * 1e6
    admission.queue(1, max(0.0, left) * (1 - 1e-6), timeout_us, margin)
    with pytest.raises(Overloaded):
        admission.queue(1, left * (1 + 1e-6) + 1e-3, timeout_us, margin)


@pytest.mark.parametrize(
    ("inflight", "held", "size", "taken"),
    [
        (0, 0, 0, True),
        (admission.MAX_INFLIGHT - 1, 0, 0, True),
        (admission.MAX_INFLIGHT, 0, 0, False),
        (1, admission.MAX_BYTES - 10, 10, True),
        (1, admission.MAX_BYTES - 10, 11, False),
    ],
)
def test_what_the_gateway_holds_is_bounded(inflight, held, size, taken):
    with contextlib.nullcontext() if taken else pytest.raises(Overloaded):
        admission.admit(inflight, held, size)


def test_a_queue_is_bounded_even_when_it_is_quick():
    with pytest.raises(Overloaded):
        admission.queue(admission.MAX_QUEUE, 0.0, 30_000_000, admission.MARGIN)


@given(st.floats(1.0, 2.5), st.integers(10_000, 3_600_000_000))
def test_where_all_takes_longer_than_foreseen_soon_nobody_who_waits_is_late(times, timeout_us):
    margin, late = admission.MARGIN, 0
    for _ in range(20):
        foreseen_us = timeout_us / margin  # the longest that is let in
        took_us = min(times * foreseen_us, timeout_us)
        late = late + 1 if took_us == timeout_us else 0
        margin = admission.widened(margin, foreseen_us, took_us)
    assert late == 0
    assert margin <= admission.MAX_MARGIN


@given(st.floats(admission.MARGIN, admission.MAX_MARGIN), st.floats(1, 1e9), st.floats(0, 1e9))
def test_a_request_that_waited_no_longer_than_foreseen_changes_nothing(margin, foreseen_us, spared_us):
    assert admission.widened(margin, foreseen_us, max(0.0, foreseen_us - spared_us)) == margin


@given(st.floats(admission.MARGIN, admission.MAX_MARGIN), st.floats(0, 1e8), st.floats(0, 1e8))
def test_a_wide_margin_is_forgotten_at_the_same_pace_however_often_it_is_looked_at(margin, one_us, other_us):
    at_once = admission.narrowed(margin, one_us + other_us)
    assert admission.narrowed(admission.narrowed(margin, one_us), other_us) == pytest.approx(at_once)
    assert admission.MARGIN <= at_once <= margin
    assert admission.narrowed(margin, admission.HALF_US) == pytest.approx((margin + admission.MARGIN) / 2)
