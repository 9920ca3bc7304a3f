"""Load: the same POST again and again over a number of kept connections, as fast as they answer.

one request -> wrk when it is installed, else the small generator below -> rate, latencies, errors.
The generator shares the machine's cores with the server that it measures, whichever of the two it is.
"""

from __future__ import annotations

import json
import selectors
import shutil
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Post:
    """A request: where to, what, and with which further headers."""

    url: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a run measured. Latencies in milliseconds; `errors`: answers other than 200, and broken connections."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int

    @property
    def rate(self) -> float:
        """Answers in a second."""
        return self.requests / self.seconds


def generator() -> str:
    """Which load generator `run` uses here."""
    return "wrk" if shutil.which("wrk") else "bundled"


def run(post: Post, connections: int, seconds: float) -> Load:
    """Keep `connections` requests in flight for `seconds`."""
    return _wrk(post, connections, seconds) if generator() == "wrk" else bundled(post, connections, seconds)


_SCRIPT = """
wrk.method = "POST"
wrk.body = %s
%s
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%%d,"seconds":%%.6f,"p50":%%.4f,"p99":%%.4f,"errors":%%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


def _wrk(post: Post, connections: int, seconds: float) -> Load:
    headers = "\n".join(f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in post.headers.items())
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        script.write_text(_SCRIPT % (json.dumps(post.body.decode()), headers))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "-s", str(script), post.url]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Load(**json.loads(output.strip().splitlines()[-1]))


def bundled(post: Post, connections: int, seconds: float) -> Load:
    """One thread, plain sockets, one selector: about as light as Python gets."""
    target = urlsplit(post.url)
    head = f"POST {target.path} HTTP/1.1\r\nhost: {target.netloc}\r\ncontent-length: {len(post.body)}\r\n"
    wire = (head + "".join(f"{k}: {v}\r\n" for k, v in post.headers.items()) + "\r\n").encode() + post.body
    selector = selectors.DefaultSelector()
    waiting = [_Connection(target.hostname or "", target.port or 80, selector) for _ in range(connections)]
    latencies: list[float] = []
    errors = 0
    started = now = time.perf_counter()
    for one in waiting:
        one.send(wire)
    while now - started < seconds:
        for key, _ in selector.select(timeout=1.0):
            one = key.data
            status = one.receive()
            if status is None:
                continue
            latencies.append(time.perf_counter() - one.sent)
            errors += status != 200
            one.send(wire)
        now = time.perf_counter()
    for one in waiting:
        one.close()
    latencies.sort()
    at = [
        latencies[min(len(latencies) - 1, int(len(latencies) * share))] * 1e3 if latencies else 0
        for share in (0.5, 0.99)
    ]
    return Load(requests=len(latencies), seconds=now - started, p50=at[0], p99=at[1], errors=errors)


class _Connection:
    """A kept connection with at most one request on it. `size`: how long its last answer was."""

    def __init__(self, host: str, port: int, selector: selectors.BaseSelector) -> None:
        self.address, self.selector = (host, port), selector
        self.sent, self.size, self.buffer = 0.0, 0, b""
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(self.address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.selector.register(self.socket, selectors.EVENT_READ, self)

    def close(self) -> None:
        self.selector.unregister(self.socket)
        self.socket.close()

    def send(self, wire: bytes) -> None:
        self.buffer, self.sent = b"", time.perf_counter()
        self.socket.sendall(wire)

    def receive(self) -> int | None:
        """The status of a complete answer (0: the connection broke), or None when more must come."""
        piece = self.socket.recv(65536)
        if not piece:
            self.close()
            self.open()
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
