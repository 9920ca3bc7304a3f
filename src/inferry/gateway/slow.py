"""Slow path: what a connection does beside answering complete prediction requests.

Data flow: a request that the hot path does not take (chunked, `Expect`, other paths, an offer to upgrade) ->
`_hand_over` -> uvicorn's own protocol and an ASGI app, on the same connection -> taken back when that request
is answered. A request that cannot be read on, or comes too slowly -> `_reject`: an answer, and the end.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from inferry.errors import InferryError, InvalidInput, RequestTimeout
from inferry.gateway.head import Head
from inferry.gateway.services import Services, error_headers
from inferry.types import frames

LINGER_S = 2.0

UPGRADE = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)

CONTENT = {content: f"content-type: {media}\r\n".encode() for content, media in frames.MEDIA_TYPES.items()}


class SlowPath(HttpToolsProtocol):
    """A connection as uvicorn has it, with time limits and errors of our own.

    `_slow`: uvicorn has the connection; `_slow_message`: it has not the whole of a request yet. `_head`: of the
    request on the hot path whose body is awaited; `_door`: of the last request. `_lingering`: hung up, but not
    closed yet.
    """

    shared: Services

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config=config, server_state=server_state, app_state=app_state, _loop=_loop)
        self._buffer = bytearray()
        self._head: Head | None = None
        self._door = frames.DOOR_PLAIN
        self._slow = False
        self._slow_message = False
        self._draining = False
        self._lingering = False
        self._timer: asyncio.TimerHandle | None = None

    def _hand_over(self, data: bytes | bytearray, end: int) -> None:
        """Let uvicorn handle this request; an offer to upgrade is hidden from its parser, which would stop at it."""
        self._slow = True
        rest = UPGRADE.sub(b"\r\nx-upgrade:", bytes(data[:end])) + bytes(data[end:])
        self._buffer = bytearray()
        super().data_received(rest)

    def _switch(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another object take what this connection receives from now on."""
        self.transport.set_protocol(protocol)
        self.transport.pause_reading()  # the loop looks at what it reads for only when it begins to read
        self.transport.resume_reading()

    # requests that cannot be read on

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
