"""TLS between the processes of one platform that are on different machines. Both sides show a certificate of the
platform's own authority, whose name says who they are.

Data flow: Identity (PEM texts) -> a context for who listens or who connects -> sockets that behave as plain
non-blocking ones do -> `shake` -> frames.

Nothing that is secret touches a disk here: keys are loaded through memory that has no name. Standard library only: it
runs inside model environments.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from typing import Any

from inferry.types.address import TcpAddress
from inferry.types.identity import Identity

RECORD = 1 << 14  # bytes of a TLS record at most; frames.Inbox has that much room whenever it receives
PART = 1 << 18  # of a large frame handed to OpenSSL at a time
CONNECT_S = 3.0
IDLE_S, BETWEEN_S, CUT_MS = 1, 1, 3000
"""A silent peer is probed after a second, each second; one that acknowledges nothing for three is gone."""

CONTROL, GATEWAY = "control.inferry", "gateway.inferry"
WAITS = (ssl.SSLWantReadError, ssl.SSLWantWriteError)


def replica_name(id: str) -> str:
    """The name in the certificate of a replica."""
    return f"{id}.replica.inferry"


class SecureSocket(ssl.SSLSocket):
    """A non-blocking TLS socket that says "not now" as a plain one does: BlockingIOError.

    A receive takes whole records, so poll sees whatever is left: give it room for one (RECORD bytes).
    """

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:  # noqa: ARG002
        """Receive what is there. 0: the peer hung up."""
        view = memoryview(buffer)[:nbytes]
        total = 0
        while True:
            try:
                size = super().recv_into(view[total:])
            except WAITS:
                if total:
                    return total
                raise BlockingIOError from None
            total += size
            if size < RECORD or len(view) - total < RECORD:
                return total

    def send(self, data: Any, flags: int = 0) -> int:  # noqa: ARG002 - the shape of socket.socket's
        """Send part of it. After a BlockingIOError the same bytes must come again."""
        try:
            return super().send(memoryview(data)[:PART])
        except WAITS:
            raise BlockingIOError from None


def listening_context(identity: Identity) -> ssl.SSLContext:
    """For a replica: only the gateway and control of its platform may speak to it."""
    return _context(ssl.PROTOCOL_TLS_SERVER, identity)


def connecting_context(identity: Identity) -> ssl.SSLContext:
    """For the gateway and control: the name they connect to must be in the replica's certificate."""
    return _context(ssl.PROTOCOL_TLS_CLIENT, identity)


def _context(protocol: int, identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.sslsocket_class = SecureSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.verify_mode = ssl.CERT_REQUIRED
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0  # connections are few and stay
    context.load_verify_locations(cadata=identity.authority)
    renew(context, identity)
    return context


def renew(context: ssl.SSLContext, identity: Identity) -> None:
    """Show another certificate from now on; connections that are open stay. Raises ssl.SSLError for what is none."""
    descriptor = os.memfd_create("inferry-identity", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, f"{identity.certificate}\n{identity.key}".encode())
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def settle(sock: socket.socket) -> None:
    """No waiting for more to send, and a peer that vanished without a word is noticed within seconds."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, BETWEEN_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, CUT_MS)


async def dial(loop: asyncio.AbstractEventLoop, address: TcpAddress) -> socket.socket:
    """A plain connection. Raises OSError, also when it takes too long."""
    sock = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    try:
        sock.setblocking(False)
        settle(sock)
        async with asyncio.timeout(CONNECT_S):
            await loop.sock_connect(sock, tuple(address))
    except BaseException:
        sock.close()
        raise
    return sock


async def dial_securely(
    loop: asyncio.AbstractEventLoop, address: TcpAddress, context: ssl.SSLContext, name: str
) -> ssl.SSLSocket:
    """A connection to who has this name in its certificate. Raises OSError (ssl.SSLError is one)."""
    sock = context.wrap_socket(await dial(loop, address), server_hostname=name, do_handshake_on_connect=False)
    try:
        async with asyncio.timeout(CONNECT_S):
            await _shake(loop, sock)
    except BaseException:
        sock.close()
        raise
    return sock


async def _shake(loop: asyncio.AbstractEventLoop, sock: ssl.SSLSocket) -> None:
    while True:
        with contextlib.suppress(ssl.SSLWantReadError):
            sock.do_handshake()
            return
        readable = asyncio.Event()
        loop.add_reader(sock.fileno(), readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(sock.fileno())
