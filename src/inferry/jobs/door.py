"""Door: the private socket on which the gateway asks on behalf of callers.

Data flow: a connection -> Ask, one JSON line, and a body -> Desk -> Told, one line, and a body -> closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import msgspec

from inferry.jobs.desk import Desk
from inferry.types.jobs import Ask

LINE_LIMIT = 1 << 20

_ASK = msgspec.json.Decoder(Ask)


class Door:
    """Serves the desk on a unix socket that others hold too: who comes while the door is shut waits before it."""

    def __init__(self, listener: socket.socket, desk: Desk) -> None:
        self._listener = listener
        self._listener.setblocking(False)
        self._desk = desk
        self._inside: set[asyncio.Task[None]] = set()
        self._last = time.monotonic()

    @property
    def quiet_s(self) -> float:
        """For so long nobody has been here."""
        return 0.0 if self._inside else time.monotonic() - self._last

    def open(self) -> None:
        """Let callers in."""
        asyncio.get_running_loop().add_reader(self._listener, self._enter)

    def shut(self) -> None:
        """Let nobody in any more."""
        asyncio.get_running_loop().remove_reader(self._listener)

    def _enter(self) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionError):
            caller, _ = self._listener.accept()
            task = asyncio.get_running_loop().create_task(self._serve(caller))
            self._inside.add(task)
            task.add_done_callback(self._left)

    def _left(self, task: asyncio.Task[None]) -> None:
        self._inside.discard(task)
        self._last = time.monotonic()

    async def _serve(self, caller: socket.socket) -> None:
        reader, writer = await asyncio.open_unix_connection(sock=caller, limit=LINE_LIMIT)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            line = await reader.readline()
            if line:
                ask = _ASK.decode(line)
                told, body = await self._desk.answer(ask, await reader.readexactly(ask.size))
                writer.write(msgspec.json.encode(told) + b"\n")
                writer.write(body)
                await writer.drain()
        writer.close()
