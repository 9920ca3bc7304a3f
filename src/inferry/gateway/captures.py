"""Captures: answers that are kept, so that feedback can be joined to them.

Data flow: an answer was sent -> `take` notes it, unless its endpoint's share of this second is used up -> a bounded
queue -> each second a batch to control -> control says that it is on disk -> the next, when many wait. Where an
endpoint asks for it, a share of them goes with the request's body. Nothing of either is read here. Without control the
queue fills, and then the oldest are dropped and counted.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Callable
from hashlib import blake2b
from itertools import count
from zlib import crc32

from inferry.gateway.keys import key_of
from inferry.gateway.live import LiveEndpoint, Pending
from inferry.gateway.segments import Lease
from inferry.types import frames
from inferry.types.feedback import CaptureBatch, Captured, CapturedInput
from inferry.types.traffic import Sampling

MAX_ANSWER = 16 << 10
"""Answers over this are noted without their body."""
MAX_INPUT = frames.BIG
"""Requests from this size on are not kept: they lie in memory that the replica may use again."""
MAX_QUEUE = 20_000
MAX_BYTES = 32 << 20
MAX_BATCH = 200
SECOND = 1.0
SAMPLES = 1 << 32


class Captures:
    """The queue. `send` takes a batch when control is there. `taken`, `dropped`: how many, since this gateway began;
    `inputs`, `inputs_dropped`: how many with what was asked, and how many where that was too large."""

    def __init__(self, loop: asyncio.AbstractEventLoop, send: Callable[[CaptureBatch], bool]) -> None:
        self.taken = self.dropped = self.inputs = self.inputs_dropped = 0
        self._loop = loop
        self._send = send
        self._left: dict[bytes, tuple[int, int, int, Sampling]] = {}
        self._queue: deque[Captured] = deque()
        self._bytes = 0
        self._flights: dict[int, list[Captured]] = {}
        self._number = 0
        self._prefix = secrets.token_hex(6).encode()
        self._names = count()

    def take(self, pending: Pending, reply: frames.Reply, id: bytes) -> None:
        """Note an answer that was sent; `id` is how the client knows its request, empty when it does not."""
        endpoint, revision = pending.endpoint, pending.revision
        left = self._left.get(endpoint.name)
        if left is None or left[3] != endpoint.plan.split.sampling:
            left = self._begin(endpoint)
        if left[0] <= 0 or reply.status != 200 or revision is None:
            return
        id = id or b"%b-%x" % (self._prefix, next(self._names))
        if left[1] < SAMPLES and crc32(id) >= left[1]:
            return
        self._left[endpoint.name] = left[0] - 1, *left[1:]
        head = pending.head
        key = key_of(endpoint, head, pending.body)
        answer = Captured(
            endpoint=endpoint.plan.name,
            revision=revision.plan.number,
            version=revision.plan.version,
            id=id.decode("ascii", "replace"),
            at=time.time(),
            key=blake2b(key or id, digest_size=8, key=endpoint.name[:64]).hexdigest(),
            door=head.door,
            content=reply.content,
            json_size=reply.json_size,
            body=reply.body if type(reply.body) is bytes and len(reply.body) <= MAX_ANSWER else b"",
            input=self._input(pending, id, left[2]) if left[2] else None,
        )
        self._queue.append(answer)
        self._bytes += size_of(answer)
        self.taken += 1
        if len(self._queue) > MAX_QUEUE or self._bytes > MAX_BYTES:
            self._bytes -= size_of(self._queue.popleft())
            self.dropped += 1

    def _input(self, pending: Pending, id: bytes, share: int) -> CapturedInput | None:
        """What was asked, when it is its turn. Of the head only what the body needs: never a credential."""
        if share < SAMPLES and crc32(id) >= share:
            return None
        if isinstance(pending.body, Lease) or len(pending.body) >= MAX_INPUT:
            self.inputs_dropped += 1
            return None
        self.inputs += 1
        head = pending.head
        media = next((value for name, value in head.headers if name == b"content-type"), b"")
        flags = head.flags & frames.FLAGS_ENCODED
        return CapturedInput(media.decode("latin-1"), flags, head.json_size, bytes(pending.body))

    def _begin(self, endpoint: LiveEndpoint) -> tuple[int, int, int, Sampling]:
        """What an endpoint may keep in this second, by what is asked now; the first of all begins the second."""
        if not self._left:
            self._loop.call_later(SECOND, self._turn)
        sampling = endpoint.plan.split.sampling
        share, inputs = int(sampling.percent / 100 * SAMPLES), int(sampling.inputs / 100 * SAMPLES)
        left = self._left[endpoint.name] = sampling.most_per_s, share, inputs, sampling
        return left

    def _turn(self) -> None:
        """The second is over."""
        self._left.clear()
        self.push()

    def push(self, at_once: int = 1) -> None:
        """Hand over the oldest, when control is there and has fewer than so many batches to write."""
        while self._queue and len(self._flights) < at_once:
            batch = [self._queue.popleft() for _ in range(min(MAX_BATCH, len(self._queue)))]
            self._number += 1
            if not self._send(CaptureBatch(number=self._number, answers=tuple(batch))):
                self._queue.extendleft(reversed(batch))
                return
            self._flights[self._number] = batch
            self._bytes -= sum(map(size_of, batch))

    def kept(self, number: int) -> None:
        """Control has a batch on disk. What came meanwhile goes with the others of its second: to write many at once
        costs control little more than to write a few."""
        if self._flights.pop(number, None) is not None and (not self._left or len(self._queue) >= MAX_BATCH):
            self.push()

    def lost(self) -> None:
        """Control is gone: what it had not confirmed goes again."""
        for batch in reversed(self._flights.values()):
            self._queue.extendleft(reversed(batch))
            self._bytes += sum(map(size_of, batch))
        self._flights.clear()


def size_of(answer: Captured) -> int:
    """About how much memory an answer holds."""
    asked = len(answer.input.body) if answer.input is not None else 0
    return len(answer.body) + asked + 350
