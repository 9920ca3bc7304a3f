"""A replica on another machine, as control sees it: its channel, and the host that watches it there.

Data flow: every BEAT_S control asks the host -> memory in use, what the replica has written (kept in this machine's
log), whether it has ended. When the channel closes, the host is asked why; a host that does not answer either means
that its machine is gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from inferry.backends.channel import Channel
from inferry.types.hosts import Beat, Placed
from inferry.types.identity import Identity

log = logging.getLogger(__name__)

BEAT_S = 2.0
BEAT_LIMIT_S = 20.0
WORD_S = 1.0
"""How long a host may take to say why its replica is gone."""

END_S = 8.0
RENEW_S = 86_400.0


class FarReplica(Channel):
    """A replica that a host runs."""

    placed: Placed

    def watch(
        self,
        placed: Placed,
        host: Any,
        find: Callable[[], Awaitable[Any]],
        logs: Path,
        issue: Callable[[str], Identity],
        on_silent: Callable[[str], None],
    ) -> None:
        """Begin. `find`: looks the host up when it is not known; `on_silent` is told the node of a silent host."""
        self.placed = placed
        self._host, self._find = host, find
        self._log = logs / f"{self.spec.label}.log"
        self._issue = issue
        self._on_silent = on_silent
        self._memory: float | None = None
        self._offset = 0
        self._begun: asyncio.Task[Any] = asyncio.create_task(self._beat())
        self._verdict: asyncio.Task[None] | None = None

    async def host(self) -> Any:
        """Its host, None when that is gone."""
        if self._host is None:
            self._host = await self._find()
        return self._host

    def memory_mb(self) -> float | None:
        """Its resident memory as of the last beat."""
        return self._memory

    def kill(self) -> None:
        """End it at once. Raises Superseded when this process leads no longer."""
        self._permit.check()

        async def end() -> None:
            host = await self.host()
            if host is not None:
                await asyncio.wait_for(host.kill.remote(), END_S)

        self._ending = asyncio.create_task(end())
        self._ending.add_done_callback(lambda done: done.cancelled() or done.exception())

    def close(self) -> None:
        """Hang up; the replica goes on."""
        if hasattr(self, "_begun"):
            self._begun.cancel()
        super().close()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone, or its machine is: find out which before anybody is told."""
        if hasattr(self, "placed") and not self.gone.done():
            self._verdict = asyncio.create_task(self._find_out())
        super().connection_lost(exc)

    def _give_up(self) -> None:
        if self._verdict_pending():
            return
        super()._give_up()

    def _verdict_pending(self) -> bool:
        verdict = getattr(self, "_verdict", None)
        return verdict is not None and not verdict.done()

    async def _find_out(self) -> None:
        why = "its machine does not answer"
        try:
            host = await asyncio.wait_for(self.host(), WORD_S)
            beat = await self._ask(host, WORD_S)
            why = beat.ended or "connection closed"
        except Exception as error:  # noqa: BLE001 - whatever Ray raises when a node is gone
            log.warning("replica %s: %s", self.placed.id, error or type(error).__name__)
            self._on_silent(self.placed.node)
        if not self.gone.done():
            self.gone.set_result(why)

    async def _beat(self) -> None:
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(BEAT_S)
            if time.monotonic() - renewed > RENEW_S:
                renewed = time.monotonic()
                self.renew(self._issue(self.placed.id))
            try:
                host = await self.host()
                if host is not None:
                    await self._ask(host, BEAT_LIMIT_S)
            except Exception as error:  # noqa: BLE001 - Ray may be away; the channel says when the replica is
                log.info("the host of replica %s is not heard: %s", self.placed.id, error or type(error).__name__)

    async def _ask(self, host: Any, limit_s: float) -> Beat:
        beat = msgspec.json.decode(await asyncio.wait_for(host.beat.remote(self._offset), limit_s), type=Beat)
        self._memory = beat.memory_mb
        if beat.log and beat.offset > self._offset:
            self._offset = beat.offset
            await asyncio.to_thread(self._append, beat.log)
        return beat

    def _append(self, text: bytes) -> None:
        with self._log.open("ab") as file:
            file.write(text)
