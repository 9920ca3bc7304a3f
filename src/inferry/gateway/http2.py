"""An HTTP/2 server connection (RFC 9113, cleartext with prior knowledge): frames in, streams out.

Data flow: bytes -> frames -> a block of fields that this connection has seen before -> the opener
made of it then; else HPACK, the checks of RFC 9113, and `shared.recognise` makes one -> a Stream,
which gets the payload of its DATA frames as they come and answers through the Sender below.

The two frames that nearly all requests consist of are read inline in `_read`. Whatever is not
exactly those (padding, priorities, CONTINUATION, trailers, a content-length, frames that come in
parts) takes the general path of the same connection.

Everything a peer can do for free is bounded: control frames cost credit that answers earn back,
blocks and frames have limits, and a peer that owes bytes or does not read is left after a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from inferry.gateway import http2_frames as h2
from inferry.gateway.hpack import Decoder, Field, HpackError, TooManyFields
from inferry.gateway.http2_frames import ConnectionFault, StreamFault
from inferry.gateway.http2_output import Sender, Stream

Opener = Callable[["Connection", int], Stream]

MAX_STREAMS = 1024
MAX_FRAME = 1 << 20
MAX_BLOCK = 64 << 10
MAX_KNOWN_BLOCK = 1 << 10
MAX_KNOWN = 256
MAX_QUEUED = 128 << 20
STREAM_WINDOW = 1 << 20
CONNECTION_WINDOW = 16 << 20
CREDIT = 1000
CREDIT_A_SECOND = 100
ANSWER_EARNS = 8
RESET_COSTS = 4
TICKS = 4
LINGER_S = 2.0
GOODBYE_S = 1.0
GOODBYE = b"goodbye!"

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
SIZES = {h2.PRIORITY: 5, h2.RST_STREAM: 4, h2.PING: 8, h2.WINDOW_UPDATE: 4}


class Shared(Protocol):
    """What all connections of a server share."""

    connections: set[Connection]
    head_timeout_s: float
    body_timeout_s: float

    def recognise(self, request: h2.Request) -> Opener:
        """What to do with a request of these fields."""
        ...


class Connection(Sender, asyncio.Protocol):
    """One client connection. `registry` is where the server looks for connections to drain."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: Shared, registry: set[object]) -> None:
        super().__init__(loop)
        self.shared = shared
        self.registry = registry
        self.active = True
        self._decoder = Decoder(MAX_BLOCK)
        self._known: dict[bytes, tuple[Opener, int]] = {}
        self._last = 0  # the highest stream that was opened
        self._budget = CONNECTION_WINDOW
        self._greeted = False
        self._settled = False
        self._rest = bytearray()  # the beginning of a frame
        self._need = len(h2.PREFACE)
        self._since = 0.0  # when that, or a block without its end, began to wait
        self._left = 0  # bytes to come of a DATA frame's payload, or of one to skip
        self._pad = 0  # bytes of padding behind them
        self._target = 0  # its stream, 0 to skip
        self._ends = 0  # its END_STREAM flag
        self._block: bytearray | None = None  # a block without its end
        self._block_stream = 0
        self._block_ends = 0
        self._credit = CREDIT
        self._credited = loop.time()
        self._earned = 0
        self._leaving = False
        self._limit = h2.MAX_WINDOW  # the highest stream that may still be opened
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

    def eof_received(self) -> bool:
        """The client sends no more: nothing can be asked any more, but what was asked is answered."""
        if not self.streams:
            return False
        self._leave(final=True)
        return True

    def shutdown(self) -> None:
        """The server drains: tell the client to go elsewhere, finish what it asked, close."""
        if not self._leaving:
            self.control(h2.goaway(h2.MAX_WINDOW, h2.NO_ERROR) + h2.frame(h2.PING, 0, 0, GOODBYE))
            self._leaving = True
            self.loop.call_later(GOODBYE_S, self._leave)

    def _leave(self, *, final: bool = False) -> None:
        """Take no more streams; close when the last is answered."""
        if self.over:
            return
        if self._limit == h2.MAX_WINDOW:
            self._leaving = True
            self._limit = self._last
            if not final:
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
        self._rest = bytearray()
        if not self.transport.is_closing():
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)

    def _abort_all(self) -> None:
        streams = list(self.streams.values())
        for stream in streams:
            self._drop(stream)
            stream.aborted()

    # reading

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self.active = True
        if self.over:
            return
        if self._rest:
            self._rest += data
            if len(self._rest) < self._need:
                return
            data = bytes(self._rest)
            self._rest = bytearray()
        self._scheduled = True  # all answers of this turn leave with its end
        try:
            self._read(data)
        except ConnectionFault as fault:
            self._fail(fault)
        except HpackError as error:
            code = h2.ENHANCE_YOUR_CALM if isinstance(error, TooManyFields) else h2.COMPRESSION_ERROR
            self._fail(ConnectionFault(code, str(error)))
        self.flush()
        if self._ticker is None and (self._since or self._opened):
            self._watch()

    def _read(self, data: bytes) -> None:
        """Handle all complete frames; keep the beginning of the next."""
        at, end = 0, len(data)
        if not self._greeted:
            at = self._greet(data)
            if not self._greeted:
                return
        if self._left or self._pad:
            at = self._payload(data, at)
        unpack, streams = h2.HEADER.unpack_from, self.streams
        while end - at >= 9:
            word, flags, number = unpack(data, at)
            kind, start = word & 0xFF, at + 9
            stop = start + (word >> 8)
            if stop <= end and self._block is None:
                if kind == h2.DATA and flags < 2:
                    size = stop - start
                    stream = streams.get(number)
                    if (
                        stream is not None
                        and 0 < size <= stream.budget
                        and size <= self._budget
                        and stream.expected < 0
                        and stream.open
                    ):
                        self._budget -= size
                        stream.budget -= size
                        if flags:
                            stream.open = False
                            self._opened -= 1
                        stream.received(data[start:stop], flags)
                        if self._budget < CONNECTION_WINDOW >> 1 or stream.budget < STREAM_WINDOW >> 1:
                            self.grant(stream)
                        at = stop
                        continue
                elif kind == h2.HEADERS and flags == h2.END_HEADERS:
                    known = self._known.get(data[start:stop])
                    if known is not None and self._may_open(number):
                        self._last = number
                        self._opened += 1
                        stream = streams[number] = known[0](self, number)
                        stream.expected = known[1]
                        at = stop
                        continue
            at = self._frame(data, at, kind, flags, number, stop)
            if at < 0:
                return
        self._keep(data, at, 9)

    def _greet(self, data: bytes) -> int:
        """Check the preface. Where the first frame begins."""
        size = len(h2.PREFACE)
        if not h2.PREFACE.startswith(data[:size]):
            raise ConnectionFault(h2.PROTOCOL_ERROR, "this port speaks HTTP/2 with prior knowledge (h2c) only")
        if len(data) < size:
            self._keep(data, 0, size)
            return 0
        self._greeted = True
        self._out.append(GREETING)
        return size

    def _keep(self, data: bytes, at: int, need: int) -> None:
        """Wait for the rest of what begins at `at`."""
        self._rest = bytearray(data[at:])
        self._need = need
        if not self._rest and self._block is None:
            self._since = 0.0
        elif at or not self._since:
            self._since = self.loop.time()

    def _frame(self, data: bytes, at: int, kind: int, flags: int, number: int, stop: int) -> int:
        """The general path: any frame, perhaps not all here. Where the next begins, -1 to wait for more."""
        start, size = at + h2.HEADER_SIZE, stop - at - h2.HEADER_SIZE
        number &= h2.MAX_WINDOW
        self._check_turn(kind, flags, number)
        if size > MAX_FRAME:
            raise ConnectionFault(h2.FRAME_SIZE_ERROR, "a frame over the size that was agreed")
        if kind == h2.DATA:
            return self._data(data, start, stop, flags, number)
        if kind > h2.CONTINUATION:
            self._spend(1)
            self._left, self._pad, self._target = size, 0, 0
            return self._payload(data, start)
        if size > MAX_BLOCK:
            raise ConnectionFault(h2.ENHANCE_YOUR_CALM, "a frame too large for its kind")
        if stop > len(data):
            self._keep(data, at, stop - at)
            return -1
        payload = data[start:stop]
        if SIZES.get(kind, size) != size:
            if kind != h2.PRIORITY:
                raise ConnectionFault(h2.FRAME_SIZE_ERROR, "a frame of the wrong size")
            self._refuse(number, h2.FRAME_SIZE_ERROR)
        elif kind == h2.HEADERS:
            self._headers(payload, flags, number)
        elif kind == h2.CONTINUATION:
            self._continuation(payload, flags)
        else:
            self._control_frame(kind, flags, number, payload)
        return stop

    def _check_turn(self, kind: int, flags: int, number: int) -> None:
        """Whether a frame of this kind may come now."""
        if not self._settled:
            if kind != h2.SETTINGS or flags & h2.ACK:
                raise ConnectionFault(h2.PROTOCOL_ERROR, "SETTINGS must come first")
            self._settled = True
        if self._block is not None and (kind != h2.CONTINUATION or number != self._block_stream):
            raise ConnectionFault(h2.PROTOCOL_ERROR, "a block of fields must go on")

    # requests

    def _may_open(self, number: int) -> bool:
        """Whether a stream may be opened as a matter of course."""
        return (
            self._last < number <= self._limit
            and number & 1 == 1
            and len(self.streams) < MAX_STREAMS
            and self.queued <= MAX_QUEUED
        )

    def _headers(self, payload: bytes, flags: int, number: int) -> None:
        if not number & 1:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "a stream with an even number, or none")
        begin, end = 0, len(payload)
        if flags & h2.PADDED:
            if not payload or payload[0] >= end:
                raise ConnectionFault(h2.PROTOCOL_ERROR, "more padding than there is")
            begin, end = 1, end - payload[0]
        if flags & h2.PRIORITIZED:
            if end - begin < 5:
                raise ConnectionFault(h2.FRAME_SIZE_ERROR, "HEADERS without their priority")
            begin += 5
        block = payload[begin:end]
        if flags & h2.END_HEADERS:
            self._fields(block, flags & h2.END_STREAM, number)
        else:
            self._block, self._block_stream, self._block_ends = bytearray(block), number, flags & h2.END_STREAM

    def _continuation(self, payload: bytes, flags: int) -> None:
        block = self._block
        if block is None:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "CONTINUATION of nothing")
        self._spend(1)
        block += payload
        if len(block) > MAX_BLOCK:
            raise ConnectionFault(h2.ENHANCE_YOUR_CALM, "a block of fields that is too large")
        if flags & h2.END_HEADERS:
            self._block = None
            self._fields(bytes(block), self._block_ends, self._block_stream)

    def _fields(self, block: bytes, ends: int, number: int) -> None:
        """A complete block: a new stream, or the trailers of one."""
        stream = self.streams.get(number)
        if stream is not None and stream.open:
            self._trailers(stream, block, ends)
            return
        before = self._decoder.generation
        fields = self._decoder.decode(block)
        if self._decoder.generation != before:
            self._known.clear()
        if number <= self._last:
            if number in self._forgiven:
                return  # trailers that crossed our reset
            code = h2.STREAM_CLOSED if stream is not None or number in self._ended else h2.PROTOCOL_ERROR
            raise ConnectionFault(code, "HEADERS on a stream that has ended")
        self._last = number
        try:
            request = h2.read_request(fields)
        except StreamFault as fault:
            self._refuse(number, fault.code)
            return
        if number > self._limit or len(self.streams) >= MAX_STREAMS or self.queued > MAX_QUEUED:
            self._refuse(number, h2.REFUSED_STREAM)
            return
        opener = self.shared.recognise(request)
        if self._decoder.generation == before and len(block) <= MAX_KNOWN_BLOCK:
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            self._known[block] = opener, request.length
        stream = self.streams[number] = opener(self, number)
        stream.expected = request.length
        self._opened += 1
        if ends:
            self._deliver(stream, b"", ends)

    def _trailers(self, stream: Stream, block: bytes, ends: int) -> None:
        before = self._decoder.generation
        fields: list[Field] = self._decoder.decode(block)
        if self._decoder.generation != before:
            self._known.clear()
        try:
            for name, value in fields:
                h2.check_field(name, value)
            if not ends:
                raise StreamFault(h2.PROTOCOL_ERROR)
        except StreamFault as fault:
            self._give_up(stream, fault.code)
        else:
            self._deliver(stream, b"", ends)

    def _data(self, data: bytes, start: int, stop: int, flags: int, number: int) -> int:
        """A DATA frame, at least its header. Where to read on."""
        size, pad = stop - start, 0
        if flags & h2.PADDED:
            if not size:
                raise ConnectionFault(h2.FRAME_SIZE_ERROR, "DATA without its padding's length")
            if start >= len(data):
                self._keep(data, start - h2.HEADER_SIZE, h2.HEADER_SIZE + 1)
                return -1
            pad = data[start]
            start += 1
            if pad > size - 1:
                raise ConnectionFault(h2.PROTOCOL_ERROR, "more padding than there is")
        if not number or number > self._last:
            raise ConnectionFault(h2.PROTOCOL_ERROR, "DATA on a stream that was never opened")
        self._budget -= size
        if self._budget < 0:
            raise ConnectionFault(h2.FLOW_CONTROL_ERROR, "more DATA than the window allows")
        self._left, self._pad, self._target, self._ends = stop - start - pad, pad, number, flags & h2.END_STREAM
        stream = self.streams.get(number)
        if stream is not None and stream.open:
            stream.budget -= size
            if stream.budget < 0:
                self._give_up(stream, h2.FLOW_CONTROL_ERROR)
            if not self._left:
                self._spend(0 if self._ends else 1)
                self._deliver(stream, b"", self._ends)
        elif stream is not None:
            self._give_up(stream, h2.STREAM_CLOSED)
        elif number not in self._forgiven:
            self._spend(1)
            self._out.append(h2.reset(number, h2.STREAM_CLOSED))
        else:
            self._spend(0 if size else 1)
        self.grant(stream)
        return self._payload(data, start)

    def _payload(self, data: bytes, at: int) -> int:
        """What is here of the payload that is under way. Where it ends, or all is read."""
        end = len(data)
        if self._left:
            stop = min(at + self._left, end)
            self._left -= stop - at
            stream = self.streams.get(self._target)
            if stream is not None and stop > at:
                self._deliver(stream, data[at:stop], 0 if self._left else self._ends)
            at = stop
        skipped = min(self._pad, end - at)
        self._pad -= skipped
        return at + skipped

    def _deliver(self, stream: Stream, data: bytes, last: int) -> None:
        """Bytes for a stream, on the general path."""
        if not stream.open:
            return
        if stream.expected >= 0:
            left = stream.expected - len(data)
            if left < 0 or (last and left):
                self._give_up(stream, h2.PROTOCOL_ERROR)
                return
            stream.expected = left
        if last:
            stream.open = False
            self._opened -= 1
        if data or last:
            stream.received(data, last)

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
                self.control(h2.frame(h2.PING, 0, 0, b"are you?"))
            elif not self._leaving:
                self.shutdown()
        if self.active:
            self._asked = False
        self._unread, self._moved = unread, self.moved
        self.active = False
