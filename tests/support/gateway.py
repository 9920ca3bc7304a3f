"""A real uvicorn server with the gateway's connection class over fake replicas, and a client that speaks byte by byte."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time

import uvloop

from inferry.compose.gateway import FORMS, make_pages, make_server
from inferry.gateway.app import App
from inferry.gateway.core import Core
from inferry.gateway.head import Heads
from inferry.gateway.services import Services
from inferry.security.keys import KeyRing
from inferry.telemetry.metrics import Metrics
from tests.support.fake_replica import PEPPER, FakeReplica, make_key, revision, table

WAIT_S = 10
KEY, BEARER = make_key("admin")
AUTH = b"Authorization: " + BEARER + b"\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


def post(body=b"{}", *headers, target="/predict/iris", auth=AUTH, version="1.1"):
    """A prediction as bytes."""
    lines = b"".join(header.encode() + b"\r\n" for header in headers)
    start = f"POST {target} HTTP/{version}\r\nHost: x\r\n".encode()
    return start + auth + lines + b"Content-Length: %d\r\n\r\n" % len(body) + body


def chunked(*chunks, target="/predict/iris", auth=AUTH):
    """A prediction whose body comes in chunks."""
    start = f"POST {target} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n".encode() + auth + b"\r\n"
    return start + b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def size(self):
        """How many bytes the replica saw."""
        assert self.status == 200, (self.status, self.body)
        return json.loads(self.body)["size"]

    @property
    def code(self):
        return json.loads(self.body)["error"]["code"]


class Client:
    """One connection."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.sock.makefile("rb")

    def send(self, data):
        self.sock.sendall(data)
        return self

    def answer(self, body=True):
        """The next answer, read strictly."""
        version, status, _ = self.file.readline().split(b" ", 2)
        assert version == b"HTTP/1.1"
        headers = {}
        while (line := self.file.readline()) != b"\r\n":
            assert line.endswith(b"\r\n")
            name, _, value = line[:-2].decode().partition(": ")
            assert name.lower() not in headers
            headers[name.lower()] = value
        if int(status) == 100:
            return Answer(100, headers, b"")
        return Answer(int(status), headers, self.file.read(int(headers["content-length"])) if body else b"")

    def ask(self, data):
        return self.send(data).answer()

    def closed(self):
        """Whether the server ended the connection and sent nothing more."""
        return self.file.read(1) == b""

    def close(self):
        self.file.close()
        self.sock.close()


class Gateway:
    """A server in a thread of its own, with one endpoint, iris, and a replica; `slow` has one that holds."""

    def __init__(self, folder, *, head_s=WAIT_S, body_s=WAIT_S, max_body=8 << 20):
        self.settings = (head_s, body_s, max_body)
        self.folder = folder
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.up = threading.Event()
        self.clients = []
        self.thread = threading.Thread(target=self._main)
        self.thread.start()
        assert self.up.wait(WAIT_S)

    def _main(self):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._serve())

    async def _serve(self):
        head_s, body_s, max_body = self.settings
        self.loop = asyncio.get_running_loop()
        self.core = Core(self.loop, lambda t: KeyRing(t.keys, PEPPER), Metrics(), lambda _: None)
        heads = Heads(max_body)
        self.services = Services(self.core, heads, FORMS, head_s, body_s)
        self.fast = await FakeReplica(str(self.folder / "fast.sock"), "fast").start()
        self.slow = await FakeReplica(str(self.folder / "slow.sock"), "slow", hold=True).start()
        self.core.apply(table(KEY, iris=(revision(self.fast),), slow=(revision(self.slow),)))
        self.server = make_server(App(self.core, heads, make_pages(), FORMS), self.services, 5)
        serving = asyncio.create_task(self.server.serve(sockets=[self.listener]))
        while not self.server.started:
            await asyncio.sleep(0.001)
        self.up.set()
        await serving
        self.core.apply(table())
        await self.fast.die()
        await self.slow.die()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(WAIT_S)

    def client(self):
        made = Client(self.port)
        self.clients.append(made)
        return made

    def asked(self):
        """The next request that the slow replica holds."""
        return self.run(self.slow.asked.get())

    def reply(self, request, **fields):
        self.run(self.slow.answer(request, **fields))

    def until(self, condition):
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.005)

    def close(self):
        for client in self.clients:
            client.close()
        self.server.should_exit = True
        self.thread.join(WAIT_S)
        assert not self.thread.is_alive()
