"""Link: the gateway's connection to one replica.

Data flow: pending requests -> frames, those that arrived in one turn of the loop in few writes on a
multiplexed unix stream -> replies matched by id. With the first byte goes a page of memory in
which the replica notes the highest id it has begun; when the replica dies the page says which
requests it never touched. Large bodies lie in segments that both sides have mapped.

A replica on another machine is spoken to over TCP with mutual TLS. Nothing is shared with it, so when it is gone
nobody knows what it had begun.

A plain socket rather than an asyncio transport, because descriptors travel along with frames.
"""

from __future__ import annotations

import asyncio
import logging
import mmap
import os
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from inferry.errors import DeadlineExceeded
from inferry.gateway.live import Pending
from inferry.gateway.pace import Pace
from inferry.gateway.replies import check
from inferry.gateway.segments import Lease, Pool
from inferry.security.tls import dial_securely, replica_name
from inferry.types import frames
from inferry.types.address import read_address

log = logging.getLogger(__name__)


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
        """The replica is gone; the requests it held: those that may be sent elsewhere, and those that may not."""
        ...


class Link:
    """One replica's stream.

    `silent_since`: since when it owes a word (monotonic microseconds, 0: it does not).
    `pace`: how long requests wait at it. `host`: the machine it is on, empty for this one.
    `suspect`: no new requests until it speaks; `accused`: because it is silent past a deadline.
    """

    def __init__(self, owner: Owner, replica: str, path: str, tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        """`tls` makes the context of connections to other machines; it raises OSError when there is none."""
        self.owner = owner
        self.replica = replica
        self.path = path
        self._address = read_address(path)
        self.host = self._address.host if self._address is not None else ""
        self._tls = tls
        self.inflight: dict[int, Pending] = {}
        self.suspect = self.accused = False
        self.retired = False
        self.silent_since = 0
        self.pace = Pace()
        self.pool = Pool(0 if self.host else None)
        self._loop: asyncio.AbstractEventLoop
        self._sock: socket.socket | None = None
        self._inbox = frames.Inbox()
        self._outbox: list[bytes] = []
        self._carry: dict[int, Lease] = {}
        self._unsent: deque[tuple[memoryview, Lease | None]] = deque()
        self._flushing = False
        self._lent: dict[int, Lease] = {}
        self._number = self._streams = 0
        self._page: mmap.mmap | None = None

    @property
    def ready(self) -> bool:
        """Whether requests may be sent."""
        return self._sock is not None and not self.retired

    async def connect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Connect and greet. Raises OSError when nobody listens, or who does is not this replica."""
        self._loop, self._sock = loop, await self._secured(loop) if self.host else self._local()
        loop.add_reader(self._sock.fileno(), self._readable)
        if self.retired:
            self.close()

    async def _secured(self, loop: asyncio.AbstractEventLoop) -> socket.socket:
        assert self._address is not None
        if self._tls is None:
            raise OSError("there is no certificate to show to other machines")
        sock = await dial_securely(loop, self._address, self._tls(), replica_name(self.replica))
        sock.send(frames.WORKS)
        return sock

    def _local(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.setblocking(False)
            sock.connect(self.path)
            descriptor = os.memfd_create("inferry-begun")
            try:
                os.ftruncate(descriptor, 8)
                self._page = mmap.mmap(descriptor, 8)
                socket.send_fds(sock, [frames.WORKS], [descriptor])
            finally:
                os.close(descriptor)
        except BaseException:
            sock.close()
            raise
        return sock

    # sending

    def send(self, pending: Pending) -> None:
        """Send one request and remember it."""
        assert pending.revision is not None
        revision = pending.revision
        self._number += 1
        number = pending.id = self._number
        pending.link = self
        idle = not self.inflight
        self.inflight[number] = pending
        if not self.silent_since:
            self.silent_since = time.monotonic_ns() // 1000
            self.pace.begin(self.silent_since)
        if self.pace.foreseen_us:
            self.pace.watch(pending)
        head = pending.head
        target = revision.target
        flags, lease = head.flags, None
        body: bytes | bytearray = b""
        if not isinstance(pending.body, Lease):
            body = pending.body
        elif pending.body.pool is self.pool:
            lease = pending.body
        else:  # it was received for a replica that is gone
            body = bytes(pending.body.body())
        if lease is None and revision.answer_size >= frames.BIG:
            lease = self.pool.take(revision.answer_size)
            if lease is not None:
                lease.size = 0
        if lease is not None:
            body = self._lend(number, lease) + body
            flags |= frames.FLAG_SEGMENT | (frames.FLAG_NEW if lease.segment.descriptor >= 0 else 0)
        size = frames.REQUEST.size - 4 + len(target) + len(head.media) + len(body)
        deadline = pending.deadline
        if self.host:
            deadline = max(1, deadline - time.monotonic_ns() // 1000)
        front = frames.REQUEST.pack(size, number, frames.INFER, head.door, flags, head.json_size, deadline)
        enough = len(self._outbox) >= frames.TOGETHER - 1
        self._write(b"".join((front, target, head.media, body)), now=idle or enough)

    def _lend(self, number: int, lease: Lease) -> bytes:
        self._lent[number] = lease
        if lease.segment.descriptor >= 0:
            self._carry[len(self._outbox)] = lease
        return frames.SEGMENT.pack(lease.segment.id, lease.offset, lease.size)

    def cancel(self, pending: Pending) -> None:
        """Nobody waits for this request any more: the replica need not compute it."""
        if self.inflight.get(pending.id) is pending and self._sock is not None:
            self._write(frames.pack_request(pending.id, frames.CANCEL))
        if self.pace.watched is pending:
            self.pace.watched = None
        self.forget(pending)

    def doubt(self) -> None:
        """Another replica of its machine is gone: no new requests until it has shown that it is still there."""
        if self._sock is not None and not self.suspect:
            self.suspect = True
            self._write(frames.pack_request(0, frames.STATUS))

    def trim(self) -> None:
        """Let go of shared memory that lay idle."""
        self.pool.trim()
        for segment in self.pool.over():
            self._write(frames.pack_request(segment, frames.RELEASE))

    def _write(self, frame: bytes, *, now: bool = False) -> None:
        """Send with all that this turn of the loop brings, or at once: to a replica that has nothing to do, and what
        is enough for one to begin with."""
        self._outbox.append(frame)
        if now:
            self._push()
        elif not self._flushing:
            self._flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Write what this turn of the loop brought and is not written yet."""
        self._flushing = False
        if self._outbox:
            self._push()

    def _push(self) -> None:
        if self._sock is None:
            return
        outbox, self._outbox = self._outbox, []
        if not self._carry and not self._unsent:
            data = b"".join(outbox)
            sent = self._try(data, None)
            if sent < len(data) and self._sock is not None:
                self._wait(memoryview(data)[sent:], None)
            return
        carry, self._carry = self._carry, {}
        for place, frame in enumerate(outbox):
            self._unsent.append((memoryview(frame), carry.get(place)))
        self._writable()

    def _wait(self, rest: memoryview, lease: Lease | None) -> None:
        assert self._sock is not None
        self._unsent.appendleft((rest, lease))
        self._loop.add_writer(self._sock.fileno(), self._writable)

    def _writable(self) -> None:
        while self._unsent:
            data, lease = self._unsent.popleft()
            sent = self._try(data, lease)
            if self._sock is None:
                return
            if sent and lease is not None:
                lease.segment.sent()
                lease = None
            if sent < len(data):
                self._wait(data[sent:], lease)
                return
        if self._sock is not None:
            self._loop.remove_writer(self._sock.fileno())

    def _try(self, data: bytes | memoryview, lease: Lease | None) -> int:
        assert self._sock is not None
        try:
            if lease is not None and lease.segment.descriptor >= 0:
                return socket.send_fds(self._sock, [data], [lease.segment.descriptor])
            return self._sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._lose()
            return 0

    # receiving

    def _readable(self) -> None:
        """Hand every complete reply to the core."""
        assert self._sock is not None
        try:
            size = self._inbox.receive(self._sock)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._lose()
            return
        ended = 0
        try:
            for reply in self._inbox.replies():
                ended += self._take(reply)
        except (frames.FrameError, ValueError) as error:
            log.warning("replica %s dropped: %s", self.replica, error)
            self._lose()
            return
        now = time.monotonic_ns() // 1000
        if ended:
            self.pace.learn(now, ended)
        self.silent_since = now if self.inflight else 0
        if self.suspect:
            self.suspect = self.accused = False
            self.owner.on_recovered()
        self._maybe_close()

    def _take(self, reply: frames.Reply) -> int:
        """One reply; 1 when it ends a request and tells how fast the replica is. Raises FrameError or ValueError for
        what cannot be one."""
        lease = None
        if reply.kind == frames.STATUS_REPLY and self.host:  # it was doubted
            return 0
        if reply.kind == frames.RESULT:
            lease = self._lent.pop(reply.id, None)
        if reply.content & frames.IN_SEGMENT:
            if lease is None or len(reply.body) != frames.ANSWER.size:
                raise frames.FrameError("an answer in a segment that was not lent")
            (size,) = frames.ANSWER.unpack(reply.body)
            reply = msgspec.structs.replace(reply, content=reply.content & ~frames.IN_SEGMENT, body=lease.answer(size))
        if reply.kind == frames.PART:
            pending = self.inflight.get(reply.id)
            if pending is not None and pending.head.flags & frames.FLAG_STREAM:
                check(reply, pending.head)
                if not pending.streaming:
                    self._streams += 1
                    self._ended(pending)
                pending.streaming = True
                self.owner.on_part(pending, reply)
            return 0
        pending = self.inflight.pop(reply.id, None)
        if pending is None:
            check(reply, None)
            return 1
        self._streams -= pending.streaming
        # beside a stream others were answered, and what was too late was not computed: they say nothing of the pace
        paced = not pending.streaming and reply.status != DeadlineExceeded.status
        if paced:
            self.pace.predict_us = reply.predict_us
        self._ended(pending)
        try:
            check(reply, pending.head)
        except frames.FrameError:
            self.inflight[reply.id] = pending  # it is sorted with the others that wait
            raise
        self.owner.on_reply(pending, reply)
        return paced

    def _ended(self, pending: Pending) -> None:
        if pending is self.pace.watched:
            self.pace.ended()

    def admit(self, timeout_us: int) -> None:
        """Raise Overloaded unless a request may join those that wait."""
        self.pace.admit(len(self.inflight), self._streams, timeout_us)

    def forget(self, pending: Pending) -> None:
        """Stop waiting for an answer: its deadline is over."""
        if self.inflight.pop(pending.id, None) is not None:
            self._streams -= pending.streaming
            self._ended(pending)
        self._maybe_close()

    # the end

    def retire(self) -> None:
        """Take no more requests; hang up when the last answer is in."""
        self.retired = True
        self._maybe_close()

    def _maybe_close(self) -> None:
        if self.retired and not self.inflight:
            self.close()

    def close(self) -> None:
        """Hang up."""
        if self._sock is not None:
            self._lose()

    def _lose(self) -> None:
        """The stream is over: sort what was in flight by whether it may be sent elsewhere.

        Here what the model had begun is not: it may be what killed the replica. Of another machine that cannot be
        told, and it may be the machine that is gone: there, all may be of which nothing was heard.
        """
        if self._sock is None:
            return
        self._loop.remove_reader(self._sock.fileno())
        self._loop.remove_writer(self._sock.fileno())
        self._sock.close()
        self._sock = None
        begun = 0
        if self._page is not None:
            (begun,) = struct.unpack_from("<Q", self._page, 0)
            self._page.close()
            self._page = None
        waiting = list(self.inflight.values())
        parted: tuple[list[Pending], list[Pending]] = [], []
        for pending in waiting:
            parted[pending.heard if self.host else pending.id <= begun].append(pending)
        self.inflight.clear()
        self._lent.clear()
        self._outbox.clear()
        self._carry.clear()
        self._unsent.clear()
        self.pool.close()
        self.owner.on_lost(self, *parted)
