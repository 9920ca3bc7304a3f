"""Leadership: the permit of the control process that leads, kept good by renewing its lease.

Data flow: the seat says every few seconds that the lease is ours -> `check` lets whoever starts or stops something
pass for as long as that holds -> the seat says otherwise, or the run folder or a gateway knows of a later epoch: `lost`
is set, nothing passes any more, and the process ends (its supervisor starts it again as a standby).

When the database does not answer, nobody can take the lease over either; a leader that has just asked in vain goes on
keeping up what runs, unless the run folder says that somebody took over before.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from inferry.errors import InferryError, Superseded
from inferry.interfaces.lead import Seat
from inferry.policy.lead import may_act
from inferry.security.files import write_private
from inferry.types.lead import Lease

log = logging.getLogger(__name__)

RENEWALS = 4
"""In the time of a lease."""


def now() -> float:
    """Seconds by a clock of this machine that goes on while it sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class EpochFile:
    """The highest epoch that led in a run folder: what a leader that slept can see without the database."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> int:
        """The epoch; 0 when nobody led here."""
        try:
            return int(self._path.read_bytes())
        except FileNotFoundError:
            return 0

    def lift(self, epoch: int) -> None:
        """Note an epoch, unless there is a later one."""
        with self._path.with_suffix(".lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if epoch > self.read():
                write_private(self._path, str(epoch).encode())


class Leadership:
    """interfaces.lead.Permit over a lease. `confirmed`: a moment before the lease was taken."""

    def __init__(self, seat: Seat, lease: Lease, lease_s: float, noted: EpochFile, confirmed: float) -> None:
        self.seat = seat
        self.lease = lease
        self.epoch = lease.epoch
        self.lost = asyncio.Event()
        self._lease_s = lease_s
        self._noted = noted
        self._confirmed = confirmed
        self._loop = asyncio.get_running_loop()
        self._thread = ThreadPoolExecutor(1, "lease")  # long work in the loop's own threads must not keep it waiting

    def check(self) -> None:
        """Return when this process may act now. Raises Superseded."""
        if self.lost.is_set() or self._noted.read() > self.epoch:
            self._loop.call_soon_threadsafe(self.lost.set)
            raise Superseded("Another control process leads now; nothing was done.", retry_after=1.0)
        if not may_act(self._confirmed, self._lease_s, now()):
            raise Superseded("This control process cannot be sure that it still leads.", retry_after=1.0)

    def superseded(self, epoch: int) -> None:
        """Somebody has heard of a later epoch."""
        if epoch > self.epoch:
            self.lost.set()

    async def run(self) -> None:
        """Renew the lease until it is lost; returns then."""
        pause = self._lease_s / RENEWALS
        while not self.lost.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.lost.wait(), pause)
            if not self.lost.is_set() and not await self._renew():
                self.lost.set()
        log.warning("this process led in epoch %d; another one leads now", self.epoch)

    async def _renew(self) -> bool:
        began = now()
        if self._noted.read() > self.epoch:
            return False
        try:
            if not await self._loop.run_in_executor(self._thread, self.seat.renew, self.epoch):
                return False
        except InferryError as error:
            log.warning("the lease could not be renewed: %s", error.sentence())
            if error.status != 503:
                return True
        self._confirmed = began
        return True

    def told(self) -> dict[str, Any]:
        """Who leads, for people; and who waits (None: the database does not say)."""
        try:
            standbys: list[str] | None = self.seat.standbys()
        except InferryError:
            standbys = None
        return {"name": self.lease.name, "epoch": self.epoch, "since": self.lease.since, "standbys": standbys}

    async def release(self) -> None:
        """Make room for the next one at once."""
        with contextlib.suppress(InferryError):
            await self._loop.run_in_executor(self._thread, self.seat.release, self.epoch)
