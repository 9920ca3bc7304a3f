"""Spare capacity: how many requests work without hurry may have under way at once, and how long to pause.

Data flow: what an answer says of itself (time in all, time computed) -> the next Pace. As LEDBAT does for downloads
(RFC 6817): the time that a request waited tells of everybody's load, so the window grows while the wait is short and
shrinks when it is long. Live traffic makes the wait long, so work without hurry steps back to one request at a time.
"""

from __future__ import annotations

from dataclasses import dataclass

SLACK_S = 0.003
PER_COMPUTED = 2.5
GAIN = 4.0
LONGEST_PAUSE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """`window`: how many under way; `pause_s`: how long to wait before the next."""

    window: float = 1.0
    pause_s: float = 0.0


FIRST_ROWS = 256
MOST_ROWS = 1 << 16
COMPUTED_S = 0.025
MOST_BYTES = 4 << 20


def rows_for(now: int, rows: int, size: int, computed_s: float) -> int:
    """How many rows the next request should have, when one of `rows` and `size` bytes was computed in `computed_s`.

    So many that a live request behind it waits for 25 ms at most, and no more than a few megabytes.
    """
    by_time = COMPUTED_S / max(computed_s / rows, 1e-9)
    by_bytes = MOST_BYTES / max(size / rows, 1e-9)
    return int(max(1, min(by_time, by_bytes, now * 2, MOST_ROWS)))


def read_timing(header: str) -> tuple[float, float]:
    """Seconds in the gateway, and those that the model computed, of a Server-Timing header; 0 for what it lacks."""
    found = {}
    for part in header.split(","):
        name, _, value = part.strip().partition(";dur=")
        try:
            found[name] = max(0.0, float(value)) / 1000
        except ValueError:
            continue
    return found.get("total", 0.0), found.get("predict", 0.0)


def after_answer(pace: Pace, total_s: float, computed_s: float, most: int) -> Pace:
    """The pace after an answer that took `total_s` in the gateway, `computed_s` of them in the model."""
    waited = max(0.0, total_s - computed_s)
    target = SLACK_S + PER_COMPUTED * computed_s
    off = max(-1.0, (target - waited) / target)
    window = min(float(most), max(1.0, pace.window + GAIN * off / pace.window))
    crowded = pace.window <= 1.0 and waited > 2 * target
    return Pace(window=window, pause_s=min(LONGEST_PAUSE_S, total_s) if crowded else 0.0)


def after_refusal(pace: Pace, retry_after_s: float) -> Pace:
    """The pace after the gateway had no room."""
    return Pace(window=max(1.0, pace.window / 2), pause_s=min(LONGEST_PAUSE_S, max(0.05, retry_after_s)))
