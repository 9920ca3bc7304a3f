"""Batching: which waiting requests share one call of the model. Pure.

There is no timer: whatever arrived while the last batch ran is offered here, in order of
arrival, and the front of the queue decides what it may be stacked with.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple


class Waiting(NamedTuple):
    """One decoded request. `shape` is equal for requests that can be stacked; None: never stacked."""

    shape: Hashable
    rows: int


def next_batch(queue: Sequence[Waiting], max_rows: int) -> list[int]:
    """Positions in `queue` to run together: the first one and all that fit with it, up to `max_rows` rows."""
    first = queue[0]
    chosen, rows = [0], first.rows
    if first.shape is None:
        return chosen
    for position in range(1, len(queue)):
        other = queue[position]
        if other.shape == first.shape and rows + other.rows <= max_rows:
            chosen.append(position)
            rows += other.rows
    return chosen
