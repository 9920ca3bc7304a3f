"""Channel: control's own connection to one replica, speaking the same frames as the gateway."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple, Self, cast

import msgspec

from inferry.backends.memory import Gauge, shared_by
from inferry.errors import DeadlineExceeded, Unavailable
from inferry.interfaces.lead import Alone, Permit
from inferry.types import frames
from inferry.types.address import TcpAddress, read_address
from inferry.types.density import Held
from inferry.types.identity import Identity
from inferry.types.replicas import ReplicaSpec, ReplicaStatus

EXIT_WORD_S = 0.02
SHAKE_S = 5.0


Dial = Callable[[TcpAddress], Awaitable[socket.socket]]


class Secure(NamedTuple):
    """How another machine is reached: a plain connection, what makes it secure, the name that must be at its end."""

    dial: Dial
    context: ssl.SSLContext
    name: str


class Channel(asyncio.Protocol):
    """A replica as control sees it (interfaces.backend.Replica)."""

    def __init__(self, socket_path: str, permit: Permit | None = None) -> None:
        self.socket = socket_path
        self._far = read_address(socket_path)
        self._permit = permit or Alone()
        self.spec: ReplicaSpec
        self.status: ReplicaStatus
        self.gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.stopping = False
        self.killed: Callable[[], str] = lambda: ""  # what the kernel says of its end
        self._gauge: Gauge | None = None
        self._transport: asyncio.Transport | None = None
        self._inbox = frames.Inbox(1 << 16)
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[frames.Reply]] = {}

    @classmethod
    async def open(cls, socket_path: str, secure: Secure | None = None, permit: Permit | None = None) -> Self:
        """Connect and learn who is there; it hears of the permit's epoch. Raises OSError when nobody listens. `secure`:
        for a TCP address."""
        loop = asyncio.get_running_loop()
        channel = cls(socket_path, permit)
        if channel._far is None or secure is None:
            await loop.create_unix_connection(lambda: channel, socket_path)
        else:
            await loop.create_connection(
                lambda: channel, sock=await secure.dial(channel._far), ssl=secure.context,
                server_hostname=secure.name, ssl_handshake_timeout=SHAKE_S,
            )  # fmt: skip
        reply = await channel._call(frames.STATUS, timeout=10.0, deadline=channel._permit.epoch)
        channel.status = msgspec.json.decode(reply.body, type=ReplicaStatus)
        channel.spec = channel.status.spec
        return channel

    def held(self) -> Held | None:
        """Its private memory, None when the process is gone."""
        if self._far is not None:
            return None
        self._gauge = self._gauge or Gauge(self.status.pid)
        return self._gauge.held()

    def shared(self) -> int:
        """What it has mapped of its bundle's files together with others."""
        return shared_by(self.status.pid, self.spec.bundle) if self._far is None else 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(frames.WATCHES)

    def data_received(self, data: bytes) -> None:
        """Hand each reply to who waits for it."""
        self._inbox.feed(data)
        for reply in self._inbox.replies():
            waiting = self._waiting.pop(reply.id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(reply)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        """The replica died or was stopped."""
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(Unavailable("The replica is gone."))
        self._waiting.clear()
        # The zygote's word on how it ended comes a moment later, and says more.
        asyncio.get_running_loop().call_later(EXIT_WORD_S, self._give_up)

    def _give_up(self) -> None:
        if not self.gone.done():
            self.gone.set_result(self.killed() or "connection closed")

    async def ask(self, door: int, name: bytes, body: bytes, timeout: float) -> frames.Reply:
        """One prediction."""
        deadline = int((timeout if self._far else time.monotonic() + timeout) * 1e6)
        return await self._call(frames.INFER, door=door, name=name, body=body, deadline=deadline, timeout=timeout)

    async def alive(self, timeout: float) -> bool:
        """Whether it answers in time."""
        try:
            await self._call(frames.STATUS, timeout=timeout, deadline=self._permit.epoch)
        except (DeadlineExceeded, Unavailable):
            return False
        return True

    def renew(self, identity: Identity) -> None:
        """Give it another certificate."""
        if self._transport is not None and not self._transport.is_closing():
            body = msgspec.json.encode(identity)
            self._transport.write(frames.pack_request(next(self._ids), frames.RENEW, body=body))

    async def stop(self) -> None:
        """Ask it to finish and exit. Raises Superseded when this process leads no longer."""
        self._permit.check()
        self.stopping = True
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames.pack_request(next(self._ids), frames.STOP, deadline=self._permit.epoch))

    def kill(self) -> None:
        """End it at once. Raises Superseded when this process leads no longer."""
        self._permit.check()
        self.stopping = True
        try:
            os.kill(self.status.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def close(self) -> None:
        """Hang up; the replica goes on, and nobody is told that it is gone."""
        self.gone.cancel()
        if self._transport is not None:
            self._transport.close()

    async def _call(
        self, kind: int, *, timeout: float, door: int = 0, name: bytes = b"", body: bytes = b"", deadline: int = 0
    ) -> frames.Reply:
        if self._transport is None or self._transport.is_closing():
            raise Unavailable("The replica is gone.")
        number = next(self._ids)
        waiting: asyncio.Future[frames.Reply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        self._transport.write(frames.pack_request(number, kind, door=door, name=name, body=body, deadline=deadline))
        try:
            return await asyncio.wait_for(waiting, timeout)
        except TimeoutError as error:
            raise DeadlineExceeded(f"The replica did not answer in {timeout:g} s.") from error
        finally:
            self._waiting.pop(number, None)
