"""Bodies: a large request body is received where a replica will read it.

Data flow: the connection's head says how long the body is -> the core gives room, in a replica's shared
memory when it can -> this protocol takes the connection's bytes, the kernel writing them in place ->
the connection goes on with the body.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from inferry.gateway.segments import Lease


class Outer(Protocol):
    """The connection that a body belongs to."""

    active: bool

    def body_received(self, room: bytearray | Lease) -> None:
        """The body is complete."""
        ...

    def pause_writing(self) -> None:
        """As in asyncio.Protocol."""
        ...

    def resume_writing(self) -> None:
        """As in asyncio.Protocol."""
        ...

    def eof_received(self) -> bool | None:
        """As in asyncio.Protocol."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """As in asyncio.Protocol."""
        ...


class BodyReader(asyncio.BufferedProtocol):
    """Receives a large body straight into its place; the connection is `outer`'s again when it is there."""

    def __init__(self, outer: Outer, room: bytearray | Lease, begun: bytes | bytearray) -> None:
        self.outer = outer
        self.room: bytearray | Lease | None = room
        self._view = room.body() if isinstance(room, Lease) else memoryview(room)
        self._at = len(begun)
        self._view[: self._at] = begun

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio.BufferedProtocol
        """What is missing."""
        return self._view[self._at :]

    def buffer_updated(self, nbytes: int) -> None:
        """Some of it came."""
        self._at += nbytes
        self.outer.active = True
        if self._at == len(self._view) and self.room is not None:
            self._view.release()
            room, self.room = self.room, None
            self.outer.body_received(room)

    def pause_writing(self) -> None:
        """The client does not read."""
        self.outer.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.outer.resume_writing()

    def eof_received(self) -> bool | None:
        """The client sends no more: its body is not whole."""
        self.outer.eof_received()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.room = None
        self.outer.connection_lost(exc)
