"""Ports: the sockets that the platform listens on, bound before its processes start."""

from __future__ import annotations

import socket
from pathlib import Path

from inferry.errors import InvalidInput, PortTaken

BACKLOG = 2048


def bind(host: str, port: int, what: str, count: int = 1) -> list[socket.socket]:
    """Listening sockets on one port, over which the kernel spreads connections. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        listeners = [sock, *(beside(sock) for _ in range(count - 1))]
        for each in listeners:
            each.listen(BACKLOG)
    except OSError as error:
        sock.close()
        raise PortTaken(
            f"The {what} port {port} on {host} is in use.", help="Choose another, or 0 for any free one."
        ) from error
    except OverflowError as error:
        raise InvalidInput(f"{port} is not a port.", help="Use 0 to 65535.") from error
    return listeners


def beside(first: socket.socket) -> socket.socket:
    """Another socket on the port of one that is bound alone: nobody else could share it before."""
    sock = socket.socket(first.family, socket.SOCK_STREAM)
    for each in (first, sock):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind(first.getsockname())
    return sock


def private(path: Path) -> socket.socket:
    """A listening socket for processes of this platform."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(BACKLOG)
    return sock


def url_of(sock: socket.socket) -> str:
    """The http address of a listener."""
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def target_of(sock: socket.socket) -> str:
    """The address of a listener as gRPC clients take it."""
    return url_of(sock).removeprefix("http://")
