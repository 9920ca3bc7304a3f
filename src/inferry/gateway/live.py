"""The moving parts of the gateway: requests under way, revisions with their links, and the links.

A Link is the gateway's connection to one replica: pending requests -> frames on one
multiplexed unix stream -> replies matched by id. With the first byte goes a page of memory in
which the replica notes the highest id it has begun; when the replica dies the page says which
requests it never touched.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import socket
import struct
import time
from collections import deque
from typing import Protocol, cast

from inferry.errors import InferryError
from inferry.gateway.head import Head
from inferry.policy import route
from inferry.telemetry.metrics import Series
from inferry.types import frames
from inferry.types.routing import EndpointRoute, RevisionRoute

log = logging.getLogger(__name__)

JOIN_LIMIT = 1 << 16
CONTENTS = (frames.CONTENT_END, frames.CONTENT_JSON, frames.CONTENT_BINARY, frames.CONTENT_PROTO)


class Asker(Protocol):
    """Who waits for an answer: an HTTP connection, or the ASGI app."""

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Deliver a replica's reply."""
        ...

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Deliver a part of an answer that goes on. Only for a head with FLAG_STREAM; `answer` ends it."""
        ...

    def refuse(self, head: Head, error: InferryError) -> None:
        """Deliver an error of the gateway's own, also behind parts."""
        ...


class Pending:
    """One request under way. Times are CLOCK_MONOTONIC microseconds."""

    __slots__ = ("asker", "body", "deadline", "endpoint", "head", "id", "link", "moves", "revision", "start")

    def __init__(
        self, asker: Asker, head: Head, body: bytes, endpoint: LiveEndpoint, start: int, deadline: int
    ) -> None:
        self.asker = asker
        self.head = head
        self.body = body
        self.endpoint = endpoint
        self.start = start
        self.deadline = deadline
        self.id = 0
        self.moves = 0
        self.link: Link | None = None
        self.revision: LiveRevision | None = None


class LiveRevision:
    """A revision with its links, its constant response headers and its metrics."""

    def __init__(self, plan: RevisionRoute, links: list[Link], series: dict[int, Series]) -> None:
        self.plan = plan
        self.links = links
        self.series = series
        self.version = str(plan.version).encode()
        self.headers = b"inferry-version: %d\r\ninferry-revision: %d\r\n" % (plan.version, plan.number)


class LiveEndpoint:
    """An endpoint with its live revisions and the requests held until a replica is there."""

    def __init__(self, plan: EndpointRoute, revisions: list[LiveRevision], held: deque[Pending]) -> None:
        self.plan = plan
        self.name = plan.name.encode()
        self.revisions = revisions
        self.weights = [revision.plan.weight for revision in revisions]
        self.held = held
        self.by_version = {revision.version: revision for revision in revisions}

    def choose(self, version: bytes, place: int) -> LiveRevision | None:
        """The revision for a request: the version asked for, or the owner of `place`."""
        if version:
            return self.by_version.get(version)
        if len(self.revisions) == 1:
            return self.revisions[0]
        return self.revisions[route.choose_revision(self.weights, place)]


class Owner(Protocol):
    """What a link tells the gateway's core."""

    def on_reply(self, pending: Pending, reply: frames.Reply) -> None:
        """An answer came."""
        ...

    def on_part(self, pending: Pending, reply: frames.Reply) -> None:
        """A part of an answer came."""
        ...

    def on_recovered(self) -> None:
        """A silent replica speaks again."""
        ...

    def on_lost(self, link: Link, untouched: list[Pending], begun: list[Pending]) -> None:
        """The replica is gone; the requests it held, by whether the model had begun them."""
        ...


