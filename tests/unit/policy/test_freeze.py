"""Freeze windows: which moments are inside, over week ends, clock changes and midnight."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy.freeze import DAYS, frozen_until
from inferry.types.project import Freeze

BERLIN = ZoneInfo("Europe/Berlin")
WEEKEND = Freeze(start="fri 16:00", end="mon 08:00", zone="Europe/Berlin")


def at(*parts, zone=BERLIN):
    return datetime(*parts, tzinfo=zone).timestamp()


@pytest.mark.parametrize(
    ("moment", "end"),
    [
        (at(2026, 11, 27, 15, 59), None),
        (at(2026, 11, 27, 16, 0), at(2026, 11, 30, 8, 0)),
        (at(2026, 11, 29, 23, 59), at(2026, 11, 30, 8, 0)),
        (at(2026, 11, 30, 7, 59), at(2026, 11, 30, 8, 0)),
        (at(2026, 11, 30, 8, 0), None),
        (at(2026, 10, 24, 12, 0), at(2026, 10, 26, 8, 0)),  # the clock goes back in this one
    ],
)
def test_a_weekly_window_goes_over_the_week_end(moment, end):
    assert frozen_until([WEEKEND], "prod", moment) == end


def test_a_window_is_for_the_endpoints_that_it_names():
    window = Freeze(start="2026-12-20 00:00", end="2027-01-02 00:00", only=("prod",))
    inside = at(2026, 12, 24, 0, 0)
    assert frozen_until([window], "staging", inside) is None
    assert frozen_until([window], "prod", inside) == at(2027, 1, 2, 0, 0, zone=ZoneInfo("UTC"))


moments = st.tuples(st.sampled_from(DAYS), st.integers(0, 23), st.integers(0, 59))


@given(moments, moments, st.integers(0, 4_000_000_000))
def test_the_end_of_a_window_is_ahead_and_outside(start, end, now):
    if start == end:
        return
    window = Freeze(start="{} {:02}:{:02}".format(*start), end="{} {:02}:{:02}".format(*end))
    until = frozen_until([window], "prod", now)
    if until is not None:
        assert now < until <= now + 7 * 86400
        assert frozen_until([window], "prod", until) is None
