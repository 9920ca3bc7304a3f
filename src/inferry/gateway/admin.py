"""Admin: the gateway's private socket, on which control pushes routing tables.

Data flow: control's table, or what changed of it (an Order, one JSON line) -> Core -> {"applied": generation}; its
question what was counted -> `counters_of` -> the answer; the gateway's own news (a replica that does not answer,
loads, answers to keep, feedback that came) go the same way. Without control the last table, kept in the run
directory, goes on being served.
"""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial
from pathlib import Path

import msgspec

from inferry.errors import Unavailable
from inferry.gateway.captures import Captures
from inferry.gateway.core import Core
from inferry.gateway.counters import EPOCH, counters_of
from inferry.gateway.loads import Reporter
from inferry.telemetry.loops import forever
from inferry.types.feedback import CaptureBatch, FeedbackAsk, FeedbackTold
from inferry.types.routing import GatewayNews, Order, RoutingTable
from inferry.types.scaling import Loads

LINE_LIMIT = 64 << 20
HEAR_S = 20.0
MAX_ASKED = 16
FRESH = 10  # batches


class Admin:
    """Serves control on a unix socket. The control that came last is the one that gets captures and feedback."""

    def __init__(self, path: Path, saved: Path) -> None:
        self.path = path
        self.saved = saved
        self._writers: set[asyncio.StreamWriter] = set()
        self._last: asyncio.StreamWriter | None = None
        self._server: asyncio.Server | None = None
        self._number = 0
        self._asked: dict[int, asyncio.Future[FeedbackTold]] = {}
        self._captures: Captures | None = None
        self._reporter: Reporter | None = None
        self._reporting: asyncio.Task[None] | None = None
        self._given = asyncio.Event()

    async def start(self, core: Core) -> None:
        """Apply the last table, then listen for newer ones."""
        self._captures = core.captures = Captures(asyncio.get_running_loop(), self._hand_over)
        if self.saved.exists():
            core.apply(msgspec.json.decode(self.saved.read_bytes(), type=RoutingTable))
            self._given.set()
        self._reporter = Reporter(core, self._tell_loads, EPOCH)
        self._reporting = asyncio.create_task(forever(self._reporter.run))
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(partial(self._serve, core), self.path, limit=LINE_LIMIT)

    async def given(self, seconds: float) -> bool:
        """Wait until there is a table, at most so long: without one every key is unknown."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._given.wait(), seconds)
        return self._given.is_set()

    def stuck(self, replica: str) -> None:
        """Tell control that a replica is silent past a deadline."""
        for writer in self._writers:
            self._write(writer, GatewayNews(stuck=replica))

    async def feedback(self, body: bytes, endpoint: str, endpoints: tuple[str, ...]) -> FeedbackTold:
        """What control says to feedback. Raises Unavailable when it is not there: nothing is kept then."""
        if self._captures is not None:
            self._captures.push(FRESH)  # so that an answer given just now is known to control first
        if self._last is None or len(self._asked) >= MAX_ASKED:
            raise no_control()
        self._number += 1
        number = self._number
        told = self._asked[number] = asyncio.get_running_loop().create_future()
        ask = FeedbackAsk(number=number, body=body, endpoint=endpoint, endpoints=endpoints)
        self._write(self._last, GatewayNews(feedback=ask))
        try:
            return await asyncio.wait_for(told, HEAR_S)
        except TimeoutError as error:
            raise no_control() from error
        finally:
            self._asked.pop(number, None)

    def _hand_over(self, batch: CaptureBatch) -> bool:
        if self._last is None:
            return False
        self._write(self._last, GatewayNews(captures=batch))
        return True

    def _tell_loads(self, loads: Loads) -> bool:
        if self._last is None:
            return False
        self._write(self._last, GatewayNews(loads=loads))
        return True

    @staticmethod
    def _write(writer: asyncio.StreamWriter, news: GatewayNews) -> None:
        writer.write(msgspec.json.encode(news) + b"\n")

    async def _serve(self, core: Core, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        self._lose()
        self._last = writer
        if self._reporter is not None:
            self._reporter.report(anew=True)
        try:
            while line := await reader.readline():
                self._obey(core, writer, msgspec.json.decode(line, type=Order))
        finally:
            self._writers.discard(writer)
            if self._last is writer:
                self._last = None
                self._lose()
            writer.close()

    def _obey(self, core: Core, writer: asyncio.StreamWriter, order: Order) -> None:
        if order.table is not None:
            given, served = order.table, core.table
            if given.epoch < served.epoch:
                self._write(writer, GatewayNews(refused=served.epoch))
            else:
                if (given.epoch, given.generation) >= (served.epoch, served.generation):
                    core.apply(given)
                    self._given.set()
                self._write(writer, GatewayNews(applied=given.generation))
        if order.change is not None and order.change.epoch < core.table.epoch:
            self._write(writer, GatewayNews(refused=core.table.epoch))
        elif order.change is not None:
            if not core.change(order.change):
                writer.close()  # control comes again, with the whole table
                return
            self._given.set()  # the first table of all may come as what differs from none
            self._write(writer, GatewayNews(applied=order.change.generation))
        if order.tell:
            self._write(writer, GatewayNews(told=order.tell, counters=counters_of(core)))
        if order.kept and core.captures is not None and writer is self._last:
            core.captures.kept(order.kept)
        if order.ended is not None:
            core.endings.told(order.ended.id, order.ended.why)
        if order.feedback is not None:
            asked = self._asked.get(order.feedback.number)
            if asked is not None and not asked.done():
                asked.set_result(order.feedback)

    def _lose(self) -> None:
        """Whoever was asked will not answer."""
        if self._captures is not None:
            self._captures.lost()
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(no_control())


def no_control() -> Unavailable:
    """What a caller with feedback is told while control is away."""
    return Unavailable(
        "Feedback cannot be kept at this moment.",
        help="Nothing of it was kept. Send it again in a moment: what is sent twice counts once.",
        retry_after=1.0,
    )
