"""The sending half of an HTTP/2 connection: streams, their outboxes, and the peer's windows.

Data flow: a whole answer (`finish`), or fields, messages and an end piece by piece -> straight
into this turn's write while the peer's windows and its socket take it -> otherwise into the
stream's outbox, from which `pump` takes a frame of each stream in turn whenever there is room
again. All that became ready in one turn of the loop leaves in one write.

Our header blocks never use the peer's dynamic table; when it asks for a smaller one, the next
block says that we agreed, as RFC 7541, 4.2 wants.
"""

from __future__ import annotations

import asyncio
import struct
from abc import ABC, abstractmethod
from collections import deque

from inferry.gateway.http2_frames import (
    DATA,
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    HEADER,
    HEADERS,
    LEAST_FRAME,
    MAX_WINDOW,
    NO_ERROR,
    ConnectionFault,
    reset,
)

JOIN_LIMIT = 64 << 10
WRITE_SIZE = 256 << 10
EMPTY_TABLE = b"\x20"

Item = memoryview | tuple[int, bytes]
"""What waits in an outbox: a message's bytes, or the flags and the block of a HEADERS frame."""


class Answer:
    """An answer's constant ends, made once: the block before the message and the one behind it."""

    __slots__ = ("back", "front", "head", "tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self.head = head
        self.tail = tail
        self.front = struct.Struct(f">IBI{len(head)}sIBI")
        self.back = struct.Struct(f">IBI{len(tail)}s")


class Stream(ABC):
    """One exchange. Subclasses say what the client's bytes mean and answer through `connection`.

    `open`: the client may still send. `budget`: how much, before it is allowed more. `window`:
    how much it takes. `age`: for how many ticks it has owed us bytes. `expected`: bytes to come
    by its content-length, -1 without one. `ending`: what ends it is sent, or waits to be. Most
    streams live and die with the values below.
    """

    age = 0
    ending = False
    expected = -1
    open = True
    outbox: deque[Item] | None = None
    queued = 0

    def __init__(self, connection: Sender, id: int, budget: int) -> None:
        self.connection = connection
        self.id = id
        self.window = connection.peer_window
        self.budget = budget

    @abstractmethod
    def received(self, data: bytes, last: int) -> None:
        """The next bytes of the client; `last`: there will be no more."""

    def aborted(self) -> None:  # noqa: B027 - a hook
        """The client has reset the stream, or is gone. Nothing can be sent any more."""

    def takes(self) -> bool:
        """Whether the client may send more now."""
        return True

    def owes(self) -> bool:
        """Whether the client is late when nothing comes."""
        return True

    def overdue(self) -> None:  # noqa: B027 - a hook
        """What the client owes did not come in time."""

    def drained(self) -> None:  # noqa: B027 - a hook
        """The outbox is empty again."""

    def leave(self) -> None:  # noqa: B027 - a hook
        """The server stops: a stream that would go on for long should end."""


class Sender(ABC):
    """What is sent on one connection, and the streams it belongs to."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.streams: dict[int, Stream] = {}
        self.window = DEFAULT_WINDOW
        self.queued = 0  # bytes of messages that wait in outboxes
        self.moved = 0  # a count that grows when something is sent
        self.over = False
        self.transport: asyncio.Transport
        self.peer_window = DEFAULT_WINDOW
        self._peer_frame = LEAST_FRAME
        self._preamble = b""
        self._blocked: dict[int, Stream] = {}
        self._ended: deque[int] = deque(maxlen=256)  # streams that ended, the latest
        self._forgiven: deque[int] = deque(maxlen=256)  # those that we ended while the client was sending
        self._opened = 0  # streams on which the client may still send
        self._out: list[bytes | memoryview] = []
        self._bulk = 0  # bytes of messages among them
        self._scheduled = False
        self._paused = False

    # what streams call

    def finish(self, stream: Stream, answer: Answer, prefix: bytes, body: bytes) -> None:
        """The whole of an answer with one message."""
        size = len(prefix) + len(body)
        if (
            size > self.window
            or size > stream.window
            or size > self._peer_frame
            or size > JOIN_LIMIT
            or self._paused
            or self._preamble
            or stream.outbox
        ):
            self.start(stream, answer.head)
            self.send(stream, prefix, body)
            self.end(stream, answer.tail)
            return
        number = stream.id
        if self.streams.get(number) is not stream:
            return
        self.window -= size
        head, tail = answer.head, answer.tail
        self._out.append(
            b"".join(
                (
                    answer.front.pack(len(head) << 8 | HEADERS, END_HEADERS, number, head, size << 8 | DATA, 0, number),
                    prefix,
                    body,
                    answer.back.pack(len(tail) << 8 | HEADERS, END_HEADERS | END_STREAM, number, tail),
                )
            )
        )
        self._close(stream)
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self.flush)

    def start(self, stream: Stream, block: bytes) -> None:
        """The fields before the first message."""
        self._put(stream, (END_HEADERS, block))

    def send(self, stream: Stream, *pieces: bytes) -> None:
        """One message, in pieces that are not copied when they are large."""
        size = sum(map(len, pieces))
        small = size <= JOIN_LIMIT
        if small and not stream.outbox and not stream.ending and self._takes(stream, size):
            stream.window -= size
            self.window -= size
            self.moved += 1
            self._out.append(b"".join((HEADER.pack(size << 8 | DATA, 0, stream.id), *pieces)))
            self.soon()
            return
        for piece in (b"".join(pieces),) if small else pieces:
            if piece:
                self._put(stream, memoryview(piece))

    def _takes(self, stream: Stream, size: int) -> bool:
        """Whether one frame of this size can be sent now."""
        return (
            size <= self.window
            and size <= stream.window
            and size <= self._peer_frame
            and not self._paused
            and self.streams.get(stream.id) is stream
        )

    def end(self, stream: Stream, block: bytes) -> None:
        """The fields that end the stream."""
        self._put(stream, (END_HEADERS | END_STREAM, block))
        stream.ending = True

    def reset(self, stream: Stream, code: int) -> None:
        """Give the stream up."""
        self._drop(stream)
        self._forgiven.append(stream.id)
        self.control(reset(stream.id, code))

    @abstractmethod
    def grant(self, stream: Stream) -> None:
        """Allow the client to send more on a stream that takes it again."""

    def control(self, frame: bytes) -> None:
        """A frame that no window holds up."""
        self._out.append(frame)
        self.soon()

    def soon(self) -> None:
        """See that what is ready leaves at the end of this turn."""
        if not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self.flush)

    # the outboxes

    def _put(self, stream: Stream, item: Item) -> None:
        """Queue one item and send what goes."""
        if stream.ending or self.streams.get(stream.id) is not stream:
            return
        if stream.outbox is None:
            stream.outbox = deque()
        stream.outbox.append(item)
        if isinstance(item, memoryview):
            stream.queued += len(item)
            self.queued += len(item)
        while stream.outbox and not self._paused and self._push(stream):
            if self._bulk > WRITE_SIZE:
                self.flush()
        if stream.outbox:
            self._blocked[stream.id] = stream
        self.soon()

    def _push(self, stream: Stream) -> bool:
        """Send one frame of a stream. False when no window takes it."""
        assert stream.outbox is not None
        item = stream.outbox[0]
        if isinstance(item, tuple):
            stream.outbox.popleft()
            flags, block = item
            block = self._preamble + block
            self._preamble = b""
            self._out.append(HEADER.pack(len(block) << 8 | HEADERS, flags, stream.id) + block)
            if flags & END_STREAM:
                self._close(stream)
            return True
        size = min(len(item), stream.window, self.window, self._peer_frame)
        if size <= 0:
            return False
        if size == len(item):
            stream.outbox.popleft()
        else:
            stream.outbox[0] = item[size:]
        stream.window -= size
        self.window -= size
        stream.queued -= size
        self.queued -= size
        self.moved += 1
        self._bulk += size
        self._out += (HEADER.pack(size << 8 | DATA, 0, stream.id), item[:size])
        return True

    def pump(self) -> None:
        """Send what waits, a frame of each stream in turn, as far as windows and the socket allow."""
        moving = True
        while moving and self._blocked and not self._paused:
            moving = False
            for stream in list(self._blocked.values()):
                if stream.outbox and self._push(stream):
                    moving = True
                if not stream.outbox:
                    self._blocked.pop(stream.id, None)
                    if self.streams.get(stream.id) is stream:
                        stream.drained()
            if self._bulk > WRITE_SIZE:
                self.flush()
        self.soon()

    def flush(self) -> None:
        """One write for all that is ready."""
        self._scheduled = False
        out, bulk = self._out, self._bulk
        self._out, self._bulk = [], 0
        if not out or self.over:
            return
        if len(out) == 1:
            self.transport.write(out[0])
        elif bulk > JOIN_LIMIT:
            self.transport.writelines(out)
        else:
            self.transport.write(b"".join(out))

    # the ends of streams

    def _close(self, stream: Stream) -> None:
        """Everything is sent. A client that is still sending is told that it need not."""
        del self.streams[stream.id]
        self._ended.append(stream.id)
        self.moved += 1
        if stream.open:
            self._forgiven.append(stream.id)
            self._opened -= 1
            stream.open = False
            self._out.append(reset(stream.id, NO_ERROR))

    def _drop(self, stream: Stream) -> None:
        """Forget a stream with what waits for it."""
        if self.streams.pop(stream.id, None) is None:
            return
        self._ended.append(stream.id)
        self._blocked.pop(stream.id, None)
        self.queued -= stream.queued
        stream.queued = 0
        stream.outbox = None
        if stream.open:
            self._opened -= 1
            stream.open = False

    # what the peer allows

    def widen(self, increment: int) -> None:
        """The connection's window grows."""
        self.window += increment
        if self.window > MAX_WINDOW:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "a window beyond its limit")
        if self._blocked:
            self.pump()

    def widen_stream(self, stream: Stream, increment: int) -> None:
        """One stream's window grows."""
        stream.window += increment
        if stream.window > MAX_WINDOW:
            stream.aborted()
            self.reset(stream, FLOW_CONTROL_ERROR)
        elif self._blocked:
            self.pump()

    def resize(self, window: int) -> None:
        """The window of every stream changes, those under way included."""
        change = window - self.peer_window
        self.peer_window = window
        for stream in self.streams.values():
            stream.window += change
            if stream.window > MAX_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "a window beyond its limit")
        if self._blocked:
            self.pump()

    def reframe(self, size: int) -> None:
        """The largest frame that the peer takes."""
        self._peer_frame = size

    def empty_table(self) -> None:
        """The peer wants a smaller table of fields: we use none."""
        self._preamble = EMPTY_TABLE

    # flow control of the socket (asyncio.Protocol)

    def pause_writing(self) -> None:
        """The client does not read: stop taking its requests, too."""
        self._paused = True
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._paused = False
        self.transport.resume_reading()
        self.pump()
