"""Bodies: a large request body is received where a replica will read it.

Data flow: the connection's head says how long the body is -> the core gives room, in a replica's shared
memory when it can -> BodyReader takes the connection's bytes, the kernel writing them in place -> the connection
goes on with the body, and HeadReader looks for the next request.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from inferry.gateway.head import MAX_CACHED_HEAD
from inferry.gateway.segments import Lease


class Outer(Protocol):
    """The connection that a body belongs to."""

    active: bool

    def body_received(self, room: bytearray | Lease) -> None:
        """The body is complete."""
        ...

    def head_received(self, data: bytes) -> None:
        """A request begins."""
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


class _Reader(asyncio.BufferedProtocol):
    """Has the connection of `outer` for a while, and tells it what is not about bytes."""

    def __init__(self, outer: Outer) -> None:
        self.outer = outer

    def pause_writing(self) -> None:
        """The client does not read."""
        self.outer.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self.outer.resume_writing()

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        self.outer.eof_received()
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.outer.connection_lost(exc)


class BodyReader(_Reader):
    """Receives a large body straight into its place. `begun`: what came of it with its head."""

    def __init__(self, outer: Outer, room: bytearray | Lease, begun: bytes | bytearray | memoryview) -> None:
        super().__init__(outer)
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

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone."""
        self.room = None
        super().connection_lost(exc)


class HeadReader(_Reader):
    """Receives the first bytes of what follows a large body, and few of them: it is likely to be another, the most of
    which would have to be copied from here to its place.

    The space is one for all connections, since what was read is taken out at once.
    """

    _space = memoryview(bytearray(MAX_CACHED_HEAD))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio.BufferedProtocol
        """Room for a head."""
        return self._space

    def buffer_updated(self, nbytes: int) -> None:
        """A request begins."""
        self.outer.head_received(bytes(self._space[:nbytes]))
