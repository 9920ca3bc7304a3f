"""Batching: which waiting requests share one call of the model, and how many rows it may have. Pure.

There is no timer: whatever arrived while the last batch ran is offered here, in order of
arrival, and the front of the queue decides what it may be stacked with. How far stacking pays
is read from the model's batch curve: measured times of one call by its number of rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

MAX_ROWS = 64
NEAR = 1.10
PAYS = 1.10
LONG_PAYS = 1.25  # of calls over LONG_US: they are few, so their measure is rough, and all in a batch wait for its end
CALL_US = 30.0  # what a call costs around the model: stacking, splitting, system calls
LONG_US = 2000.0  # a call that is worth a hand-over to another thread
PIECE_US = 50_000.0
MOST_PIECE = 1 << 16

Curve = Sequence[tuple[int, float]]
"""(rows, microseconds of one call), rows growing."""


class Waiting(Protocol):
    """One decoded request."""

    @property
    def alike(self) -> Hashable:
        """Equal for requests that can be stacked; None: never stacked."""
        ...

    @property
    def rows(self) -> int:
        """How many rows it has, at least one."""
        ...

    @property
    def deadline(self) -> int:
        """In microseconds on the clock of `now` (0: none)."""
        ...


def read_curve(measured: Mapping[str, float]) -> Curve:
    """A curve as bundles keep it, rows as text."""
    return sorted((int(rows), float(us)) for rows, us in measured.items())


def best_rows(curve: Curve) -> int:
    """The rows of the largest call that is worth its while; 1 when stacking does not pay.

    Of the sizes at which a row is nearly as cheap as it gets: the largest whose call is still short, because
    fewer calls leave more of the processor's caches and time to all; else the smallest, because more
    rows would save hardly anything and all would wait longer. Without a curve nothing is known against stacking.
    """
    if len(curve) < 2:
        return MAX_ROWS
    each = row_us(curve)
    least = min(each.values())
    alone = min(each)
    if each[alone] < least * (PAYS if alone * each[alone] < LONG_US else LONG_PAYS):
        return 1
    near = [(rows, us) for rows, us in curve if rows in each and each[rows] <= least * NEAR]
    short = [rows for rows, us in near if us <= LONG_US]
    return max(short) if short else near[0][0]


def row_us(curve: Curve) -> dict[int, float]:
    """Microseconds of a row by the rows of its call. A size that is dearer than both its neighbours was measured in a
    slow moment: it is taken to cost what the dearer of them does."""
    each = {rows: (us + CALL_US) / rows for rows, us in curve if rows <= MAX_ROWS}
    costs = list(each.values())
    for number, rows in list(enumerate(each))[1:-1]:
        each[rows] = min(costs[number], max(costs[number - 1], costs[number + 1]))
    return each


def saving(curve: Curve) -> float:
    """How many times less a row costs in the call that `best_rows` chooses than alone; 1 when it is not known."""
    each = row_us(curve)
    return each[min(each)] / each.get(best_rows(curve), each[min(each)]) if each else 1.0


def expected_us(curve: Curve, most: int) -> list[float]:
    """Microseconds of a call of 0, 1, ... `most` rows: between the measured points a straight line."""
    if not curve:
        return [0.0] * (most + 1)
    first_rows, first_us = curve[0]
    times = [first_us] * (min(first_rows, most) + 1)
    for (rows, us), (more, longer) in pairwise(curve):
        for number in range(rows + 1, min(more, most) + 1):
            times.append(us + (longer - us) * (number - rows) / (more - rows))
    last_rows, last_us = curve[-1]
    return times + [last_us * number / last_rows for number in range(len(times), most + 1)]


def piece_rows(curve: Curve) -> int:
    """How many rows of one large request to run at a time, so that others wait about 50 ms at most."""
    if len(curve) < 2:
        return MOST_PIECE
    (rows, us), (more, longer) = curve[-2:]
    each = max(1e-3, (longer - us) / (more - rows))
    return max(more, min(MOST_PIECE, int(PIECE_US / each)))


def next_batch(
    queue: Sequence[Waiting], max_rows: int, now: int = 0, times: Sequence[float] = (), slowness: float = 1.0
) -> list[int]:
    """Positions in `queue` to run together: the first one and all that fit with it, up to `max_rows` rows.

    `times`: expected microseconds of a call by its rows (at least `max_rows` + 1 of them, or none), to be
    multiplied by `slowness`. A request joins only if the longer call still ends before the earliest
    deadline in the batch; the first one runs in any case.
    """
    first = queue[0]
    chosen, rows = [0], first.rows
    if first.alike is None or rows >= max_rows:
        return chosen
    alike, earliest = first.alike, first.deadline
    for position in range(1, len(queue)):
        other = queue[position]
        if other.alike != alike or rows + other.rows > max_rows:
            continue
        if times:
            limit = min(earliest, other.deadline) if earliest and other.deadline else earliest or other.deadline
            if limit and now + times[rows + other.rows] * slowness > limit:
                break
            earliest = limit
        chosen.append(position)
        rows += other.rows
        if rows == max_rows:
            break
    return chosen
