"""A kept HTTP/1.1 connection with at most one request on it, about as light as Python gets.

Post -> the request's bytes -> sent as they are, again and again -> status of each complete answer.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Post:
    """A request: where to, what, and with which further headers."""

    url: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def address(self) -> tuple[str, int]:
        """Host and port."""
        target = urlsplit(self.url)
        return target.hostname or "", target.port or 80

    def wire(self) -> bytes:
        """The whole request as it is sent."""
        target = urlsplit(self.url)
        head = f"POST {target.path} HTTP/1.1\r\nhost: {target.netloc}\r\ncontent-length: {len(self.body)}\r\n"
        return (head + "".join(f"{k}: {v}\r\n" for k, v in self.headers.items()) + "\r\n").encode() + self.body


class Connection:
    """`size`: how long its last answer was. `due`: when the request under way should have been sent."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.address = address
        self.due, self.size, self.buffer = 0.0, 0, b""
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(self.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def fileno(self) -> int:
        return self.socket.fileno()

    def close(self) -> None:
        self.socket.close()

    def send(self, wire: bytes, due: float | None = None) -> None:
        """Send a request; it was due now unless another time is given."""
        self.buffer, self.due = b"", time.perf_counter() if due is None else due
        self.socket.sendall(wire)

    def receive(self) -> int | None:
        """The status of a complete answer (0: the connection broke), or None when more must come."""
        try:
            piece = self.socket.recv(65536)
        except ConnectionError:
            piece = b""
        if not piece:
            return 0
        self.buffer += piece
        if len(self.buffer) != self.size:  # the same request mostly gets an answer of the same size: no need to read it
            head, found, _ = self.buffer.partition(b"\r\n\r\n")
            if not found:
                return None
            _, named, length = head.lower().partition(b"content-length:")
            size = len(head) + 4 + (int(length.split(b"\r\n")[0]) if named else 0)
            if len(self.buffer) < size:
                return None
            self.size = size
        return int(self.buffer[9:12])
