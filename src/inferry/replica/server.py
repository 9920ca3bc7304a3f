"""The replica's loop: one thread, blocking, on one listening socket with several connections. The socket is a unix
one, or a TCP one for peers on other machines, who come with TLS.

Data flow: poll -> read all that is there -> frames -> engine -> one write a connection for
all replies of a batch -> poll again without waiting while work is queued. The socket buffer
is the queue: what arrives while a batch runs is the next batch.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Any

import msgspec

from inferry.replica.connection import Connection, RemoteConnection
from inferry.replica.engine import Engine
from inferry.security.tls import renew, settle
from inferry.types import frames
from inferry.types.identity import Identity

GRACE_S = 30.0
STRANGE_S, STRANGERS = 10.0, 64  # how long a peer may take to show its certificate, and how many may be about it
EAGER_NS = 200_000  # how long to look for the next request before going to sleep, when they come that fast


class Server:
    """Serves an engine on a listening socket until stopped, or until `lifeline` closes. `tls`: of a TCP socket."""

    def __init__(
        self,
        listener: socket.socket,
        lifeline: int,
        engine: Engine,
        status: Callable[[], dict[str, Any]],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.listener = listener
        self.lifeline = lifeline
        self.engine = engine
        self.status = status
        self.tls = tls
        self.connections: dict[int, Connection] = {}
        self.stopping = 0.0
        self.epoch = 0  # the latest of a control process that spoke to this replica
        self.poller = select.epoll()
        self._cores = len(os.sched_getaffinity(0))
        self._eager = False

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
        computing = self._computing()
        for descriptor in computing:
            self.poller.register(descriptor, select.EPOLLIN)
        while True:
            timeout = 0.0 if self.engine.ready else 0.2 if self.stopping else -1.0
            for descriptor, _ in self._wait(timeout):
                if descriptor == self.lifeline:
                    return
                if descriptor == waker:
                    os.read(waker, 64)
                elif descriptor in computing:
                    computing[descriptor]()
                elif descriptor in self.connections:
                    self._receive(self.connections[descriptor])
                else:
                    self._accept()
            self._compute()
            for connection in list(self.connections.values()):
                connection.flush()
                if connection.closed:
                    self._drop(connection)
            if self.stopping and not self.engine.busy and self._drained():
                return

    def _computing(self) -> dict[int, Callable[[], None]]:
        """What tells that threads of the engine have something, and what takes it."""
        workers, turns = self.engine.workers, self.engine.turns
        found = {} if workers is None else {workers.descriptor: self.engine.finish}
        return found if turns is None else {**found, turns.descriptor: self.engine.collect}

    def _compute(self) -> None:
        if not self.engine.ready:
            return
        self.engine.step()
        if self.engine.lone and any(descriptor in self.connections for descriptor, _ in self.poller.poll(0.0)):
            self.engine.lone = 0  # somebody came while it computed

    def _wait(self, timeout: float) -> list[tuple[int, int]]:
        """Events of the poller, waited for at most `timeout` seconds (-1: for ever).

        Waking a sleeping process takes longer than a small model does. So while requests come one hard
        on the other, a moment is spent looking again and again, always after whoever else wants this core; but
        not while the model computes in threads, which want it more.
        """
        events = self.poller.poll(0.0)
        if events or not timeout:
            return events
        started = now = time.monotonic_ns()
        patience = max(EAGER_NS, self.engine.patience_ns)
        while self._eager and not self.engine.computing and now - started < patience:
            os.sched_yield()
            events = self.poller.poll(0.0)
            if events:
                return events
            now = time.monotonic_ns()
        events = self.poller.poll(timeout)
        self._eager = time.monotonic_ns() - now < patience and self._cores > 1
        return events

    def _on_term(self, *_: object) -> None:
        self._stop()

    def _stop(self) -> None:
        if not self.stopping:
            self.stopping = time.monotonic()
            with contextlib.suppress(KeyError, ValueError):
                self.poller.unregister(self.listener.fileno())
            self.listener.close()

    def _drained(self) -> bool:
        """Nobody may still send work: only control is left, or grace is over."""
        waiting = any(connection.works for connection in self.connections.values())
        return not waiting or time.monotonic() - self.stopping > GRACE_S

    def _accept(self) -> None:
        try:
            sock, _ = self.listener.accept()
        except OSError:
            return
        connection = self._connection(sock)
        if connection is None:
            sock.close()
            return
        self.connections[connection.sock.fileno()] = connection
        self.poller.register(connection.sock.fileno(), select.EPOLLIN)

    def _connection(self, sock: socket.socket) -> Connection | None:
        if self.tls is None:
            sock.setblocking(True)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 10, 0))
            return Connection(sock)
        strangers, now = 0, time.monotonic()
        for known in list(self.connections.values()):
            if isinstance(known, RemoteConnection) and not known.greeted:
                strangers += 1
                if now - known.since > STRANGE_S:
                    self._drop(known)
        if strangers >= STRANGERS:
            return None
        sock.setblocking(False)
        try:
            settle(sock)
            return RemoteConnection(self.tls.wrap_socket(sock, server_side=True, do_handshake_on_connect=False))
        except OSError:  # it is gone already
            return None

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
                self.epoch = max(self.epoch, request.deadline)
                body = msgspec.json.encode(self.status() | {"served": self.engine.served})
                connection.answer(frames.Reply(request.id, frames.STATUS_REPLY, body=body))
            elif request.kind == frames.CANCEL:
                self.engine.cancel(request.id, connection)
            elif request.kind == frames.RELEASE:
                connection.release(request.id)
            elif request.kind == frames.RENEW and self.tls is not None:
                renew(self.tls, msgspec.json.decode(request.body, type=Identity))
            elif request.kind == frames.STOP and request.deadline >= self.epoch:
                self._stop()
