"""A receiver of webhooks: a real HTTP server that answers as a test says, and remembers what came.

Data flow: request -> the next of `answers` (the last one for ever) -> kept in `got`, in order.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from inferry.client import CloudEvent, verify_webhook


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    sleep_s: float = 0.0


@dataclass(frozen=True)
class Got:
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


class Receiver:
    """`with Receiver(Reply(500), Reply()) as receiver:` fails once, then takes everything."""

    def __init__(self, *answers: Reply) -> None:
        self.answers = list(answers) or [Reply()]
        self.got: list[Got] = []
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def do_GET(self) -> None:
                receiver._take(self)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("content-length") or 0))
        with self._lock:
            self.got.append(Got(handler.path, {k.lower(): v for k, v in handler.headers.items()}, body, time.time()))
            reply = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        time.sleep(reply.sleep_s)
        try:
            handler.send_response(reply.status)
            for name, value in reply.headers.items():
                handler.send_header(name, value)
            handler.send_header("content-length", str(len(reply.body)))
            handler.end_headers()
            handler.wfile.write(reply.body)
        except OSError:
            return  # the sender has left

    def events(self, secret: str) -> list[CloudEvent]:
        """What came, verified."""
        return [verify_webhook(one.body, one.headers, secret, tolerance_s=3600) for one in list(self.got)]

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
