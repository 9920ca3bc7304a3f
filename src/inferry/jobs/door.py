"""Door: the private socket on which the gateway asks on behalf of callers.

Data flow: a connection -> Ask, one JSON line, and a body -> Desk -> Told, one line, and a body -> closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import msgspec

from inferry.jobs.desk import Desk
from inferry.types.jobs import Ask

LINE_LIMIT = 1 << 20

_ASK = msgspec.json.Decoder(Ask)


class Door:
    """Serves the desk on a unix socket."""

    def __init__(self, path: Path, desk: Desk) -> None:
        self._path = path
        self._desk = desk
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LINE_LIMIT)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            line = await reader.readline()
            if line:
                ask = _ASK.decode(line)
                told, body = await self._desk.answer(ask, await reader.readexactly(ask.size))
                writer.write(msgspec.json.encode(told) + b"\n")
                writer.write(body)
                await writer.drain()
        writer.close()
