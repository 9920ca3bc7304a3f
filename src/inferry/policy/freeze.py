"""Freeze windows: when nothing may begin. Pure: the time is given.

Data flow: Freeze as declared -> `read_freeze` -> whether a moment (Unix seconds) is inside, and when it ends.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from inferry.types.project import Freeze

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_WEEKLY = re.compile(r"(mon|tue|wed|thu|fri|sat|sun) ([01][0-9]|2[0-3]):([0-5][0-9])")
_ONCE = "%Y-%m-%d %H:%M"
WEEK = timedelta(days=7)
HELP = "Write a day and a time (fri 16:00) or a date and a time (2026-12-20 00:00), the same way in both."


@dataclass(frozen=True)
class Weekly:
    """A moment of every week: time since Monday 00:00 of the zone's clock."""

    since_monday: timedelta


def moment(text: str) -> Weekly | datetime:
    """`fri 16:00` or `2026-12-20 00:00`, without a zone. Raises ValueError."""
    found = _WEEKLY.fullmatch(text.strip().lower())
    if found:
        return Weekly(timedelta(days=DAYS.index(found[1]), hours=int(found[2]), minutes=int(found[3])))
    return datetime.strptime(text.strip(), _ONCE)


def fault(freeze: Freeze) -> tuple[str, str] | None:
    """What is wrong with a declared window: the field and the words."""
    found = []
    for field in ("start", "end"):
        try:
            found.append(moment(getattr(freeze, field)))
        except ValueError:
            return field, f"{getattr(freeze, field)!r} is not a moment"
    if type(found[0]) is not type(found[1]):
        return "end", "one is a day of the week and the other a date"
    if isinstance(found[0], datetime) and isinstance(found[1], datetime) and found[1] <= found[0]:
        return "end", "it is not after the start"
    if found[0] == found[1]:
        return "end", "it is the same as the start"
    try:
        ZoneInfo(freeze.zone)
    except (ZoneInfoNotFoundError, ValueError):
        return "zone", f"{freeze.zone!r} is not a time zone"
    return None


def frozen_until(windows: Iterable[Freeze], endpoint: str, now: float) -> float | None:
    """When the window that holds at `now` (Unix seconds) ends, the last of several; None: nothing is frozen."""
    ends = [end for window in windows if not window.only or endpoint in window.only if (end := _end(window, now))]
    return max(ends) if ends else None


def _end(window: Freeze, now: float) -> float | None:
    zone = ZoneInfo(window.zone)
    start, end = moment(window.start), moment(window.end)
    if isinstance(start, datetime) and isinstance(end, datetime):
        begins, ends = start.replace(tzinfo=zone).timestamp(), end.replace(tzinfo=zone).timestamp()
        return ends if begins <= now < ends else None
    assert isinstance(start, Weekly)
    assert isinstance(end, Weekly)
    local = datetime.fromtimestamp(now, UTC).astimezone(zone)
    monday = datetime(local.year, local.month, local.day) - timedelta(days=local.weekday())
    length = (end.since_monday - start.since_monday) % WEEK
    for week in (monday - WEEK, monday):  # a window may have begun last week
        first = week + start.since_monday
        last = first + length
        if first.replace(tzinfo=zone).timestamp() <= now < last.replace(tzinfo=zone).timestamp():
            return last.replace(tzinfo=zone).timestamp()
    return None
