"""Recycle: whether a replica leaks, from its memory when it had settled and now. Pure.

A fresh one takes its place before it goes, so this costs a start and no request. A model may well grow in its first
minutes (arenas, caches), hence three times and 64 MB more; one with a limit of its own is replaced before it is killed.
"""

from __future__ import annotations

from inferry.types.units import size_text

SETTLED_S = 10.0
"""So long after its start a replica has the size that it should keep."""
GROWN = 3.0
LEAST_GROWTH = 64_000_000
SHARE = 0.9
"""Of the limit of its own."""
OVER_SETTLED = 1.2
"""A model that needs most of its limit from the start does not leak."""
PAUSE_S = 30.0
"""Between two of one endpoint: what leaks fast must not start replicas all the time."""


def worn(settled: int, now: int, limit: int) -> str:
    """Why a replica should be replaced ("": it need not be). All in bytes; `limit` 0: it has none of its own."""
    if limit and now > SHARE * limit and now > OVER_SETTLED * settled:
        return f"it holds {size_text(now)}, near its limit of {size_text(limit)}, and began with {size_text(settled)}"
    if now > max(GROWN * settled, settled + LEAST_GROWTH):
        return f"it grew from {size_text(settled)} to {size_text(now)}"
    return ""