class Link(asyncio.Protocol):
    """One replica's stream. `silent_since`: since when it owes a word (monotonic microseconds, 0: it does not)."""

    def __init__(self, owner: Owner, replica: str, path: str) -> None:
        self.owner = owner
        self.replica = replica
        self.path = path
        self.transport: asyncio.Transport | None = None
        self.inflight: dict[int, Pending] = {}
        self.suspect = False
        self.retired = False
        self.silent_since = 0
        self._inbox = bytearray()
        self._next = 0
        self._page: mmap.mmap | None = None

    @property
    def ready(self) -> bool:
        """Whether requests may be sent."""
        return self.transport is not None and not self.retired

    async def connect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect and greet. Raises OSError when nobody listens."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            sock.connect(self.path)
            descriptor = os.memfd_create("inferry-begun")
            try:
                os.ftruncate(descriptor, 8)
                self._page = mmap.mmap(descriptor, 8)
                socket.send_fds(sock, [b"W"], [descriptor])
            finally:
                os.close(descriptor)
            await loop.create_unix_connection(lambda: self, sock=sock)
        except BaseException:
            sock.close()
            raise

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ready for requests."""
        self.transport = cast("asyncio.Transport", transport)
        if self.retired:
            self.close()

    def send(self, pending: Pending) -> None:
        """Send one request and remember it."""
        assert self.transport is not None
        assert pending.revision is not None
        self._next += 1
        pending.id = self._next
        pending.link = self
        self.inflight[self._next] = pending
        if not self.silent_since:
            self.silent_since = time.monotonic_ns() // 1000
        head = pending.head
        version = pending.revision.version
        name = pending.endpoint.name
        target = bytes((len(name), len(version))) + name + version
        body = pending.body
        frame = frames.REQUEST.pack(
            frames.REQUEST.size - 4 + len(target) + len(body),
            self._next, frames.INFER, head.door, head.flags, head.json_size, pending.deadline,
        )  # fmt: skip
        if len(body) < JOIN_LIMIT:
            self.transport.write(b"".join((frame, target, body)))
        else:
            self.transport.writelines((frame, target, body))

    def data_received(self, data: bytes) -> None:
        """Hand every complete reply to the core."""
        self._inbox += data
        try:
            for reply in frames.split_replies(self._inbox):
                check(reply)
                if reply.kind == frames.PART:
                    pending = self.inflight.get(reply.id)
                    if pending is not None and pending.head.flags & frames.FLAG_STREAM:
                        self.owner.on_part(pending, reply)
                    continue
                pending = self.inflight.pop(reply.id, None)
                if pending is not None:
                    self.owner.on_reply(pending, reply)
        except frames.FrameError as error:
            log.warning("replica %s dropped: %s", self.replica, error)
            assert self.transport is not None
            self.transport.abort()
            return
        self.silent_since = time.monotonic_ns() // 1000 if self.inflight else 0
        if self.suspect:
            self.suspect = False
            self.owner.on_recovered()
        if self.retired and not self.inflight:
            self.close()

    def forget(self, pending: Pending) -> None:
        """Stop waiting for an answer (deadline over, client gone)."""
        self.inflight.pop(pending.id, None)
        if self.retired and not self.inflight:
            self.close()

    def retire(self) -> None:
        """Take no more requests; hang up when the last answer is in."""
        self.retired = True
        if not self.inflight:
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self.transport is not None:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        """Sort what was in flight by whether the model had begun it."""
        self.transport = None
        begun = 0
        if self._page is not None:
            (begun,) = struct.unpack_from("<Q", self._page, 0)
            self._page.close()
            self._page = None
        waiting = list(self.inflight.items())
        self.inflight.clear()
        self.owner.on_lost(
            self,
            [pending for number, pending in waiting if number > begun],
            [pending for number, pending in waiting if number <= begun],
        )


def check(reply: frames.Reply) -> None:
    """Raise FrameError unless HTTP can be made of a reply: user code runs where it comes from."""
    if reply.kind not in (frames.RESULT, frames.PART) or reply.content not in CONTENTS:
        raise frames.FrameError(f"reply of kind {reply.kind}, content {reply.content}")
    if reply.status != 200 and not 400 <= reply.status <= 599:
        raise frames.FrameError(f"reply with status {reply.status}")
