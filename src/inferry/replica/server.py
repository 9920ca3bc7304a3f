"""The replica's loop: one thread, blocking, on one unix socket with several connections.

Data flow: poll -> read all that is there -> frames -> engine -> one write a connection for
all replies of a batch -> poll again without waiting while work is queued. The socket buffer
is the queue: what arrives while a batch runs is the next batch.

Each connection may bring, with its first byte, a memory page in which the replica notes the
highest request id that the model has begun: when the replica is killed, the gateway reads
there which requests were never touched and sends them elsewhere.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from inferry.replica.engine import Engine
from inferry.types import frames

READ = 1 << 18
GRACE_S = 30.0


class Connection:
    """One peer: the gateway or control."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.inbox = bytearray()
        self.outbox: list[bytes] = []
        self.page: mmap.mmap | None = None
        self.greeted = False
        self.closed = False
        self._begun = 0

    def greet(self) -> None:
        """Take the first byte and the page that may come with it."""
        data, descriptors, _, _ = socket.recv_fds(self.sock, 1, 1, socket.MSG_DONTWAIT)
        if not data:
            self.closed = True
        self.greeted = True
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
                return []
            data = self.sock.recv(READ, socket.MSG_DONTWAIT)
            if not data:
                self.closed = True
                return []
            self.inbox += data
            return list(frames.split_requests(self.inbox))
        except BlockingIOError:
            return []
        except (OSError, ValueError, frames.FrameError) as error:  # ValueError: a page that is too small
            print(f"connection dropped: {error}", file=sys.stderr)
            self.closed = True
            return []

    def flush(self) -> None:
        """Write what is waiting; a peer that does not read for long is dropped."""
        if not self.outbox:
            return
        data = self.outbox[0] if len(self.outbox) == 1 else b"".join(self.outbox)
        self.outbox.clear()
        try:
            self.sock.sendall(data)
        except OSError as error:
            print(f"connection dropped while answering: {error}", file=sys.stderr)
            self.closed = True

    def answer(self, frame: bytes) -> None:
        """Keep a reply frame for the next write."""
        self.outbox.append(frame)

    def begin(self, request_id: int) -> None:
        """Note that the model has begun this request."""
        if self.page is not None and request_id > self._begun:
            self._begun = request_id
            struct.pack_into("<Q", self.page, 0, request_id)

    def close(self) -> None:
        """Let go of the socket and the page."""
        self.closed = True
        self.sock.close()
        if self.page is not None:
            self.page.close()
            self.page = None


class Server:
    """Serves an engine on a listening socket until stopped, or until `lifeline` closes."""

    def __init__(
        self, listener: socket.socket, lifeline: int, engine: Engine, status: Callable[[], dict[str, Any]]
    ) -> None:
        self.listener = listener
        self.lifeline = lifeline
        self.engine = engine
        self.status = status
        self.connections: dict[int, Connection] = {}
        self.stopping = 0.0
        self.poller = select.epoll()

    def run(self) -> None:
        """The loop. Returns when drained after a stop, or when the platform is gone."""
        self.listener.setblocking(False)
        self.poller.register(self.listener.fileno(), select.EPOLLIN)
        self.poller.register(self.lifeline, select.EPOLLIN | select.EPOLLHUP)
        waker, wakeup = os.pipe()
        os.set_blocking(wakeup, False)
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, self._on_term)
        self.poller.register(waker, select.EPOLLIN)
        while True:
            timeout = 0.0 if self.engine.queue else 0.2 if self.stopping else -1.0
            for descriptor, _ in self.poller.poll(timeout):
                if descriptor == self.lifeline:
                    return
                if descriptor == waker:
                    os.read(waker, 64)
                elif descriptor in self.connections:
                    self._receive(self.connections[descriptor])
                else:
                    self._accept()
            if self.engine.queue:
                self.engine.step()
            for connection in list(self.connections.values()):
                connection.flush()
                if connection.closed:
                    self._drop(connection)
            if self.stopping and not self.engine.queue and self._drained():
                return

    def _on_term(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if not self.stopping:
            self.stopping = time.monotonic()
            with contextlib.suppress(KeyError, ValueError):
                self.poller.unregister(self.listener.fileno())
            self.listener.close()

    def _drained(self) -> bool:
        """Nobody may still send work: only peers without a page (control) are left, or grace is over."""
        waiting = any(connection.page is not None for connection in self.connections.values())
        return not waiting or time.monotonic() - self.stopping > GRACE_S

    def _accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 10, 0))
        self.connections[sock.fileno()] = Connection(sock)
        self.poller.register(sock.fileno(), select.EPOLLIN)

    def _drop(self, connection: Connection) -> None:
        descriptor = connection.sock.fileno()
        self.poller.unregister(descriptor)
        del self.connections[descriptor]
        self.engine.forget(connection)
        connection.close()

    def _receive(self, connection: Connection) -> None:
        for request in connection.read():
            if request.kind == frames.INFER:
                self.engine.offer(request, connection)
            elif request.kind == frames.STATUS:
                body = msgspec.json.encode(self.status() | {"served": self.engine.served})
                connection.answer(frames.pack_reply(request.id, frames.STATUS_REPLY, body=body))
            elif request.kind == frames.STOP:
                self._stop()
