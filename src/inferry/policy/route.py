"""Routing: which revision answers a request, and which of its replicas. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

BUCKETS = 10_000


def bucket(salt: bytes, key: bytes) -> int:
    """A stable number in [0, 10000) for a key: the same key always lands in the same place."""
    return zlib.crc32(key, zlib.crc32(salt)) % BUCKETS


def choose_revision(weights: Sequence[int], place: int) -> int:
    """The position of the revision that owns `place`; weights are percents that sum to 100.

    Monotone: while one weight grows at its neighbour's cost, keys only move towards it.
    """
    edge = 0
    for position, weight in enumerate(weights):
        edge += weight * BUCKETS // 100
        if place < edge:
            return position
    return len(weights) - 1


def choose_replica(loads: Sequence[int], suspect: Sequence[bool], turn: int = 0) -> int | None:
    """The least loaded replica that is not suspect (silent past a deadline); None when all are.

    Among equals the first one at or behind position `turn` (modulo their number) is taken.
    """
    best: int | None = None
    count = len(loads)
    for step in range(count):
        position = (turn + step) % count
        if not suspect[position] and (best is None or loads[position] < loads[best]):
            best = position
    return best
