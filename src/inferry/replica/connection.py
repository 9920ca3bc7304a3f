"""Connection: a replica's end of one stream, to the gateway or to control.

Data flow: bytes and descriptors from the socket -> request frames, their bodies where they lie (in
the frame, or in a segment of shared memory that the peer made) -> replies kept for few writes,
large ones written into the segment that came with their request.

The first byte says whether the peer sends requests. It may bring a page of memory in which the replica notes the
highest request id that the model has begun: when the replica is killed, the gateway reads there which requests were
never touched and sends them elsewhere.

Peers on other machines come over TCP with TLS (RemoteConnection): the same frames, and no shared memory.
"""

from __future__ import annotations

import mmap
import os
import select
import socket
import ssl
import struct
import sys
import time
from collections.abc import Iterable

from msgspec.structs import replace

from inferry.security.tls import WAITS
from inferry.types import frames

SEND_S = 10.0


class Connection:
    """One peer: the gateway or control. `works`: it sends requests."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.outbox: list[bytes] = []
        self.page: mmap.mmap | None = None
        self.works = False
        self.greeted = False
        self.closed = False
        self._inbox = frames.Inbox()
        self._descriptors: list[int] = []
        self._segments: dict[int, mmap.mmap] = {}
        self._lent: dict[int, mmap.mmap] = {}
        self._begun = 0

    def greet(self) -> None:
        """Take the first byte and the page that may come with it."""
        data, descriptors, _, _ = socket.recv_fds(self.sock, 1, 1, socket.MSG_DONTWAIT)
        if not data:
            self.closed = True
        self.greeted, self.works = True, data == frames.WORKS
        for descriptor in descriptors:
            try:
                self.page = mmap.mmap(descriptor, 8)
            finally:
                os.close(descriptor)

    def read(self) -> list[frames.Request]:
        """All complete requests that have arrived."""
        try:
            if not self.greeted:
                self.greet()
            elif not self._receive():
                self.closed = True
            if self.closed or not self.greeted:
                return []
            return self._opened(self._inbox.requests())
        except BlockingIOError:
            return []
        except (OSError, ValueError, LookupError, struct.error, frames.FrameError) as error:
            print(f"connection dropped: {error}", file=sys.stderr)
            self.closed = True
            return []

    def _receive(self) -> int:
        return self._inbox.receive_with(self.sock, self._descriptors)

    def _send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def _opened(self, requests: Iterable[frames.Request]) -> list[frames.Request]:
        """The requests with their bodies. Raises what a segment that is not as told makes it raise."""
        return [self._open(request) if request.flags & frames.FLAG_SEGMENT else request for request in requests]

    def _open(self, request: frames.Request) -> frames.Request:
        """The request with its body from the segment where that lies, or that it brings for the answer."""
        id, offset, size = frames.SEGMENT.unpack_from(request.body)
        if request.flags & frames.FLAG_NEW:
            descriptor = self._descriptors.pop(0)
            try:
                self._segments[id] = mmap.mmap(descriptor, 0)
            finally:
                os.close(descriptor)
        memory = self._lent[request.id] = self._segments[id]
        body = memoryview(memory)[offset : offset + size] if size else request.body[frames.SEGMENT.size :]
        return replace(request, body=body, flags=request.flags & ~(frames.FLAG_SEGMENT | frames.FLAG_NEW))

    def release(self, segment: int) -> None:
        """A segment is used no more; its memory goes when the last view of it does."""
        self._segments.pop(segment, None)

    def flush(self) -> None:
        """Write what is waiting; a peer that does not read for long is dropped."""
        if not self.outbox:
            return
        data = self.outbox[0] if len(self.outbox) == 1 else b"".join(self.outbox)
        self.outbox.clear()
        if self.closed:
            return
        try:
            self._send(data)
        except OSError as error:
            print(f"connection dropped while answering: {error}", file=sys.stderr)
            self.closed = True

    def answer(self, reply: frames.Reply) -> None:
        """Keep a reply for the next write, which is now when there are enough of them. A large answer goes into the
        segment that came with its request."""
        if reply.kind == frames.RESULT and self._lent:
            memory = self._lent.pop(reply.id, None)
            size = len(reply.body)
            if memory is not None and frames.BIG <= size <= len(memory):
                memory[:size] = reply.body
                reply = replace(reply, content=reply.content | frames.IN_SEGMENT, body=frames.ANSWER.pack(size))
        self.outbox.append(frames.pack_reply(reply))
        if len(self.outbox) >= frames.TOGETHER:
            self.flush()

    def begin(self, request_id: int) -> None:
        """Note that the model has begun this request."""
        if self.page is not None and request_id > self._begun:
            self._begun = request_id
            struct.pack_into("<Q", self.page, 0, request_id)

    def close(self) -> None:
        """Let go of the socket and the memory."""
        self.closed = True
        self.sock.close()
        self._segments.clear()
        self._lent.clear()
        for descriptor in self._descriptors:
            os.close(descriptor)
        if self.page is not None:
            self.page.close()
            self.page = None


class RemoteConnection(Connection):
    """One peer on another machine, behind a non-blocking security.tls.SecureSocket."""

    def __init__(self, sock: ssl.SSLSocket) -> None:
        super().__init__(sock)
        self.since = time.monotonic()
        self._secure = sock
        self._shaken = False

    def greet(self) -> None:
        """A step of the handshake, or the first byte behind it."""
        if not self._shaken:
            try:
                self._secure.do_handshake()
            except WAITS:
                return
            self._shaken = True
        if not self._inbox.receive(self.sock):
            self.closed = True
            return
        self.greeted, self.works = True, self._inbox.first() == frames.WORKS

    def _receive(self) -> int:
        return self._inbox.receive(self.sock)

    def _send(self, data: bytes) -> None:
        rest, poller = memoryview(data), select.poll()
        poller.register(self.sock, select.POLLOUT)
        while rest:
            try:
                rest = rest[self.sock.send(rest) :]
            except BlockingIOError:
                if not poller.poll(SEND_S * 1000):
                    raise TimeoutError("the peer does not read") from None

    def _opened(self, requests: Iterable[frames.Request]) -> list[frames.Request]:
        """The requests with their deadlines by this machine's clock. Raises FrameError when one lends what cannot
        be."""
        return [self._on_time(request) for request in requests]

    def _on_time(self, request: frames.Request) -> frames.Request:
        if request.flags & frames.FLAG_SEGMENT:
            raise frames.FrameError("shared memory between machines")
        if request.kind != frames.INFER or not request.deadline:
            return request
        return replace(request, deadline=time.monotonic_ns() // 1000 + request.deadline)
