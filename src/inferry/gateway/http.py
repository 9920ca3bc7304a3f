"""HTTP connection: complete inference requests on the hot path, all else through uvicorn.

Data flow: bytes -> Head (cached) -> `fast`: body -> core -> one write back;
otherwise the bytes go to uvicorn's own protocol and an ASGI app, on the same connection, until
that request is answered. One request at a time is under way on a connection; what a client
pipelines behind it waits in the buffer, and reading pauses when that grows.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from inferry.errors import HeadersTooLarge, InferryError, InvalidInput, RequestTimeout
from inferry.gateway import events
from inferry.gateway.bodies import BodyReader
from inferry.gateway.head import MAX_HEAD, BadHead, Head
from inferry.gateway.live import Body, LiveRevision, Pending
from inferry.gateway.segments import Lease
from inferry.gateway.services import Services, error_headers
from inferry.types import frames

PIPELINE_LIMIT = 64 << 10
LINGER_S = 2.0

UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)

CONTENT = {
    frames.CONTENT_JSON: b"content-type: application/json\r\n",
    frames.CONTENT_BINARY: b"content-type: application/octet-stream\r\n",
}


def protocol_class(services: Services) -> type[asyncio.Protocol]:
    """The class that uvicorn makes one of for each connection."""

    class Bound(GatewayProtocol):
        shared = services

    return Bound


class GatewayProtocol(HttpToolsProtocol):
    """One client connection."""

    shared: Services

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self.active = True
        self._buffer = bytearray()
        self._head: Head | None = None
        self._door = frames.DOOR_PLAIN
        self._pending: Pending | None = None
        self._busy = False
        self._slow = False
        self._slow_message = False
        self._events: events.Writer | None = None
        self._paused = False
        self._draining = False
        self._lingering = False
        self._unread = 0
        self._timer: asyncio.TimerHandle | None = None

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
        head = self._head
        if head is None:
            if data[:1] in (b"\r", b"\n"):
                data = data.lstrip(b"\r\n")  # blank lines before a request say nothing (RFC 9112, 2.2)
            end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
            if end < 0:
                self._keep(data)
                if len(data) >= MAX_HEAD:
                    self._reject(HeadersTooLarge(f"The request's head is over {MAX_HEAD} bytes.", help="Send less."))
                elif data:
                    self._arm(self.shared.head_timeout_s)
                return
            self._disarm()
            try:
                head = self.shared.heads.get(bytes(data[: end + 4]))
            except BadHead as bad:
                self._reject(bad.error, bad.door)
                return
            self._door = head.door
            if not head.fast:
                self._hand_over(data, end)
                return
            start = end + 4
            if len(data) - start < head.length:
                self._await_body(head, data[start:])
                return
        else:
            start = 0
            if len(data) < head.length:
                self._keep(data)
                return
            self._disarm()
            self._head = None
        stop = start + head.length
        body = bytes(memoryview(data)[start:stop])
        self._keep(data[stop:])
        self._submit(head, body)

    def _submit(self, head: Head, body: Body) -> None:
        self._busy = True
        self._pending = self.shared.core.submit(self, head, body)

    def _keep(self, rest: bytes | bytearray) -> None:
        if rest is self._buffer:
            return
        self._buffer = bytearray(rest) if rest else bytearray()

    def _await_body(self, head: Head, rest: bytes | bytearray) -> None:
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

    def _switch(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another object take what this connection receives from now on."""
        self.transport.set_protocol(protocol)
        self.transport.pause_reading()  # the loop looks at what it reads for only when it begins to read
        self.transport.resume_reading()

    def body_received(self, room: bytearray | Lease) -> None:
        """A large body is complete."""
        head = self._head
        assert head is not None
        self._switch(self)
        self._disarm()
        self._head = None
        self._submit(head, room)

    def _hand_over(self, data: bytes | bytearray, end: int) -> None:
        """Let uvicorn handle this request; an offer to upgrade is hidden from its parser, which would stop at it."""
        self._slow = True
        rest = UPGRADE.sub(b"\r\nx-upgrade:", bytes(data[:end])) + bytes(data[end:])
        self._buffer = bytearray()
        super().data_received(rest)

    # answers (core.Asker)

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Write a replica's reply."""
        if head.flags & frames.FLAG_STREAM and (self._events is not None or reply.status == 200):
            self._send_event(head, revision, events.last(reply))
            self._end_events(head.keep_alive)
            return
        extra = revision.headers
        if reply.json_size:
            extra += b"inference-header-content-length: %d\r\n" % reply.json_size
        self._write(head, reply.status, CONTENT[reply.content], extra, reply.body)

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
        self._write(head, error.status, CONTENT[frames.CONTENT_JSON], error_headers(error), body)

    def _send_event(self, head: Head, revision: LiveRevision, event: bytes) -> None:
        """Write an event; before the first, the head of the answer."""
        if self._events is None:
            lines = STATUS_LINE[200] + self.shared.date(self.server_state.default_headers) + revision.headers
            self._events = events.Writer(self.transport, head, lines)
        if not self.transport.is_closing():
            self._events.send(event)

    def _break_events(self, head: Head, error: InferryError, *, keep: bool) -> None:
        """An answer that began goes no further."""
        assert self._events is not None
        if not self.transport.is_closing():
            self._events.send(events.failure(self.shared.forms[head.door](error)))
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
        lines = b"".join(
            (
                STATUS_LINE[status],
                self.shared.date(self.server_state.default_headers),
                content,
                extra,
                b"content-length: %d\r\n\r\n" % len(body)
                if keep
                else b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body),
            )
        )
        if len(body) < PIPELINE_LIMIT:
            transport.write(b"".join((lines, body)))
        else:
            transport.writelines((lines, body))
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

    def _reject(self, error: InferryError, door: int = frames.DOOR_PLAIN) -> None:
        """Answer a request that cannot be read on, and hang up.

        What the client still sends is thrown away for a moment: closing at once would reset the
        connection, and the client might never see why.
        """
        self._disarm()
        if self.transport.is_closing() or self._lingering:
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            if self.cycle.response_started:
                self.transport.close()
                return
        body = self.shared.forms[door](error)
        self.transport.write(
            STATUS_LINE[error.status]
            + self.shared.date(self.server_state.default_headers)
            + CONTENT[frames.CONTENT_JSON]
            + error_headers(error)
            + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            + body
        )
        self._lingering = True
        self._buffer = bytearray()
        if self.transport.get_protocol() is not self:
            self._switch(self)
        self.flow.resume_reading()
        self.transport.write_eof()
        self._timer = self.loop.call_later(LINGER_S, self.transport.close)

    # time limits

    def _arm(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._too_slow)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self._timer = None
        if self._slow:
            if not self._slow_message:
                return
            cycle = self.cycle
            if self.pipeline or (cycle is not None and not cycle.more_body and not cycle.response_complete):
                self._arm(self.shared.body_timeout_s)  # what was asked before is answered first
                return
            if cycle is not None and cycle.more_body and cycle.response_complete:
                self.transport.close()  # answered already, from the head alone
                return
        door = self._door if self._slow or self._head is not None else frames.DOOR_PLAIN
        self._reject(
            RequestTimeout("The request did not arrive in time.", help="Send it faster, or in smaller parts."), door
        )

    def sweep(self) -> None:
        """Called now and then: hang up when nothing happened since the last call, or nothing was read."""
        unread = self.transport.get_write_buffer_size()
        if unread and unread == self._unread:
            self.transport.abort()
        elif not unread and not self.active and not self._busy and not self._slow:
            self.transport.close()
        self._unread = unread
        self.active = False

    # uvicorn's side of the connection

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - our sentence, not uvicorn's
        """The slow path met bytes that are no HTTP."""
        error = InvalidInput("The request is not valid HTTP.", help="Check the request line, headers and chunks.")
        self._reject(error, self._door)

    def on_message_begin(self) -> None:
        """A request begins on the slow path."""
        self._slow = self._slow_message = True
        self._arm(self.shared.body_timeout_s)
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Refuse a pipelined offer to upgrade, which `_hand_over` could not hide: its body would be lost."""
        if self.parser.should_upgrade():
            raise ValueError("upgrade")
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A request on the slow path is all here."""
        super().on_message_complete()
        self._slow_message = False
        self._disarm()
        self._maybe_take_back()

    def on_response_complete(self) -> None:
        """A request on the slow path is answered."""
        super().on_response_complete()
        self._unset_keepalive_if_required()  # `sweep` does that, for both paths
        if self._draining and not self.pipeline:
            self.transport.close()
        self._maybe_take_back()

    def _maybe_take_back(self) -> None:
        if self._slow and not self._slow_message and not self.pipeline and self.cycle.response_complete:
            self._slow = False

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
