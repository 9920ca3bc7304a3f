"""Recycler: replaces replicas whose memory grew too much.

Data flow: what the Room measured of each replica -> its size when it had settled, and now -> `policy.recycle` -> the
fleet counts it as worn: the reconciler starts another one, and then lets this one finish and end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from inferry.control.fleet import Fleet
from inferry.policy import recycle
from inferry.telemetry.loops import pause

LOOK_S = 1.0


class Recycler:
    """Looks at all replicas once a second."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float] = time.monotonic) -> None:
        self._fleet = fleet
        self._clock = clock
        self._seen: dict[str, float] = {}
        self._settled: dict[str, int] = {}
        self._last: dict[Hashable, float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            await pause(LOOK_S)
            self.look()

    def look(self) -> None:
        """Once."""
        now, fleet = self._clock(), self._fleet
        for id in self._seen.keys() - fleet.replicas.keys():
            del self._seen[id]
            self._settled.pop(id, None)
        for id, replica in list(fleet.replicas.items()):
            held, group = fleet.room.private(id), replica.spec.group
            first = self._seen.setdefault(id, now)
            if not held or now - first < recycle.SETTLED_S:
                continue
            settled = self._settled.setdefault(id, held)
            why = recycle.worn(settled, held, replica.spec.config.memory_mb << 20)
            if why and id not in fleet.worn and now - self._last.get(group, float("-inf")) >= recycle.PAUSE_S:
                self._last[group] = now
                fleet.wear(id, why)
