"""HTTP connection: complete inference requests on the hot path, all else on the slow one (`slow.py`).

Data flow: bytes -> Head (cached) -> `fast`: body -> core -> one write back. One request at a time is under way
on a connection; what a client pipelines behind it waits in the buffer, and reading pauses when that grows.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from inferry.errors import HeadersTooLarge, InferryError
from inferry.gateway import events
from inferry.gateway.addressed import addressed
from inferry.gateway.bodies import BodyReader, HeadReader
from inferry.gateway.head import MAX_CACHED_HEAD, MAX_HEAD, BadHead, Head
from inferry.gateway.live import Body, LiveRevision, Pending
from inferry.gateway.segments import Lease
from inferry.gateway.services import Services, error_headers
from inferry.gateway.slow import CONTENT, SlowPath
from inferry.types import frames

PIPELINE_LIMIT = 64 << 10


def timing(pending: Pending, reply: frames.Reply) -> bytes:
    """How long a request took here, and how much of that in the model, in milliseconds."""
    total = time.monotonic_ns() // 1000 - pending.start
    return b"server-timing: total;dur=%.3f, predict;dur=%.3f\r\n" % (total / 1e3, reply.predict_us / 1e3)


def protocol_class(services: Services) -> type[asyncio.Protocol]:
    """The class that uvicorn makes one of for each connection."""

    class Bound(GatewayProtocol):
        shared = services

    return Bound


class GatewayProtocol(SlowPath):
    """One client connection."""

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self.active = True
        self._latest: Head | None = None  # of the last request here: most clients send the same one again
        self._pending: Pending | None = None
        self._busy = False
        self._events: events.Writer | None = None
        self._paused = False
        self._unread = 0

    # reading

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client."""
        super().connection_made(transport)
        self.shared.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        self.active = True
        if self._lingering:
            return
        if self._slow:
            super().data_received(data)
            return
        if self._busy or self.flow.write_paused:
            self._buffer += data
            if len(self._buffer) > PIPELINE_LIMIT and not self._paused:
                self._paused = True
                self.transport.pause_reading()
        elif self._buffer:
            self._buffer += data
            self._advance(self._buffer)
        else:
            self._advance(data)

    def _advance(self, data: bytes | bytearray) -> None:
        """Handle as much of `data` as is complete; keep the rest."""
        head, start = self._head, 0
        if head is None:
            if data[:1] in (b"\r", b"\n"):
                data = data.lstrip(b"\r\n")  # blank lines before a request say nothing (RFC 9112, 2.2)
            head = self._latest
            if head is None or not data.startswith(head.raw):
                head = self._read_head(data)
                if head is None:
                    return
            self._door, start = head.door, len(head.raw)
            if self._timer is not None:
                self._disarm()
        if len(data) - start < head.length:
            if start:
                self._await_body(head, memoryview(data)[start:])
            else:
                self._keep(data)
            return
        if self._timer is not None:
            self._disarm()
        self._head = None
        stop = start + head.length
        body = bytes(data[start:stop])
        if stop < len(data) or self._buffer:
            self._keep(data[stop:])
        self._submit(head, body)

    def _read_head(self, data: bytes | bytearray) -> Head | None:
        """The head that `data` begins with; None when it is not whole yet, or not one for the hot path."""
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
        if end < 0:
            self._keep(data)
            if len(data) >= MAX_HEAD:
                self._reject(HeadersTooLarge(f"The request's head is over {MAX_HEAD} bytes.", help="Send less."))
            elif data:
                self._arm(self.shared.head_timeout_s)
            return None
        self._disarm()
        try:
            head = self.shared.heads.get(bytes(data[: end + 4]))
        except BadHead as bad:
            self._reject(bad.error, bad.door)
            return None
        self._door = head.door
        if not head.fast:
            self._hand_over(data, end)
            return None
        self._latest = head if len(head.raw) <= MAX_CACHED_HEAD else None
        return head

    def _submit(self, head: Head, body: Body) -> None:
        self._busy = True
        if head.door in frames.OPENAI:
            try:
                self.shared.core.admit(head)
                head = addressed(head, body)
            except InferryError as error:
                self.refuse(head, error)
                return
        self._pending = self.shared.core.submit(self, head, body)

    def _keep(self, rest: bytes | bytearray | memoryview) -> None:
        if rest is self._buffer:
            return
        self._buffer = bytearray(rest) if rest else bytearray()

    def _await_body(self, head: Head, rest: memoryview) -> None:
        """Keep what is there of a body, unless its sender may not send it at all."""
        core = self.shared.core
        try:
            core.admit(head)
            room = core.receive(head) if head.length >= frames.BIG else None
        except InferryError as error:
            self._reject(error, head.door)
            return
        self._head = head
        self._arm(self.shared.body_timeout_s)
        if room is None:
            self._keep(rest)
        else:
            self._buffer = bytearray()
            self._switch(BodyReader(self, room, rest))

    def body_received(self, room: bytearray | Lease) -> None:
        """A large body is complete."""
        head = self._head
        assert head is not None
        self._switch(HeadReader(self))
        self._disarm()
        self._head = None
        self._submit(head, room)

    def head_received(self, data: bytes) -> None:
        """What follows a large body begins."""
        self.data_received(data)
        if isinstance(self.transport.get_protocol(), HeadReader) and not self.transport.is_closing():
            self._switch(self)

    # answers (core.Asker)

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> bytes | None:
        """Write a replica's reply."""
        if head.flags & frames.FLAG_STREAM and (self._events is not None or reply.status == 200):
            self._send_event(head, revision, events.last(reply, head.door))
            self._end_events(head.keep_alive)
            return None
        name = head.id or self.shared.heads.next_id()
        extra = b"%binferry-request-id: %b\r\n" % (revision.headers, name)
        if reply.json_size:
            extra += b"inference-header-content-length: %d\r\n" % reply.json_size
        if head.timed and self._pending is not None:
            extra += timing(self._pending, reply)
        if reply.content == frames.CONTENT_NAMED:
            media, body = frames.named(reply.body)
            self._write(head, reply.status, b"content-type: %b\r\n" % media, extra, body)
        else:
            self._write(head, reply.status, CONTENT[reply.content], extra, reply.body)
        return name

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Write one part of an answer, unless the client reads too slowly."""
        if self._events is not None and self._events.full and self._pending is not None:
            self.shared.core.cancel(self._pending)
            self._break_events(head, events.too_slow(), keep=False)
        else:
            self._send_event(head, revision, events.data(reply.body))

    def refuse(self, head: Head, error: InferryError) -> None:
        """Write an error of the gateway's own."""
        if self._events is not None:
            self._break_events(head, error, keep=head.keep_alive)
            return
        body = self.shared.forms[head.door](error)
        extra = error_headers(error)
        if head.id:
            extra += b"inferry-request-id: %b\r\n" % head.id
        self._write(head, error.status, CONTENT[frames.CONTENT_JSON], extra, body)

    def _send_event(self, head: Head, revision: LiveRevision, event: bytes) -> None:
        """Write an event; before the first, the head of the answer."""
        if self._events is None:
            lines = b"%b%b%binferry-request-id: %b\r\n" % (
                STATUS_LINE[200],
                self.shared.date(self.server_state.default_headers),
                revision.headers,
                head.id or self.shared.heads.next_id(),
            )
            self._events = events.Writer(self.transport, head, lines)
        if not self.transport.is_closing():
            self._events.send(event)

    def _break_events(self, head: Head, error: InferryError, *, keep: bool) -> None:
        """An answer that began goes no further."""
        assert self._events is not None
        if not self.transport.is_closing():
            self._events.send(events.failure(self.shared.forms[head.door](error), head.door))
        self._end_events(keep)

    def _end_events(self, keep: bool) -> None:
        """An answer in parts is whole."""
        assert self._events is not None
        self._pending = None
        self._busy = False
        if not self.transport.is_closing():
            self._events.end()
            self._finish(keep and not self._draining)
        self._events = None

    def _write(self, head: Head, status: int, content: bytes, extra: bytes, body: bytes | memoryview) -> None:
        self._pending = None
        self._busy = False
        transport = self.transport
        if transport.is_closing():
            return
        keep = head.keep_alive and not self._draining
        date, small = self.shared.date(self.server_state.default_headers), len(body) < PIPELINE_LIMIT
        ending = b"content-length: %d\r\n\r\n" if keep else b"content-length: %d\r\nconnection: close\r\n\r\n"
        lines = STATUS_LINE[status], date, content, extra, ending % len(body), body if small else b""
        transport.write(b"".join(lines))
        if not small:
            transport.write(body)
        self._finish(keep)

    def _finish(self, keep: bool) -> None:
        """An answer is written: on to what the client sent behind its request, or hang up."""
        self.server_state.total_requests += 1
        if not keep:
            self.transport.close()
        elif not self.flow.write_paused:
            self._go_on()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if not self._busy and not self._slow:
            self._go_on()

    def _go_on(self) -> None:
        if self._paused:
            self._paused = False
            self.transport.resume_reading()
        if self._buffer:
            self.loop.call_soon(self._resume)

    def _resume(self) -> None:
        """Go on with what the client sent behind the answered request."""
        if self._buffer and not (self._busy or self._slow or self.flow.write_paused or self.transport.is_closing()):
            self._advance(self._buffer)

    def sweep(self) -> None:
        """Called now and then: hang up when nothing happened since the last call, or nothing was read."""
        unread = self.transport.get_write_buffer_size()
        if unread and unread == self._unread:
            self.transport.abort()
        elif not unread and not self.active and not self._busy and not self._slow:
            self.transport.close()
        self._unread = unread
        self.active = False

    def shutdown(self) -> None:
        """The server drains: close when idle, else after the answer under way."""
        self._draining = True
        if self._slow:
            super().shutdown()
        elif not self._busy and self._head is None and not self._buffer:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: drop its work."""
        self._disarm()
        self.shared.connections.discard(self)
        if self._pending is not None:
            self.shared.core.cancel(self._pending)
            self._pending = None
        super().connection_lost(exc)
