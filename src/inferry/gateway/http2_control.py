"""An HTTP/2 connection's own affairs: its beginning and end, control frames, what a client may cost.

Data flow: SETTINGS, PING, WINDOW_UPDATE, RST_STREAM, GOAWAY -> the sending half's books; the server
stops -> GOAWAY twice, as RFC 9113, 6.8 has it, so that no request on its way is lost -> closed.

Everything a peer can do for free is bounded: control frames cost credit that answers earn back,
and a peer that owes bytes, does not read or is not there any more is left after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from inferry.gateway import http2_frames as h2
from inferry.gateway.http2_frames import ConnectionFault
from inferry.gateway.http2_output import Sender, Stream

MAX_STREAMS = 1024
MAX_FRAME = 1 << 20
MAX_BLOCK = 16 << 10
STREAM_WINDOW = 1 << 20
CONNECTION_WINDOW = 16 << 20
CREDIT = 1000
CREDIT_A_SECOND = 100
ANSWER_EARNS = 8
RESET_COSTS = 4
TICKS = 4
LINGER_S = 2.0
GOODBYE_S = 1.0
GOODBYE, ARE_YOU = b"goodbye!", b"are you?"

SETTINGS = h2.settings(
    {
        h2.MAX_CONCURRENT_STREAMS: MAX_STREAMS,
        h2.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        h2.MAX_FRAME_SIZE: MAX_FRAME,
        h2.MAX_HEADER_LIST_SIZE: MAX_BLOCK,
    }
)
GREETING = SETTINGS + h2.window_update(0, CONNECTION_WINDOW - h2.DEFAULT_WINDOW)
SETTINGS_ACK = h2.frame(h2.SETTINGS, h2.ACK, 0)

Opener = Callable[[Sender, int], Stream]


class Shared(Protocol):
    """What all connections of a server share."""

    connections: set[Control]
    head_timeout_s: float
    body_timeout_s: float

    def recognise(self, request: h2.Request) -> Opener:
        """What to do with a request of these fields."""
        ...


class Control(Sender, asyncio.Protocol):
    """What a connection is apart from its requests. `registry` is where the server looks for connections to drain."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: Shared, registry: set[object]) -> None:
        super().__init__(loop)
        self.shared = shared
        self.registry = registry
        self.active = True  # something came since the last sweep
        self._last = 0  # the highest stream that was opened
        self._limit = h2.MAX_WINDOW  # the highest that may be
        self._leaving = False
        self._budget = CONNECTION_WINDOW
        self._since = 0.0  # when the beginning of a frame or block began to wait for the rest
        self._credit = CREDIT
        self._credited = loop.time()
        self._earned = 0
        self._ticker: asyncio.TimerHandle | None = None
        self._unread = 0
        self._moved = -1
        self._asked = False

    # the connection's life

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client."""
        self.transport = cast("asyncio.Transport", transport)
        self.shared.connections.add(self)
        self.registry.add(self)
        self._since = self.loop.time()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        """The client is gone: drop its work."""
        self.over = True
        self.shared.connections.discard(self)
        self.registry.discard(self)
        if self._ticker is not None:
            self._ticker.cancel()
        self._abort_all()

    def shutdown(self) -> None:
        """The server drains: tell the client to go elsewhere, finish what it asked, close."""
        if not self._leaving:
            self.control(h2.goaway(h2.MAX_WINDOW, h2.NO_ERROR) + h2.frame(h2.PING, 0, 0, GOODBYE))
            self._leaving = True
            self.loop.call_later(GOODBYE_S, self._leave)

    def _leave(self) -> None:
        """Take no more streams; close when the last is answered."""
        if self.over:
            return
        if self._limit == h2.MAX_WINDOW:
            self._leaving = True
            self._limit = self._last
            self.control(h2.goaway(self._last, h2.NO_ERROR))
            for stream in list(self.streams.values()):
                stream.leave()
        self._maybe_close()

    def _maybe_close(self) -> None:
        if self._limit != h2.MAX_WINDOW and not self.streams and not self.over:
            super().flush()
            self.over = True
            self.transport.close()

    def flush(self) -> None:
        """One write for all that is ready, and the end when it was the last."""
        super().flush()
        if self._leaving:
            self._maybe_close()

    def _fail(self, fault: ConnectionFault) -> None:
        """Say why, and hang up; what the client still sends is thrown away for a moment, so that it reads that."""
        self._abort_all()
        self._out.append(h2.goaway(min(self._last, self._limit), fault.code, fault.reason))
        self.flush()
        self.over = True
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)

    def _abort_all(self) -> None:
        streams = list(self.streams.values())
        for stream in streams:
            self._drop(stream)
            stream.aborted()

    # control frames

    def _control_frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind in (h2.SETTINGS, h2.PING, h2.GOAWAY):
            if number:
                raise ConnectionFault(h2.PROTOCOL_ERROR, "a frame of the connection on a stream")
        elif kind != h2.WINDOW_UPDATE and not number:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "a frame of a stream on none")
        self._spend(RESET_COSTS if kind == h2.RST_STREAM else 1)
        if kind == h2.SETTINGS:
            self._settings(payload, flags)
        elif kind == h2.PING:
            self._ping(payload, flags)
        elif kind == h2.WINDOW_UPDATE:
            self._window_update(number, int.from_bytes(payload, "big") & h2.MAX_WINDOW)
        elif kind == h2.RST_STREAM:
            self._reset_by_client(number)
        elif kind == h2.GOAWAY and len(payload) < 8:
            raise ConnectionFault(h2.FRAME_SIZE_ERROR, "GOAWAY of the wrong size")
        elif kind == h2.PUSH_PROMISE:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "a client may not push")

    def _ping(self, payload: bytes, flags: int) -> None:
        if not flags & h2.ACK:
            self._out.append(h2.frame(h2.PING, h2.ACK, 0, payload))
        elif payload == GOODBYE:
            self._leave()

    def _reset_by_client(self, number: int) -> None:
        if number > self._last:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "RST_STREAM of a stream that was never opened")
        stream = self.streams.get(number)
        if stream is not None:
            self._drop(stream)
            stream.aborted()

    def _settings(self, payload: bytes, flags: int) -> None:
        if flags & h2.ACK:
            if payload:
                raise ConnectionFault(h2.FRAME_SIZE_ERROR, "an acknowledgement with settings")
            return
        for setting, value in h2.read_settings(payload):
            if setting == h2.INITIAL_WINDOW_SIZE:
                if value > h2.MAX_WINDOW:
                    raise ConnectionFault(h2.FLOW_CONTROL_ERROR, "a window beyond its limit")
                self.resize(value)
            elif setting == h2.MAX_FRAME_SIZE:
                if not h2.LEAST_FRAME <= value <= h2.MOST_FRAME:
                    raise ConnectionFault(h2.PROTOCOL_ERROR, "a frame size that cannot be")
                self.reframe(value)
            elif setting == h2.HEADER_TABLE_SIZE and value < 4096:
                self.empty_table()
            elif setting == h2.ENABLE_PUSH and value > 1:
                raise ConnectionFault(h2.PROTOCOL_ERROR, "a flag that is neither 0 nor 1")
        self._out.append(SETTINGS_ACK)

    def _window_update(self, number: int, increment: int) -> None:
        if number > self._last:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "WINDOW_UPDATE of a stream that was never opened")
        stream = self.streams.get(number)
        if not increment:
            if not number:
                raise ConnectionFault(h2.PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
            if stream is not None:
                self._give_up(stream, h2.PROTOCOL_ERROR)
        elif not number:
            self.widen(increment)
        elif stream is not None:
            self.widen_stream(stream, increment)

    def _give_up(self, stream: Stream, code: int) -> None:
        """End one stream for a fault of the client's."""
        self._spend(1)
        self.reset(stream, code)
        stream.aborted()

    def _refuse(self, number: int, code: int) -> None:
        """Answer a stream that is not there with RST_STREAM."""
        self._spend(1)
        if not number:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "a frame of a stream on none")
        self._forgiven.append(number)
        self._out.append(h2.reset(number, code))

    def grant(self, stream: Stream | None) -> None:
        """Allow the client to send more, in large steps."""
        if self._budget < CONNECTION_WINDOW >> 1:
            self._out.append(h2.window_update(0, CONNECTION_WINDOW - self._budget))
            self._budget = CONNECTION_WINDOW
        if stream is not None and stream.open and stream.budget < STREAM_WINDOW >> 1 and stream.takes():
            self._out.append(h2.window_update(stream.id, STREAM_WINDOW - stream.budget))
            stream.budget = STREAM_WINDOW
        if self._out:
            self.soon()

    def _spend(self, cost: int) -> None:
        """Pay for what costs the client nothing. Raises ConnectionFault when there is no credit left."""
        self._credit -= cost
        if self._credit < 0:
            now = self.loop.time()
            earned = (self.moved - self._earned) * ANSWER_EARNS + int((now - self._credited) * CREDIT_A_SECOND)
            self._earned, self._credited = self.moved, now
            self._credit = min(CREDIT, self._credit + earned)
            if self._credit < 0:
                raise ConnectionFault(h2.ENHANCE_YOUR_CALM, "too many frames that ask for nothing")

    # time limits

    def _watch(self) -> None:
        """Look again in a while, as long as the client owes something."""
        self._ticker = self.loop.call_later(self.shared.body_timeout_s / TICKS, self._tick)

    def _tick(self) -> None:
        self._ticker = None
        if self.over:
            return
        if self._since and self.loop.time() - self._since > self.shared.head_timeout_s:
            self._fail(ConnectionFault(h2.NO_ERROR, "the rest of a frame did not come in time"))
            return
        for stream in list(self.streams.values()):
            if stream.open and stream.owes():
                stream.age += 1
                if stream.age > TICKS:
                    stream.overdue()
            else:
                stream.age = 0
        if self._since or self._opened:
            self._watch()

    def sweep(self) -> None:
        """Called now and then: leave a client that does not read, does nothing, or is not there any more."""
        unread = self.transport.get_write_buffer_size()
        stuck = (unread and unread == self._unread) or (self.queued and self.moved == self._moved)
        if stuck or (not self.active and self._asked):
            self.over = True
            self.transport.abort()
        elif not self.active:
            if self.streams:
                self._asked = True
                self.control(h2.frame(h2.PING, 0, 0, ARE_YOU))
            elif not self._leaving:
                self.shutdown()
        if self.active:
            self._asked = False
        self._unread, self._moved = unread, self.moved
        self.active = False
