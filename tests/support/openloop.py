"""Open-loop load: requests at fixed times whether or not earlier ones are answered, as real traffic comes.

A free kept connection takes each request, a new one when none is free. Latency counts from the
moment when the request was due, so a stalled server or generator cannot hide (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvloop


@dataclass(frozen=True, slots=True)
class Sample:
    """One request: when it was due (s since the start), its status (0: the connection broke) and its latency in s."""

    due: float
    status: int
    latency: float


def post(url: str, body: bytes, headers: dict[str, str]) -> bytes:
    """A POST as it goes over the wire."""
    target = urlsplit(url)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"POST {target.path} HTTP/1.1\r\nhost: {target.netloc}\r\n{lines}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class _Connection(asyncio.Protocol):
    def __init__(self, load: _Load) -> None:
        self.load = load
        self.due = 0.0
        self.busy = False
        self.inbox = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport) -> None:
        self.transport = transport

    def send(self, due: float) -> None:
        self.due, self.busy = due, True
        self.transport.write(self.load.wire)

    def data_received(self, data: bytes) -> None:
        self.inbox += data
        head, found, rest = self.inbox.partition(b"\r\n\r\n")
        if not found:
            return
        _, _, length = head.lower().partition(b"content-length:")
        if len(rest) < int(length.split(b"\r\n")[0]):
            return
        self.inbox = b""
        self._done(int(head[9:12]))
        if b"connection: close" in head.lower():
            self.transport.close()
        else:
            self.load.free.append(self)

    def _done(self, status: int) -> None:
        if self.busy:
            self.busy = False
            self.load.samples.append(Sample(self.due, status, self.load.now() - self.due))

    def connection_lost(self, exc) -> None:
        self._done(0)
        if self in self.load.free:
            self.load.free.remove(self)


class _Load:
    def __init__(self, url: str, wire: bytes) -> None:
        self.url, self.wire = url, wire
        self.free: list[_Connection] = []
        self.all: list[_Connection] = []
        self.samples: list[Sample] = []
        self.started = 0.0

    def now(self) -> float:
        return time.perf_counter() - self.started

    async def open(self) -> _Connection:
        target = urlsplit(self.url)
        loop = asyncio.get_running_loop()
        _, made = await loop.create_connection(lambda: _Connection(self), target.hostname, target.port)
        self.all.append(made)
        return made

    async def run(self, phases: list[tuple[float, float]]) -> list[Sample]:
        self.free = [await self.open() for _ in range(64)]
        self.started = time.perf_counter()
        sent, begin, opening = 0, 0.0, set()
        for rate, seconds in phases:
            count = round(rate * seconds)
            for number in range(count):
                due = begin + number / rate
                if (ahead := due - self.now()) > 0.0005:
                    await asyncio.sleep(ahead)
                elif number % 32 == 0:
                    await asyncio.sleep(0)
                sent += 1
                if self.free:
                    self.free.pop().send(due)
                else:
                    task = asyncio.create_task(self._send_on_new(due))
                    opening.add(task)
                    task.add_done_callback(opening.discard)
            begin += seconds
        while len(self.samples) < sent and self.now() < begin + 60:
            await asyncio.sleep(0.01)
        for connection in self.all:
            connection.transport.abort()
        await asyncio.sleep(0)
        return self.samples

    async def _send_on_new(self, due: float) -> None:
        try:
            (await self.open()).send(due)
        except OSError:
            self.samples.append(Sample(due, 0, self.now() - due))


def run(url: str, wire: bytes, phases: list[tuple[float, float]]) -> list[Sample]:
    """Send `wire` at each phase's (rate, seconds), and wait for all answers."""
    gc.disable()
    try:
        return uvloop.run(_Load(url, wire).run(phases))
    finally:
        gc.enable()


def quantile(values: list[float], q: float) -> float:
    """The q-quantile of values, 0 when there are none."""
    ranked = sorted(values)
    return ranked[min(len(ranked) - 1, int(q * len(ranked)))] if ranked else 0.0
