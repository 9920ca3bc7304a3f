"""A replica that only speaks frames, in the test's own event loop, and the small world around a gateway.

`FakeReplica` listens on a real unix socket. By default it answers every request with its own name
and the body's size; with `hold=True` requests wait in `asked` until the test answers them.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import time
from mmap import mmap
from typing import Any

from inferry.policy.route import assign
from inferry.replica.connection import Connection
from inferry.security.keys import mint
from inferry.types import frames
from inferry.types.registry import Key
from inferry.types.routing import EndpointRoute, ReplicaAddress, RevisionRoute, RoutingTable
from inferry.types.signature import Signature
from inferry.types.traffic import Split

PEPPER = b"p" * 32


class FakeReplica:
    """One replica; `asked` are the requests that arrived."""

    def __init__(self, path: str, name: str = "r", hold: bool = False) -> None:
        self.path = path
        self.name = name
        self.hold = hold
        self.asked: asyncio.Queue[frames.Request] = asyncio.Queue()
        self.cancelled: list[int] = []
        self.count = 0
        self.page: mmap | None = None
        self.sock: socket.socket | None = None
        self.gone = asyncio.Event()
        self.listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> FakeReplica:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self.path)
        self._listener.listen(16)
        self._listener.setblocking(False)
        self._task = asyncio.create_task(self._run())
        return self

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            sock, _ = await loop.sock_accept(self._listener)
            self.sock, connection = sock, Connection(sock)
            self.connection = connection
            while not connection.closed:
                readable = asyncio.Event()
                loop.add_reader(sock, readable.set)
                try:
                    await readable.wait()
                finally:
                    loop.remove_reader(sock)
                for request in connection.read():
                    if request.kind == frames.CANCEL:
                        self.cancelled.append(request.id)
                        continue
                    self.count += 1
                    self.asked.put_nowait(request)
                    if not self.hold:
                        await self.answer(request)
                self.page = connection.page
            sock.close()
            self.gone.set()

    async def answer(
        self, request: frames.Request, status: int = 200, body: bytes | None = None, **fields: int
    ) -> None:
        """Reply to one request."""
        if body is None:
            body = json.dumps({"by": self.name, "size": len(request.body)}).encode()
        kind = fields.pop("kind", frames.RESULT)
        await self.write(frames.pack_reply(frames.Reply(request.id, kind, status=status, body=body, **fields)))

    async def write(self, data: bytes) -> None:
        """Any bytes at all."""
        assert self.sock is not None
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def begin(self, number: int) -> None:
        """Note in the page that this request was begun."""
        assert self.page is not None
        struct.pack_into("<Q", self.page, 0, number)

    async def die(self) -> None:
        """What a killed process leaves behind: nobody listens, the stream ends."""
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._listener.close()
        os.unlink(self.path)  # noqa: PTH108
        if self.sock is not None:
            self.sock.close()
        if self.page is not None:
            self.page.close()


def make_key(role: str = "invoker", endpoints: tuple[str, ...] = ("*",), expires: float = 0.0) -> tuple[Key, bytes]:
    """A key and the header that carries it."""
    key, text = mint("test", role, endpoints, expires, 0.0 if expires else time.time(), PEPPER)
    return key, f"Bearer {text}".encode()


def revision(*replicas: FakeReplica, number: int = 1, weight: int = 100, timeout_s: float = 30.0) -> RevisionRoute:
    """A revision served by these replicas; its version is ten times its number."""
    return RevisionRoute(
        number=number, version=10 * number, weight=weight, signature=Signature(kind="open"), timeout_s=timeout_s,
        replicas=tuple(ReplicaAddress(id=replica.path, socket=replica.path) for replica in replicas),
    )  # fmt: skip


def endpoint(name: str, rows: tuple[RevisionRoute, ...], **split: Any) -> EndpointRoute:
    """An endpoint whose revisions have places by their weights."""
    places = assign((), {row.number: row.weight for row in rows}) if len(rows) > 1 else ()
    return EndpointRoute(name=name, model=name, revisions=rows, split=Split(places=places, **split))


def table(
    *keys: Key,
    generation: int = 1,
    splits: dict[str, dict[str, Any]] | None = None,
    **endpoints: tuple[RevisionRoute, ...],
) -> RoutingTable:
    """A routing table; `splits`: by endpoint, fields of its Split."""
    return RoutingTable(
        generation=generation,
        endpoints={name: endpoint(name, rows, **(splits or {}).get(name, {})) for name, rows in endpoints.items()},
        keys={key.id: key for key in keys},
    )
