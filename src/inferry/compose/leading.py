"""Which control process leads: the contest over PostgreSQL, before anything else is opened.

Data flow: look at the lease -> `policy.lead.decide` -> follow: look again; lead: the epoch is raised, in the database
and then in the run folder -> Leadership. Over SQLite the lock on the home sees to it that there is one process.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from inferry.compose.settings import ControlSettings, Layout
from inferry.control.lead import EpochFile, Leadership, now
from inferry.errors import Conflict, Unavailable
from inferry.policy.lead import decide
from inferry.storage.seat import PostgresSeat, open_seat
from inferry.types.lead import Claim, Lease

LOOKS = 8
"""In the time of a lease."""
FOREIGN_S = 2.0
"""So much longer than a lease one waits for another platform to go."""

log = logging.getLogger(__name__)


class Contest:
    """One process that would like to lead. `follows` is called when another process of this platform leads,
    `tell` with what is wrong."""

    def __init__(
        self, layout: Layout, url: str, settings: ControlSettings, follows: Callable[[], None],
        tell: Callable[[str], None],
    ) -> None:  # fmt: skip
        self._url = url
        self._settings = settings
        self._noted = EpochFile(layout.epoch)
        self._me = Claim(holder=this_process())
        self._place = place_of(layout.home)
        self._follows = follows
        self._tell = tell
        self._seat: PostgresSeat | None = None
        self._begun = time.monotonic()

    async def lead(self) -> Leadership:
        """Return when this process leads."""
        while True:
            try:
                led = await self._look()
            except (Unavailable, Conflict) as error:
                self._tell(error.sentence())
                log.warning("this process cannot lead yet: %s", error.sentence())
                led = None
            if led is not None:
                return led
            await asyncio.sleep(self._settings.lease_s / LOOKS)

    async def _look(self) -> Leadership | None:
        if self._seat is None:
            place = (self._me.holder, self._place, self._settings.lease_s)
            self._seat = await asyncio.to_thread(open_seat, self._url, *place)
        seat = self._seat
        seen = await asyncio.to_thread(seat.look)
        lease = seen.lease
        gone = lease is not None and has_ended(lease.holder)
        if decide(lease, self._me, seen.now, gone=gone) == "follow":
            assert lease is not None
            self._follow(lease)
            return None
        asked = now()
        taken = await asyncio.to_thread(
            lambda: seat.take(gone=lease.epoch if lease is not None and gone else 0, known=self._noted.read())
        )
        if taken is None:
            return None
        self._noted.lift(taken.epoch)
        log.info("this process leads, in epoch %d", taken.epoch)
        return Leadership(seat, taken, self._settings.lease_s, self._noted, asked)

    def _follow(self, lease: Lease) -> None:
        if lease.place == self._place:
            self._follows()
        elif time.monotonic() - self._begun > self._settings.lease_s + FOREIGN_S and self._seat is not None:
            raise Conflict(
                f"Another control process works with {self._seat.shown}: {lease.name}.",
                help="Stop that platform, or give this one a database of its own.",
            )


def place_of(home: Path) -> str:
    """A name of a platform's home on this machine."""
    return hashlib.sha256(f"{socket.gethostname()}:{home.resolve()}".encode()).hexdigest()[:16]


def this_process() -> str:
    """A name of this process that no other has, on any machine."""
    return f"{_machine()}/{os.getpid()}/{_born(os.getpid())}"


def has_ended(holder: str) -> bool:
    """Whether a process is known to have ended: it ran on this machine, and is not there any more."""
    machine, pid, born = holder.rsplit("/", 2)
    return machine == _machine() and _born(int(pid)) != born


def _machine() -> str:
    """This boot of this machine, as this process's namespace sees it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{Path('/proc/self/ns/pid').readlink()}"


def _born(pid: int) -> str:
    """When a process began, in ticks since the boot; "" when there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return "" if fields[0] in ("Z", "X") else fields[19]
