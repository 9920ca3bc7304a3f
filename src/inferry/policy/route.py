"""Routing: which revision answers a request, and which of its replicas. Pure.

weights + places so far -> assign -> places -> Owners
salt, key -> bucket -> Owners.of -> revision
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import accumulate

from inferry.types.traffic import PLACES, Places

PER_PERCENT = PLACES // 100


def bucket(salt: bytes, key: bytes) -> int:
    """A stable place in [0, PLACES) for a key: the same key always lands in the same place."""
    return int.from_bytes(blake2b(key, digest_size=8, key=salt[:64]).digest(), "little") % PLACES


def assign(places: Places, weights: Mapping[int, int]) -> Places:
    """Places by weights (percents that sum to 100), moving as few of those assigned so far as possible.

    A revision whose weight does not shrink keeps every place it has: while a canary grows, no key leaves it.
    """
    wanted = {revision: weight * PER_PERCENT for revision, weight in weights.items() if weight}
    if sum(wanted.values()) != PLACES:
        raise ValueError(f"weights sum to {sum(weights.values())}, not 100")
    missing = dict(wanted)
    kept: list[tuple[int, int]] = []  # revision 0 marks what is free
    for revision, size in places or ((0, PLACES),):
        keep = min(size, missing.get(revision, 0))
        kept += [(revision, keep), (0, size - keep)]
        if keep:
            missing[revision] -= keep
    made: list[tuple[int, int]] = []
    for revision, size in kept:
        if revision:
            made.append((revision, size))
            continue
        free = size
        for taker, lacking in missing.items():
            take = min(free, lacking)
            made.append((taker, take))
            missing[taker] = lacking - take
            free -= take
    return _joined(made)


def _joined(runs: Sequence[tuple[int, int]]) -> Places:
    """Neighbours of one revision as one run; no empty runs."""
    made: list[tuple[int, int]] = []
    for revision, size in runs:
        if size and made and made[-1][0] == revision:
            made[-1] = revision, made[-1][1] + size
        elif size:
            made.append((revision, size))
    return tuple(made)


class Owners:
    """Places, ready to be asked."""

    def __init__(self, places: Places) -> None:
        self.revisions = [revision for revision, _ in places]
        self._edges = list(accumulate(size for _, size in places))

    def of(self, place: int) -> int:
        """The revision that owns a place in [0, PLACES)."""
        return self.revisions[bisect_right(self._edges, place)]


def shift(weights: Mapping[int, int], revision: int, percent: int) -> dict[int, int]:
    """Weights in which `revision` has `percent` and the others share the rest as they did before.

    Whole percents by largest remainder. Raises ValueError when there is nobody to share the rest.
    """
    others = {number: weight for number, weight in weights.items() if number != revision and weight > 0}
    rest, total = 100 - percent, sum(others.values())
    if rest and not total:
        raise ValueError("nobody has the rest")
    shares = {number: rest * weight / total for number, weight in others.items()} if rest else {}
    made = {number: int(share) for number, share in shares.items()}
    by_remainder = sorted(shares, key=lambda number: (made[number] - shares[number], number))
    for number in by_remainder[: rest - sum(made.values())]:
        made[number] += 1
    made[revision] = percent
    return {number: weight for number, weight in made.items() if weight}


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
