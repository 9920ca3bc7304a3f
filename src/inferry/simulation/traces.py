"""Traces: how many requests arrive in each tick.

Data flow: a shape (requests a second over time) and a coefficient of variation -> arrivals of a gamma renewal process
whose clock runs as fast as the shape asks -> counts per tick. Or a file with a time per request, or a count per time.

A coefficient of variation of 1 is a Poisson process; 4 comes in clumps, as measured at serverless platforms.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from inferry.errors import InvalidInput

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]
"""[ticks]: requests that arrive in each tick."""
EXACT = 2_000_000
"""From so many requests on, counts are drawn in place of single arrivals."""
LONGEST_S = 31 * 86400.0


def steady(t: Floats) -> Floats:
    """The same rate all the time."""
    shape: Floats = np.ones_like(t)
    return shape


def diurnal(t: Floats) -> Floats:
    """One day in the trace's length: quiet at both ends, a rush, and a smaller one after it."""
    phase = t / max(t[-1], 1e-9)
    day = np.exp(-(((phase - 0.45) / 0.13) ** 2)) + 0.6 * np.exp(-(((phase - 0.78) / 0.08) ** 2))
    shape: Floats = 0.05 + day / 0.3
    return shape


def flash(t: Floats) -> Floats:
    """A twentieth of the crowd, then in one second all of it for two minutes, then nothing."""
    start = 0.3 * t[-1]
    crowd = np.clip(t - start, 0, 1) * (t < start + 120)
    shape: Floats = np.where(t < start + 120, 0.5, 0.0) + 9.5 * crowd
    return shape


def bursts(t: Floats) -> Floats:
    """On for half a minute, off for two and a half."""
    return np.where(t % 180 < 30, 6.0, 0.0)


def ramps(t: Floats) -> Floats:
    """Up over five minutes and down over five, again and again."""
    shape: Floats = 2 * np.abs((t / 300) % 2 - 1)
    return shape


def sparse(t: Floats) -> Floats:
    """A request now and then: a hundredth of the rate."""
    shape: Floats = np.full_like(t, 0.01)
    return shape


SHAPES: dict[str, Callable[[Floats], Floats]] = {
    "steady": steady, "diurnal": diurnal, "flash": flash, "bursts": bursts, "ramps": ramps, "sparse": sparse,
}  # fmt: skip


def generate(shape: str, *, rate: float, seconds: float, cv: float, seed: int, tick: float) -> Counts:
    """`rate`: requests a second at shape 1; `cv`: coefficient of variation of the time between two."""
    rng = np.random.default_rng(seed)
    ticks = max(1, round(seconds / tick))
    middle = (np.arange(ticks) + 0.5) * tick
    expected = SHAPES[shape](middle) * rate * tick
    total = float(expected.sum())
    if total > EXACT:
        spread = np.sqrt(np.maximum(expected, 1e-12)) * cv
        return np.maximum(0, np.rint(rng.normal(expected, spread))).astype(np.int64)
    inner = np.concatenate(([0.0], np.cumsum(expected)))
    kind = 1 / cv**2
    size = int(total + 6 * cv * np.sqrt(total + 1) + 16)
    events = np.cumsum(rng.gamma(kind, cv**2, size)) - rng.uniform()
    events = events[(events >= 0) & (events < total)]
    return np.bincount(np.clip(np.searchsorted(inner, events, "right") - 1, 0, ticks - 1), minlength=ticks)


def read(path: Path, tick: float) -> Counts:
    """A CSV file with the column `time` (seconds, in any order), and maybe `count` (requests from then until the next
    row, spread over that time; without it each row is one request). Raises InvalidInput with the line."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{path} cannot be read: {error}.") from None
    if not rows or "time" not in rows[0]:
        raise InvalidInput(
            f"{path} is no trace.", help="Its first line names the columns: time, or time,count (times in seconds)."
        )
    pairs = [_row(path, number, row) for number, row in enumerate(rows, 2)]
    pairs.sort()
    times = np.array([at for at, _ in pairs]) - pairs[0][0]
    counts = np.array([count for _, count in pairs])
    if times[-1] > LONGEST_S:
        raise InvalidInput(f"{path} covers {times[-1] / 86400:.0f} days.", help="A trace has at most 31 days.")
    if "count" not in rows[0]:
        singles: Counts = np.bincount((times / tick).astype(np.int64))
        return singles
    step = float(np.median(np.diff(times))) if len(times) > 1 else 1.0
    edges = np.append(times, times[-1] + max(step, tick))
    total = np.concatenate(([0.0], np.cumsum(counts)))
    grid = np.arange(0, edges[-1] + tick, tick)
    spread: Counts = np.diff(np.rint(np.interp(grid, edges, total))).astype(np.int64)
    return spread


def _row(path: Path, number: int, row: dict[str, str]) -> tuple[float, float]:
    try:
        at, count = float(row["time"]), float(row.get("count", "1") or 0)
    except (TypeError, ValueError):
        raise InvalidInput(f"{path}, line {number}: {row.get('time')!r} and the rest are not numbers.") from None
    if not (np.isfinite(at) and np.isfinite(count) and count >= 0):
        raise InvalidInput(f"{path}, line {number}: times and counts are finite, and no count is below zero.")
    return at, count
