"""Unary predictions by gRPC: forwarded as they come, answered with what the replica says.

Data flow: message -> the endpoint that its first bytes name, found in a memory of such beginnings
-> Head -> the core -> the replica's answer behind constant fields. The message is not decoded here.
A large one is received where the replica can read it, as HTTP bodies are, with its raw tensor on
a cache line.
"""

from __future__ import annotations

import time
from typing import Protocol

from inferry.errors import InferryError, InvalidInput
from inferry.gateway.grpc import (
    ENCODED,
    OK,
    PREFIX,
    Asked,
    Rpc,
    Server,
    after_start,
    inflate,
    read_refusal,
    status_fields,
)
from inferry.gateway.head import Head
from inferry.gateway.http2_output import Sender
from inferry.gateway.live import LiveRevision, Pending
from inferry.gateway.segments import Lease
from inferry.types import frames
from inferry.types.protobuf import WireError

MAX_HEADS = 256
MAX_TARGET = 512
PEEK = 64 << 10


class Door(Protocol):
    """How one kind of prediction request says what it is for."""

    number: int

    def prefix(self, body: bytes) -> int:
        """Where the fields that name the target end, when they come first; else 0. May raise IndexError."""
        ...

    def target(self, body: memoryview) -> tuple[bytes, bytes]:
        """Endpoint and version, wherever they are. Raises WireError."""
        ...

    def tensor_at(self, body: memoryview) -> int:
        """Where the first raw tensor begins, of a message whose beginning this is; 0 when that is not seen."""
        ...


class Infer(Rpc):
    """One prediction."""

    head: Head | None = None
    pending: Pending | None = None
    room: bytearray | Lease | None = None  # where a large message is received
    view: memoryview

    def __init__(self, door: Door, server: Server, asked: Asked, connection: Sender, id: int) -> None:
        Rpc.__init__(self, server, asked, connection, id)
        self.door = door

    def received(self, data: bytes, last: int) -> None:
        """The message, mostly in one piece."""
        if last and self.chunks is None and data[:1] == b"\0" and int.from_bytes(data[1:5], "big") == len(data) - 5:
            self.message(data[5:], 0)
        else:
            Rpc.received(self, data, last)

    def _announced(self, size: int) -> int:
        self.server.core.ring.check(self.asked.authorization, time.time())
        return super()._announced(size)

    def _collect(self, data: memoryview) -> memoryview:
        if self.room is None:
            if self.chunks is not None or not self._make_room(data):
                return super()._collect(data)
            data = data[PREFIX.size :]
        take = data[: self.need - self.size]
        self.view[self.size : self.size + len(take)] = take
        self.size += len(take)
        if self.size == self.need:
            room, head, self.chunks = self.room, self.head, None
            assert room is not None
            assert head is not None
            self.room = None
            del self.view
            self.pending = self.server.core.submit(self, head, room)
        return data[len(take) :]

    def _make_room(self, data: memoryview) -> bool:
        """Whether the message that begins here is received into memory that the replica shares."""
        size = int.from_bytes(data[1:5], "big")
        if size < frames.BIG or data[0] or self.pending is not None or len(data) == size + PREFIX.size:
            return False
        beginning = bytes(data[PREFIX.size :])
        try:
            end = self.door.prefix(beginning)
            if not end:
                return False
            self._announced(size)
            head = make_head(self.asked, self.door, beginning[:end], 0, self.asked.timeout)
            head.length, head.json_size = size, self.door.tensor_at(memoryview(beginning))
            self.server.core.admit(head)
            self.room = self.server.core.receive(head)
        except IndexError:
            return False
        except InferryError as error:
            self.fail(error)
            return False
        self.view = self.room.body() if isinstance(self.room, Lease) else memoryview(self.room)
        self.head, self.chunks, self.size, self.need = head, [], 0, size
        return True

    def message(self, body: bytes, flags: int) -> None:
        """The one message."""
        if self.pending is not None:
            self.fail(InvalidInput("A second message came.", help="Send one for each call."))
            return
        try:
            head = find_head(self.asked, self.door, body, flags, self.asked.timeout)
        except InferryError as error:
            self.fail(error)
            return
        self.pending = self.server.core.submit(self, head, body)

    def finished(self) -> None:
        """No message came, or it is under way."""
        if self.pending is None:
            self.fail(InvalidInput("The call has no message.", help="Send one."))

    def fail(self, error: InferryError) -> None:
        """End with an error; what was asked is dropped."""
        self.aborted()
        super().fail(error)

    def aborted(self) -> None:
        """The client does not wait any more."""
        if self.pending is not None:
            self.server.core.cancel(self.pending)
            self.pending = None

    # core.Asker

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> bytes | None:  # noqa: ARG002 - head
        """A replica's reply."""
        self.pending = None
        if reply.status == 200:
            body = bytes(reply.body)
            answer = after_start(revision.cold_ms) if revision.cold_ms else OK
            self.connection.finish(self, answer, PREFIX.pack(0, len(body)), body)
        else:
            self.end(status_fields(*read_refusal(reply)))
        return b""

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Never: no head on this path asks for parts."""

    def refuse(self, head: Head, error: InferryError) -> None:  # noqa: ARG002
        """An error of the gateway's own."""
        self.pending = None
        self.fail(error)


def find_head(asked: Asked, door: Door, body: bytes, flags: int, timeout: float) -> Head:
    """The Head of a message: remembered by its first bytes, or made. Raises InvalidInput."""
    seen = inflate(body, flags, PEEK) if flags & ENCODED else body
    try:
        beginning = seen[: door.prefix(seen)]
    except IndexError:
        beginning = b""
    key = (flags, beginning)
    head = asked.heads.get(key)
    if head is not None:
        return head
    head = make_head(asked, door, beginning or seen, flags, timeout)
    if 0 < len(beginning) <= MAX_TARGET:
        if len(asked.heads) >= MAX_HEADS:
            asked.heads.clear()
        asked.heads[key] = head
    return head


def make_head(asked: Asked, door: Door, beginning: bytes, flags: int, timeout: float) -> Head:
    """The Head of a message that begins so. Raises InvalidInput."""
    try:
        endpoint, version = door.target(memoryview(beginning))
    except WireError:
        raise InvalidInput("The message is not valid Protocol Buffers.", help="Check its type.") from None
    head = Head()
    head.door, head.endpoint, head.version = door.number, endpoint[:64], version[:16]
    head.authorization, head.timeout, head.flags = asked.authorization, timeout, flags
    return head
