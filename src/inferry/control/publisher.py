"""Publisher: control's end of the gateway's private socket.

Data flow: RoutingTable -> the run directory (for a gateway that starts without control) and
the socket -> the gateway's acknowledgement. News of silent replicas come back the same way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import msgspec

from inferry.security.files import write_private
from inferry.types.routing import GatewayNews, RoutingTable

log = logging.getLogger(__name__)

ACK_S = 5.0
RETRY_S = 0.05


class Publisher:
    """Keeps the gateway's table current."""

    def __init__(self, path: Path, saved: Path, on_stuck: Callable[[str], None]) -> None:
        self.table = RoutingTable()
        self._path = path
        self._saved = saved
        self._on_stuck = on_stuck
        self._writer: asyncio.StreamWriter | None = None
        self._applied = 0
        self._news = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None
        if saved.exists():
            self.table = msgspec.json.decode(saved.read_bytes(), type=RoutingTable)

    @property
    def connected(self) -> bool:
        """Whether the gateway is there."""
        return self._writer is not None

    def start(self) -> None:
        """Begin to keep the connection up."""
        self._task = asyncio.create_task(self._run())

    async def publish(self, table: RoutingTable) -> None:
        """Save and push a table; returns when the gateway has swapped it in, or cannot be reached."""
        self.table = msgspec.structs.replace(table, generation=self.table.generation + 1)
        data = msgspec.json.encode(self.table)
        await asyncio.to_thread(write_private, self._saved, data)
        if self._writer is None:
            return
        self._writer.write(data + b"\n")
        goal = self.table.generation
        async with self._news:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._news.wait_for(lambda: self._applied >= goal or self._writer is None), ACK_S
                )

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                await self._session()
            self._writer = None
            await asyncio.sleep(RETRY_S)

    async def _session(self) -> None:
        reader, writer = await asyncio.open_unix_connection(self._path)
        self._writer = writer
        try:
            if self.table.generation:
                writer.write(msgspec.json.encode(self.table) + b"\n")
            while line := await reader.readline():
                news = msgspec.json.decode(line, type=GatewayNews)
                if news.stuck:
                    self._on_stuck(news.stuck)
                async with self._news:
                    self._applied = max(self._applied, news.applied)
                    self._news.notify_all()
        finally:
            self._writer = None
            writer.close()
            async with self._news:
                self._news.notify_all()
