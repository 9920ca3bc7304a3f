"""Workers: threads in which a model computes while the replica's own thread reads, decodes and writes.

Data flow: `start(job)` -> the first thread that is free calls the model, which lets go of
Python's lock while it computes -> `descriptor` becomes readable -> `finished()`. The threads share the
model and one queue, so a job that waits there begins the moment that another ends.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple

SWITCH_S = 0.001  # how long a thread may wait for Python's lock when its computation has ended


class Done(NamedTuple):
    """A call that ended: what it was for, what it returned or raised, when it began (monotonic nanoseconds)
    and how long it took (microseconds)."""

    job: Any
    outputs: Any
    error: BaseException | None
    start: int
    spent_us: int


class Workers:
    """At most `count` calls at a time; the threads are made by the first of them."""

    def __init__(self, call: Callable[[Any], Any], count: int) -> None:
        self.count = count
        self.started = 0
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._call = call
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._done: deque[Done] = deque()
        self._threads: list[threading.Thread] = []

    def start(self, job: Any) -> None:
        """Hand over a call of the model."""
        if not self._threads:
            sys.setswitchinterval(SWITCH_S)
            self._threads = [threading.Thread(target=self._run, name="model", daemon=True) for _ in range(self.count)]
            for thread in self._threads:
                thread.start()
        self.started += 1
        self._jobs.put(job)

    def finished(self) -> list[Done]:
        """The calls that ended since this was asked last."""
        os.eventfd_read(self.descriptor)
        done = [self._done.popleft() for _ in range(len(self._done))]
        self.started -= len(done)
        return done

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            outputs, error, start = None, None, time.monotonic_ns()
            try:
                outputs = self._call(job)
            except BaseException as raised:  # noqa: BLE001 - told where the result is asked for
                error = raised
            self._done.append(Done(job, outputs, error, start, (time.monotonic_ns() - start) // 1000))
            os.eventfd_write(self.descriptor, 1)
            del job, outputs, error
