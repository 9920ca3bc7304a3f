"""DatabaseWatch: notices that the database does not take changes, and that it does again.

Data flow: `probe` every few seconds -> on a change of its answer: one line in the log; when it is well again: what it
holds is read anew, since the last words before a break may have been written or not. Between the two, control goes on
by what it read last: replicas are kept, and what asks for the database is answered with 503.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from inferry.errors import InferryError
from inferry.telemetry.loops import pause

log = logging.getLogger(__name__)

LOOK_S = 2.0
SOON_S = 0.5


class DatabaseWatch:
    """One loop. `problem`: what is wrong, in a sentence; empty when all is well."""

    def __init__(self, probe: Callable[[], None], recovered: Callable[[], Awaitable[Any]]) -> None:
        self._probe = probe
        self._recovered = recovered
        self.problem = ""

    async def run(self) -> None:
        """For ever."""
        while True:
            await pause(SOON_S if self.problem else LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Ask once."""
        try:
            await asyncio.to_thread(self._probe)
            if self.problem:
                await self._recovered()
                log.info("the database takes changes again")
            self.problem = ""
        except InferryError as error:
            if error.sentence() != self.problem:
                log.warning("degraded: %s", error.sentence())
            self.problem = error.sentence()
        except Exception:
            log.exception("asking the database failed")
