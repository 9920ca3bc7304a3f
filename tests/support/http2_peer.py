"""A client of one HTTP/2 connection in memory: no socket, a clock that the test moves, every byte seen.

`Peer` sends frames to a `Connection` and reads what it wrote; `Echo` is a service whose answer is
the request's bytes, and which notes what it is told of a stream.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from inferry.gateway import http2, http2_control
from inferry.gateway import http2_frames as h2
from inferry.gateway.hpack import Decoder, block_of
from inferry.gateway.http2_output import Answer, Stream

REQUEST = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/echo"), (b":authority", b"x")]
HEAD, TAIL = block_of((b":status", b"200")), block_of((b"x-end", b"1"))
ANSWER = Answer(HEAD, TAIL)


class Timer:
    def __init__(self, at: float, action: Callable[[], object]) -> None:
        self.at, self.action, self.cancelled = at, action, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """As much of an event loop as a connection uses."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.ready: list[Callable[[], object]] = []
        self.timers: list[tuple[float, int, Timer]] = []
        self.count = itertools.count()

    def time(self) -> float:
        return self.now

    def call_soon(self, action, *arguments) -> None:
        self.ready.append(partial(action, *arguments))

    def call_later(self, delay: float, action, *arguments) -> Timer:
        timer = Timer(self.now + delay, partial(action, *arguments))
        heapq.heappush(self.timers, (timer.at, next(self.count), timer))
        return timer

    def turn(self) -> None:
        """Run what is due until nothing is."""
        while self.ready:
            ready, self.ready = self.ready, []
            for action in ready:
                action()

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        end = self.now + seconds
        while self.timers and self.timers[0][0] <= end:
            at, _, timer = heapq.heappop(self.timers)
            self.now = max(self.now, at)
            if not timer.cancelled:
                timer.action()
            self.turn()
        self.now = end


class Transport:
    """Takes what is written; `room` bytes until it asks to pause."""

    def __init__(self) -> None:
        self.written = bytearray()
        self.writes = 0
        self.closed = self.aborted = self.eof = False
        self.reading = True
        self.room: int | None = None
        self.protocol: http2.Connection

    def write(self, data) -> None:
        assert not self.closed, "written after the close"
        self.writes += 1
        self.written += data
        if self.room is not None and len(self.written) > self.room:
            self.protocol.pause_writing()

    def writelines(self, pieces) -> None:
        self.write(b"".join(pieces))

    def write_eof(self) -> None:
        self.eof = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0


class EchoStream(Stream):
    """Answers what it got when all is there. `/hold` waits until the test calls `finish`."""

    def __init__(self, service, hold, connection, id) -> None:
        Stream.__init__(self, connection, id, http2_control.STREAM_WINDOW)
        self.service, self.hold = service, hold
        self.data, self.done, self.lost = bytearray(), False, False
        service.streams.append(self)

    def received(self, data: bytes, last: int) -> None:
        self.data += data
        if last:
            self.done = True
            if not self.hold:
                self.finish()

    def takes(self) -> bool:
        return self.service.takes

    def finish(self, body: bytes | None = None) -> None:
        self.connection.finish(self, ANSWER, b"", bytes(self.data) if body is None else body)

    def aborted(self) -> None:
        self.lost = True

    def overdue(self) -> None:
        self.connection.end(self, block_of((b":status", b"408")))


class Echo:
    """The service."""

    def __init__(self) -> None:
        self.connections: set[http2.Connection] = set()
        self.head_timeout_s, self.body_timeout_s = 10.0, 60.0
        self.streams: list[EchoStream] = []
        self.recognised = 0
        self.takes = True

    def recognise(self, request: h2.Request):
        self.recognised += 1
        return partial(EchoStream, self, request.path == b"/hold")


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes


class Peer:
    """The client's side."""

    def __init__(self, greet: bool = True) -> None:
        self.loop, self.transport, self.service = Loop(), Transport(), self.make_service()
        self.registry: set[object] = set()
        self.connection = http2.Connection(self.loop, self.service, self.registry)  # type: ignore[arg-type]
        self.transport.protocol = self.connection
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]
        self.decoder = Decoder(1 << 20)
        self.read_to = 0
        if greet:
            self.send(h2.PREFACE + h2.settings({}))
            kinds = [(frame.kind, frame.flags) for frame in self.frames()]
            assert kinds == [(h2.SETTINGS, 0), (h2.WINDOW_UPDATE, 0), (h2.SETTINGS, h2.ACK)]

    def make_service(self) -> Any:
        """What answers the requests."""
        return Echo()

    def send(self, data: bytes, piece: int = 0) -> Peer:
        """Bytes, as one read or in pieces."""
        for start in range(0, len(data), piece or max(1, len(data))):
            self.connection.data_received(data[start : start + (piece or len(data))])
            self.loop.turn()
        return self

    def frames(self) -> list[Frame]:
        """What the server wrote since the last look."""
        self.loop.turn()
        found, data = [], bytes(self.transport.written)
        while len(data) - self.read_to >= 9:
            word, flags, stream = h2.HEADER.unpack_from(data, self.read_to)
            end = self.read_to + 9 + (word >> 8)
            assert end <= len(data), "half a frame"
            found.append(Frame(word & 0xFF, flags, stream, data[self.read_to + 9 : end]))
            self.read_to = end
        assert self.read_to == len(data), "half a header"
        return found

    def said(self) -> list[tuple]:
        """The frames in a short form that tests compare: faults, and answers by their bytes."""
        short: list[tuple] = []
        for kind, flags, stream, payload in self.frames():
            if kind == h2.GOAWAY:
                short.append(("goaway", int.from_bytes(payload[4:8], "big")))
            elif kind == h2.RST_STREAM:
                short.append(("reset", stream, int.from_bytes(payload, "big")))
            elif kind == h2.HEADERS:
                fields = dict(self.decoder.decode(payload))
                if flags & h2.END_STREAM:
                    short.append(("end", stream, fields))
                else:
                    short.append(("head", stream, fields))
            elif kind == h2.DATA:
                short.append(("data", stream, payload))
        return short

    def alive(self) -> bool:
        """Whether it still answers a PING."""
        if self.connection.over:
            return False
        self.send(h2.frame(h2.PING, 0, 0, b"alive???"))
        return Frame(h2.PING, h2.ACK, 0, b"alive???") in self.frames()


def request(stream: int, body: bytes = b"hello", fields=REQUEST, *, path: bytes = b"") -> bytes:
    """A whole request."""
    if path:
        fields = [(name, path if name == b":path" else value) for name, value in fields]
    return headers(stream, fields) + h2.frame(h2.DATA, h2.END_STREAM, stream, body)


def headers(stream: int, fields=REQUEST, flags: int = h2.END_HEADERS) -> bytes:
    """A HEADERS frame that leaves the table alone."""
    return h2.frame(h2.HEADERS, flags, stream, block_of(*fields))


def answered(stream: int, body: bytes = b"hello") -> list[tuple]:
    """What `said` gives for an echo."""
    return [("head", stream, {b":status": b"200"}), ("data", stream, body), ("end", stream, {b"x-end": b"1"})]
