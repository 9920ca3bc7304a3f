"""Quantities: lengths of time as they are told, and as they may be written again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.types.units import length_text, parse, time_text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.000_25, "250 us"), (0.0335, "33.5 ms"), (1.2, "1.2 s"), (300, "300 s"), (3600, "60 min"), (68_000, "18.9 h")],
)
def test_a_length_of_time_is_told_in_a_unit_that_fits(seconds, text):
    assert time_text(seconds) == text


@given(st.integers(1, 40 * 86400))
def test_a_length_of_time_may_be_written_as_it_is_told(seconds):
    assert parse(length_text(float(seconds)), "seconds") == seconds
    assert parse(length_text(seconds / 1000), "seconds") == pytest.approx(seconds / 1000)
