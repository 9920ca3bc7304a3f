"""Line: control's end of one gateway's private socket.

Data flow: a connection, made again whenever it is lost -> the whole table -> orders; the gateway's acknowledgements,
loads, news of silent replicas, what it counted when it is asked, answers to keep and feedback come back the same way;
the last two are handled one after the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec

from inferry.errors import InferryError, Unavailable
from inferry.interfaces.lead import Permit
from inferry.types.feedback import CaptureBatch, FeedbackAsk, FeedbackTold
from inferry.types.routing import GatewayNews, Order, RoutingTable
from inferry.types.scaling import Loads
from inferry.types.traffic import RevisionCounters

log = logging.getLogger(__name__)

ACK_S = 5.0
RETRY_S = 0.05
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


@dataclass(frozen=True, kw_only=True)
class Told:
    """Who hears what gateways tell. `stuck`: of a replica; `loads`: of the gateway of that number."""

    stuck: Callable[[str], None]
    loads: Callable[[int, Loads], None]
    ears: Ears


class Line:
    """The connection to the gateway of a number. `table`: what it should serve by now."""

    def __init__(self, number: int, path: Path, table: Callable[[], RoutingTable], told: Told, permit: Permit) -> None:
        self.number = number
        self._path = path
        self._table = table
        self._told = told
        self._permit = permit
        self._writer: asyncio.StreamWriter | None = None
        self._applied = 0
        self._news = asyncio.Condition()
        self._asked = 0
        self._questions: dict[int, asyncio.Future[tuple[RevisionCounters, ...]]] = {}

    @property
    def connected(self) -> bool:
        """Whether the gateway is there."""
        return self._writer is not None

    async def run(self) -> None:
        """Keep the connection up, for ever."""
        while True:
            with contextlib.suppress(OSError):
                await self._session()
            self._writer = None
            await asyncio.sleep(RETRY_S)

    def write(self, order: bytes) -> None:
        """Send an order, when the gateway is there."""
        if self._writer is not None:
            self._writer.write(order)

    async def applied(self, generation: int) -> None:
        """Return when the gateway serves by this table, is gone, or was silent for ACK_S."""
        async with self._news:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._news.wait_for(lambda: self._applied >= generation or self._writer is None), ACK_S
                )

    async def counters(self) -> tuple[RevisionCounters, ...]:
        """What the gateway counted since it started, by revision. Raises Unavailable when it cannot be asked."""
        if self._writer is not None:
            self._asked += 1
            answer = self._questions[self._asked] = asyncio.get_running_loop().create_future()
            self._writer.write(encoded(Order(tell=self._asked)))
            with contextlib.suppress(TimeoutError, asyncio.CancelledError):
                return await asyncio.wait_for(asyncio.shield(answer), ACK_S)
        raise Unavailable("The gateway did not say what it counted.", help="Retry in a moment.", retry_after=1.0)

    async def _session(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_LIMIT)
        self._writer = writer
        heard: asyncio.Queue[CaptureBatch | FeedbackAsk] = asyncio.Queue()
        listening = asyncio.create_task(self._listen(heard, writer))
        try:
            table = self._table()
            if table.generation:
                writer.write(encoded(Order(table=table)))
            while line := await reader.readline():
                news = msgspec.json.decode(line, type=GatewayNews)
                self._hear(news)
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

    def _hear(self, news: GatewayNews) -> None:
        if news.refused:
            self._permit.superseded(news.refused)
        if news.stuck:
            self._told.stuck(news.stuck)
        if news.loads is not None:
            self._told.loads(self.number, news.loads)
        if news.told in self._questions:
            self._questions.pop(news.told).set_result(news.counters)

    async def _listen(self, heard: asyncio.Queue[CaptureBatch | FeedbackAsk], writer: asyncio.StreamWriter) -> None:
        """Keep and answer, in the order in which it came."""
        while True:
            said = await heard.get()
            if isinstance(said, FeedbackAsk):
                order = Order(feedback=await self._told.ears.hear(said))
            else:
                await self._keep(said)
                order = Order(kept=said.number)
            writer.write(encoded(order))

    async def _keep(self, batch: CaptureBatch) -> None:
        """Until it is on disk: the gateway holds what comes meanwhile, and drops the oldest when that is too much."""
        while True:
            try:
                await self._told.ears.keep(batch)
            except InferryError as error:
                log.warning("answers could not be kept: %s", error.sentence())
                await asyncio.sleep(KEEP_AGAIN_S)
            except Exception:  # trying the same again would only end the same way
                log.exception("%d answers are lost", len(batch.answers))
                return
            else:
                return


def encoded(order: Order) -> bytes:
    """An order as it is sent."""
    return msgspec.json.encode(order) + b"\n"
