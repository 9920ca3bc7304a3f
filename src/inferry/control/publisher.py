"""Publisher: keeps the gateways' table current, and adds up what they count.

Data flow: RoutingTable -> what differs from the last one -> the line of each gateway -> their acknowledgements; all of
it into the run directory, for a gateway that starts without control.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from inferry.control.line import Line, Told, encoded
from inferry.errors import InferryError
from inferry.interfaces.lead import Permit
from inferry.policy import gateways
from inferry.security.files import write_private
from inferry.telemetry.loops import forever
from inferry.types.routing import Ended, Order, RoutingTable, difference
from inferry.types.traffic import RevisionCounters

log = logging.getLogger(__name__)

SAVE_S = 0.5


class Publisher:
    """Speaks to all gateways. `paths`: their private sockets; `saved`: the file of the table."""

    def __init__(self, paths: Sequence[Path], saved: Path, told: Told, permit: Permit) -> None:
        self.table = RoutingTable()
        self._permit = permit
        self._saved = saved
        self._lines = [Line(number, path, lambda: self.table, told, permit) for number, path in enumerate(paths, 1)]
        self._counted = gateways.counters()
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._unsaved = asyncio.Event()
        if saved.exists():
            self.table = msgspec.json.decode(saved.read_bytes(), type=RoutingTable)
        later = max(self.table.generation + 1, time.time_ns() // 1_000_000)  # the gateways may have another one
        generation = later if self.table.generation else 0
        self.table = msgspec.structs.replace(self.table, generation=generation, epoch=permit.epoch)

    @property
    def missing(self) -> list[int]:
        """The numbers of the gateways that are not there."""
        return [line.number for line in self._lines if not line.connected]

    def start(self) -> None:
        """Begin to keep the connections up."""
        loops = *(line.run for line in self._lines), self._save
        self._tasks = tuple(asyncio.create_task(forever(loop)) for loop in loops)

    async def publish(self, table: RoutingTable) -> None:
        """Push what changed; returns when each gateway has swapped it in, or cannot be reached. The table is saved
        behind that: requests may wait for a replica that it brings. Raises Superseded when this process leads no
        longer.
        """
        self._permit.check()
        change = difference(self.table, table)
        if change is None:
            return
        self.table = msgspec.structs.replace(table, generation=change.generation, epoch=self._permit.epoch)
        self._unsaved.set()
        order = encoded(Order(change=change))
        there = [line for line in self._lines if line.connected]
        for line in there:
            line.write(order)
        await asyncio.gather(*(line.applied(change.generation) for line in there))

    async def _save(self) -> None:
        """Keep the file current: all that changed in SAVE_S goes at once, since the whole table is written."""
        while True:
            await self._unsaved.wait()
            self._unsaved.clear()
            try:
                self._permit.check()
                await asyncio.to_thread(save, self._saved, self.table)
            except (InferryError, OSError) as error:  # who is not sure of the lease may be a moment later
                log.warning("the routing table could not be saved: %s", error)
                self._unsaved.set()
            await asyncio.sleep(SAVE_S)

    def tell_end(self, replica: str, why: str) -> None:
        """Why a replica was killed, for those whose requests it had begun."""
        for line in self._lines:
            line.write(encoded(Order(ended=Ended(id=replica, why=why))))

    async def counters(self) -> tuple[RevisionCounters, ...]:
        """What all gateways counted, by revision: since they started, as far as this process was told of it. Raises
        Unavailable when one of them cannot be asked."""
        found = await asyncio.gather(*(line.counters() for line in self._lines))
        names: set[tuple[str, int]] = set()
        for line, counters in zip(self._lines, found, strict=True):
            by_name = {(one.endpoint, one.revision): one for one in counters}
            names |= by_name.keys()
            if counters:
                self._counted.hear(line.number, counters[0].epoch, by_name)
        self._counted.keep(names)
        return tuple(map(self._counted.total, sorted(names)))


def save(path: Path, table: RoutingTable) -> None:
    """Keep a table."""
    write_private(path, msgspec.json.encode(table))
