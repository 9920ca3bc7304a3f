"""An HTTP/2 server connection (RFC 9113, cleartext with prior knowledge): frames in, streams out.

Data flow: bytes -> frames -> a block of fields that this connection has seen before -> the opener
made of it then; else HPACK, the checks of RFC 9113, and `shared.recognise` makes one -> a Stream,
which gets the payload of its DATA frames as they come and answers through the Sender below.

The two frames that nearly all requests consist of are read inline in `_read`, and the window
updates that gRPC clients send with each. Whatever is not exactly those (padding, priorities,
CONTINUATION, trailers, a content-length, frames that come in parts) takes the general path of the
same connection.
"""

from __future__ import annotations

import asyncio

from inferry.gateway import http2_frames as h2
from inferry.gateway.hpack import Decoder, Field, HpackError, TooManyFields
from inferry.gateway.http2_control import (
    CONNECTION_WINDOW,
    GREETING,
    MAX_BLOCK,
    MAX_FRAME,
    MAX_STREAMS,
    STREAM_WINDOW,
    Control,
    Opener,
    Shared,
)
from inferry.gateway.http2_frames import ConnectionFault, StreamFault
from inferry.gateway.http2_output import Stream

MAX_KNOWN_BLOCK = 1 << 10
MAX_KNOWN = 256
MAX_QUEUED = 128 << 20
WINDOW_UPDATE_WORD = 4 << 8 | h2.WINDOW_UPDATE
SIZES = {h2.PRIORITY: 5, h2.RST_STREAM: 4, h2.PING: 8, h2.WINDOW_UPDATE: 4}


class Connection(Control):
    """One client connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, shared: Shared, registry: set[object]) -> None:
        super().__init__(loop, shared, registry)
        self._decoder = Decoder(MAX_BLOCK)
        self._known: dict[bytes, tuple[Opener, int]] = {}
        self._greeted = False
        self._settled = False
        self._rest = bytearray()  # the beginning of a frame
        self._need = len(h2.PREFACE)
        self._left = 0  # bytes to come of a DATA frame's payload, or of one to skip
        self._pad = 0  # bytes of padding behind them
        self._target = 0  # its stream, 0 to skip
        self._ends = 0  # its END_STREAM flag
        self._block: bytearray | None = None  # a block without its end
        self._block_stream = 0
        self._block_ends = 0

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
        at, end = 0 if self._greeted else self._greet(data), len(data)
        if at < 0:
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
                elif word == WINDOW_UPDATE_WORD and number <= self._last and self._settled and self._credit > 0:
                    self._credit -= 1
                    self._window_update(number, int.from_bytes(data[start:stop], "big") & h2.MAX_WINDOW)
                    at = stop
                    continue
            at = self._frame(data, at, kind, flags, number, stop)
            if at < 0:
                return
        self._keep(data, at, 9)

    def _greet(self, data: bytes) -> int:
        """Check the preface. Where the first frame begins, -1 to wait for more."""
        size = len(h2.PREFACE)
        if not h2.PREFACE.startswith(data[:size]):
            raise ConnectionFault(h2.PROTOCOL_ERROR, "this port speaks HTTP/2 with prior knowledge (h2c) only")
        if len(data) < size:
            self._keep(data, 0, size)
            return -1
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
        self._spend(len(block) >> 8)
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
