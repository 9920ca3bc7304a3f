"""Publisher: control's end of the gateway's private socket.

Data flow: RoutingTable -> what differs from the last one -> the socket -> the gateway's acknowledgement; all of it into
the run directory, for a gateway that starts without control. Loads, news of silent replicas, what was counted when it
is asked for, answers to keep and feedback come back the same way; the last two are handled one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from inferry.errors import InferryError, Unavailable
from inferry.interfaces.lead import Permit
from inferry.security.files import write_private
from inferry.types.feedback import CaptureBatch, FeedbackAsk, FeedbackTold
from inferry.types.routing import Ended, GatewayNews, Order, RoutingTable, difference
from inferry.types.scaling import Loads
from inferry.types.traffic import RevisionCounters

log = logging.getLogger(__name__)

ACK_S = 5.0
RETRY_S = 0.05
SAVE_S = 0.5
KEEP_AGAIN_S = 1.0
LINE_LIMIT = 64 << 20


class Ears(Protocol):
    """Who gets answers to keep, and feedback."""

    async def keep(self, batch: CaptureBatch) -> None:
        """Return when they are on disk."""
        ...

    async def hear(self, ask: FeedbackAsk) -> FeedbackTold:
        """What to answer."""
        ...


class Publisher:
    """Keeps the gateway's table current."""

    def __init__(
        self,
        path: Path,
        saved: Path,
        on_stuck: Callable[[str], None],
        on_loads: Callable[[Loads], None],
        ears: Ears,
        permit: Permit,
    ) -> None:
        self.table = RoutingTable()
        self._permit = permit
        self._path = path
        self._saved = saved
        self._on_stuck = on_stuck
        self._on_loads = on_loads
        self._ears = ears
        self._writer: asyncio.StreamWriter | None = None
        self._applied = 0
        self._news = asyncio.Condition()
        self._number = 0
        self._questions: dict[int, asyncio.Future[tuple[RevisionCounters, ...]]] = {}
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._unsaved = asyncio.Event()
        if saved.exists():
            self.table = msgspec.json.decode(saved.read_bytes(), type=RoutingTable)
        later = max(self.table.generation + 1, time.time_ns() // 1_000_000)  # the gateway may have another one
        generation = later if self.table.generation else 0
        self.table = msgspec.structs.replace(self.table, generation=generation, epoch=permit.epoch)

    @property
    def connected(self) -> bool:
        """Whether the gateway is there."""
        return self._writer is not None

    def start(self) -> None:
        """Begin to keep the connection up."""
        self._tasks = asyncio.create_task(self._run()), asyncio.create_task(self._save())

    async def publish(self, table: RoutingTable) -> None:
        """Push what changed; returns when the gateway has swapped it in, or cannot be reached. The table is saved
        behind that: requests may wait for a replica that it brings. Raises Superseded when this process leads no
        longer.
        """
        self._permit.check()
        change = difference(self.table, table)
        if change is None:
            return
        self.table = msgspec.structs.replace(table, generation=change.generation, epoch=self._permit.epoch)
        self._unsaved.set()
        if self._writer is None:
            return
        self._writer.write(msgspec.json.encode(Order(change=change)) + b"\n")
        async with self._news:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._news.wait_for(lambda: self._applied >= change.generation or self._writer is None), ACK_S
                )

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
        if self._writer is not None:
            self._writer.write(msgspec.json.encode(Order(ended=Ended(id=replica, why=why))) + b"\n")

    async def counters(self) -> tuple[RevisionCounters, ...]:
        """What the gateway counted since it started, by revision. Raises Unavailable when it cannot be asked."""
        if self._writer is not None:
            self._number += 1
            answer = self._questions[self._number] = asyncio.get_running_loop().create_future()
            self._writer.write(msgspec.json.encode(Order(tell=self._number)) + b"\n")
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                return await asyncio.wait_for(asyncio.shield(answer), ACK_S)
        raise Unavailable("The gateway did not say what it counted.", help="Retry in a moment.", retry_after=1.0)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                await self._session()
            self._writer = None
            await asyncio.sleep(RETRY_S)

    async def _session(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_LIMIT)
        self._writer = writer
        heard: asyncio.Queue[CaptureBatch | FeedbackAsk] = asyncio.Queue()
        listening = asyncio.create_task(self._listen(heard, writer))
        try:
            if self.table.generation:
                writer.write(msgspec.json.encode(Order(table=self.table)) + b"\n")
            while line := await reader.readline():
                news = msgspec.json.decode(line, type=GatewayNews)
                if news.refused:
                    self._permit.superseded(news.refused)
                if news.stuck:
                    self._on_stuck(news.stuck)
                if news.loads is not None:
                    self._on_loads(news.loads)
                if news.told in self._questions:
                    self._questions.pop(news.told).set_result(news.counters)
                for said in (news.captures, news.feedback):
                    if said is not None:
                        heard.put_nowait(said)
                async with self._news:
                    self._applied = max(self._applied, news.applied)
                    self._news.notify_all()
        finally:
            listening.cancel()
            self._writer = None
            writer.close()
            for question in self._questions.values():
                question.cancel()
            self._questions.clear()
            async with self._news:
                self._news.notify_all()

    async def _listen(self, heard: asyncio.Queue[CaptureBatch | FeedbackAsk], writer: asyncio.StreamWriter) -> None:
        """Keep and answer, in the order in which it came."""
        while True:
            said = await heard.get()
            if isinstance(said, FeedbackAsk):
                order = Order(feedback=await self._ears.hear(said))
            else:
                await self._keep(said)
                order = Order(kept=said.number)
            writer.write(msgspec.json.encode(order) + b"\n")

    async def _keep(self, batch: CaptureBatch) -> None:
        """Until it is on disk: the gateway holds what comes meanwhile, and drops the oldest when that is too much."""
        while True:
            try:
                await self._ears.keep(batch)
            except InferryError as error:
                log.warning("answers could not be kept: %s", error.sentence())
                await asyncio.sleep(KEEP_AGAIN_S)
            except Exception:  # trying the same again would only end the same way
                log.exception("%d answers are lost", len(batch.answers))
                return
            else:
                return


def save(path: Path, table: RoutingTable) -> None:
    """Keep a table."""
    write_private(path, msgspec.json.encode(table))
