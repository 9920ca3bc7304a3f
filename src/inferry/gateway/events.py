"""Events: an answer in parts as server-sent events (text/event-stream).

    data: {"model": ..., "predictions": ...}     one event for each part
    event: end                                     behind the last one (`data: {}` makes it one)
    event: error                                   when it breaks off; its data is the door's error body

At OpenAI's doors all events are `data:` alone, an error too, and the last is `data: [DONE]`.

Data flow: parts -> bytes of events. On the hot path the connection writes them as they come
through a Writer; off it a Listener keeps them for the ordinary app, which sends at its client's pace.
Parts cannot be held back at the replica, since its stream is shared: a client that has not read
LIMIT bytes when the next part comes is cut off.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping

from inferry.errors import InferryError, Overloaded, Unavailable
from inferry.gateway.core import Core
from inferry.gateway.head import Head
from inferry.gateway.live import Body, LiveRevision, Pending
from inferry.types import frames

LIMIT = 4 << 20
MEDIA = "text/event-stream"
UNBUFFERED = (b"x-accel-buffering", b"no")  # for proxies that would wait for more
END, DONE = b"event: end\ndata: {}\n\n", b"data: [DONE]\n\n"


def data(body: bytes | memoryview) -> bytes:
    """One part, or a whole answer, as an event."""
    lines = bytes(body).splitlines()  # JSON of ours has none, but a model's process may say what it likes
    return b"data: " + b"\ndata: ".join(lines or [b""]) + b"\n\n"


def failure(body: bytes | memoryview, door: int) -> bytes:
    """The event of an error behind parts."""
    return data(body) if door in frames.OPENAI else b"event: error\n" + data(body)


def last(reply: frames.Reply, door: int) -> bytes:
    """What a reply that ends an answer adds to the parts before it: of a model that gives none, all there is."""
    if reply.status != 200:
        return failure(reply.body, door)
    end = DONE if door in frames.OPENAI else END
    return end if reply.content == frames.CONTENT_END else data(reply.body) + end


def too_slow() -> InferryError:
    """The error of a client that does not read what it asked for."""
    return Overloaded(f"Over {LIMIT} bytes of the stream were not read.", help="Read faster, or ask for less.")


class Writer:
    """Writes events to a connection, behind the `lines` that begin the answer.

    Its length is not known: each event is a chunk, or for a client that reads none, hanging up is the end.
    """

    def __init__(self, transport: asyncio.Transport, head: Head, lines: bytes) -> None:
        self._transport = transport
        self._chunks = head.chunks
        pairs = ((b"content-type", MEDIA.encode()), (b"cache-control", b"no-store"), UNBUFFERED)
        headers = b"".join(b"%b: %b\r\n" % pair for pair in pairs)
        framing = b"transfer-encoding: chunked\r\n" if head.chunks else b""
        self._lines = b"".join((lines, headers, framing, b"" if head.keep_alive else b"connection: close\r\n", b"\r\n"))

    @property
    def full(self) -> bool:
        """Whether too much is unread for one more part."""
        return self._transport.get_write_buffer_size() > LIMIT

    def send(self, event: bytes) -> None:
        """Write one event."""
        self._transport.write(self._lines + (b"%x\r\n%b\r\n" % (len(event), event) if self._chunks else event))
        self._lines = b""

    def end(self) -> None:
        """Write what tells that no event follows."""
        if self._chunks:
            self._transport.write(b"0\r\n\r\n")


class Listener:
    """Asks for an answer in parts and keeps the events until they are read. `first` is the first reply."""

    def __init__(self, core: Core, forms: Mapping[int, Callable[[InferryError], bytes]]) -> None:
        self.first: asyncio.Future[tuple[LiveRevision, frames.Reply]] = asyncio.get_running_loop().create_future()
        self._core = core
        self._forms = forms
        self._pending: Pending | None = None
        self._events: deque[bytes] = deque()
        self._size = 0
        self._news = asyncio.Event()

    def submit(self, head: Head, body: Body) -> None:
        """Send the request."""
        self._pending = self._core.submit(self, head, body)

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """One part."""
        if self._size <= LIMIT:
            self._take(revision, reply, data(reply.body))
        else:
            self.hang_up()
            self._keep(failure(self._forms[head.door](too_slow()), head.door))

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> bytes | None:
        """The end."""
        self._pending = None
        self._take(revision, reply, last(reply, head.door))
        return None

    def refuse(self, head: Head, error: InferryError) -> None:
        """An error of the gateway's own."""
        self._pending = None
        if not self.first.done():
            self.first.set_exception(error)
        else:
            self._keep(failure(self._forms[head.door](error), head.door))

    def _take(self, revision: LiveRevision, reply: frames.Reply, event: bytes) -> None:
        if not self.first.done():
            self.first.set_result((revision, reply))
        self._keep(event)

    def _keep(self, event: bytes) -> None:
        self._events.append(event)
        self._size += len(event)
        self._news.set()

    def hang_up(self) -> None:
        """Nobody listens any more."""
        if not self.first.done():
            self.first.set_exception(Unavailable("The client is gone."))
        if self._pending is not None:
            self._core.cancel(self._pending)
            self._pending = None
        self._news.set()

    async def events(self) -> AsyncIterator[bytes]:
        """All events in their order, until the answer ends."""
        while self._events or self._pending is not None:
            if self._events:
                event = self._events.popleft()
                self._size -= len(event)
                yield event
            else:
                self._news.clear()
                await self._news.wait()
