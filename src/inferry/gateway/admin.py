"""Admin: the gateway's private socket, on which control pushes routing tables.

Data flow: control's table (one JSON line) -> Core.apply -> {"applied": generation};
the gateway's own news (a replica that does not answer) go the other way. Without control the
last table, kept in the run directory, goes on being served.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import msgspec

from inferry.gateway.core import Core
from inferry.types.routing import GatewayNews, RoutingTable

LINE_LIMIT = 64 << 20


class Admin:
    """Serves control on a unix socket."""

    def __init__(self, path: Path, saved: Path) -> None:
        self.path = path
        self.saved = saved
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def start(self, core: Core) -> None:
        """Apply the last table, then listen for newer ones."""
        if self.saved.exists():
            core.apply(msgspec.json.decode(self.saved.read_bytes(), type=RoutingTable))
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(partial(self._serve, core), self.path, limit=LINE_LIMIT)

    def stuck(self, replica: str) -> None:
        """Tell control that a replica is silent past a deadline."""
        for writer in self._writers:
            writer.write(msgspec.json.encode(GatewayNews(stuck=replica)) + b"\n")

    async def _serve(self, core: Core, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while line := await reader.readline():
                table = msgspec.json.decode(line, type=RoutingTable)
                if table.generation >= core.table.generation:
                    core.apply(table)
                writer.write(msgspec.json.encode(GatewayNews(applied=table.generation)) + b"\n")
        finally:
            self._writers.discard(writer)
            writer.close()
