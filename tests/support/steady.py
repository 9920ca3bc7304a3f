"""A steady, open-loop load: requests leave on the clock, whether or not earlier ones were answered.

one POST, a rate -> a thread with its own event loop and kept connections -> every outcome with its time.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Outcome:
    """One request. `sent`: time.monotonic; `status` 0: the connection broke; `version`: who answered."""

    sent: float
    seconds: float
    status: int
    version: str
    body: bytes

    @property
    def ok(self) -> bool:
        """Answered, and with 200."""
        return self.status == 200


class Steady:
    """`with Steady(url, body, key, rate=200) as load: ...`; afterwards `load.outcomes` holds all requests."""

    def __init__(self, url: str, body: bytes, key: str, *, rate: float = 200.0, timeout: float = 40.0) -> None:
        target = urlsplit(url)
        self.host, self.port = target.hostname, target.port
        head = (
            f"POST {target.path} HTTP/1.1\r\nhost: {target.netloc}\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        self.wire = head.encode() + body
        self.rate, self.timeout = rate, timeout
        self.outcomes: list[Outcome] = []
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="steady load")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    @property
    def failures(self) -> list[Outcome]:
        """All that were not answered with 200."""
        return [outcome for outcome in self.outcomes if not outcome.ok]

    def versions(self) -> Counter[str]:
        """How many answers each version gave."""
        return Counter(outcome.version for outcome in self.outcomes if outcome.ok)

    def since(self, moment: float) -> list[Outcome]:
        """The requests sent after a time.monotonic moment."""
        return [outcome for outcome in self.outcomes if outcome.sent >= moment]

    async def _run(self) -> None:
        started, number = time.monotonic(), 0
        async with asyncio.TaskGroup() as tasks:
            while not self._end.is_set():
                tasks.create_task(self._one())
                number += 1
                await asyncio.sleep(max(0.0, started + number / self.rate - time.monotonic()))
        for _, writer in self._idle:
            writer.close()

    async def _one(self) -> None:
        sent = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout):
                status, version, body = await self._exchange()
        except (OSError, EOFError, TimeoutError) as error:
            status, version, body = 0, "", repr(error).encode()
        self.outcomes.append(Outcome(sent, time.monotonic() - sent, status, version, body))

    async def _exchange(self) -> tuple[int, str, bytes]:
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(self.wire)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines[1:])}
            body = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            writer.close()
            raise
        if headers.get("connection", "").lower() == "close":
            writer.close()
        else:
            self._idle.append((reader, writer))
        return int(lines[0].split()[1]), headers.get("inferry-version", ""), body


def describe(outcomes: list[Outcome]) -> str:
    """The first few outcomes, for an assertion's message."""
    return "; ".join(f"{o.status} after {o.seconds:.3f} s: {o.body[:200]!r}" for o in outcomes[:5]) or "none"
