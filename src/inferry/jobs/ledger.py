"""Ledger: how much of the queue each key holds, and who waits for a job's end.

Data flow: what the tables hold at the start, then each change -> counts by key, futures that resolve.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from inferry.policy.jobs import Limits
from inferry.types.jobs import Job

MOST_WAITING = 1024


class Ledger:
    """Counts that the limits are held against. The tables are the truth; this follows them."""

    def __init__(self, limits: Limits, held: Mapping[str, tuple[int, int]]) -> None:
        self._limits = limits
        self._held = dict(held)
        self._jobs = sum(jobs for jobs, _ in held.values())
        self._bytes = sum(size for _, size in held.values())
        self._waiting: dict[str, list[asyncio.Future[None]]] = {}
        self._waiters = 0

    def reserve(self, key: str, size: int) -> None:
        """Make room for one more job. Raises Overloaded or Unavailable."""
        self._limits.admit(size, self._held.get(key, (0, 0)), (self._jobs, self._bytes))
        self._move(key, 1, size)

    def release(self, key: str, size: int) -> None:
        """Give that room back."""
        self._move(key, -1, -size)

    def ended(self, job: Job) -> None:
        """A job ended just now."""
        self._move(job.key, -1, job.answer_size)
        for waiting in self._waiting.pop(job.id, ()):
            if not waiting.done():
                waiting.set_result(None)

    def forgotten(self, job: Job) -> None:
        """A job is gone."""
        self._move(job.key, 0, -job.size - job.answer_size)

    def _move(self, key: str, jobs: int, size: int) -> None:
        self._jobs += jobs
        self._bytes += size
        now = self._held.get(key, (0, 0))
        self._held[key] = now[0] + jobs, now[1] + size
        if self._held[key] == (0, 0):
            del self._held[key]

    def watch(self, id: str) -> asyncio.Future[None]:
        """Resolves at a job's end; never when too many wait already."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters < MOST_WAITING:
            self._waiters += 1
            self._waiting.setdefault(id, []).append(waiting)
            waiting.add_done_callback(self._left)
        else:
            waiting.set_result(None)
        return waiting

    def unwatch(self, id: str, waiting: asyncio.Future[None]) -> None:
        """Nobody waits any more."""
        waiting.cancel()
        others = [other for other in self._waiting.pop(id, []) if other is not waiting]
        if others:
            self._waiting[id] = others

    def _left(self, _: asyncio.Future[None]) -> None:
        self._waiters -= 1
