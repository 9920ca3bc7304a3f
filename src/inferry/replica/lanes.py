"""Lanes: requests that a model answers beside each other, part by part, each in a thread of its own.

Data flow: Turn -> waiting -> a free lane's thread calls the model's `respond` -> what it says goes into one
queue and makes `descriptor` readable -> `news()` in the replica's own thread, which sends it. So no answer
waits for another, and requests are read meanwhile. A turn that nobody waits for is told so when it next
speaks; one that has not been heard for ROOM parts waits until it is.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, NamedTuple

from inferry.interfaces.runtime import Said
from inferry.replica.calls import Item, own
from inferry.types import frames

ROOM = 256  # parts of one answer on their way to the replica's own thread


class Turn:
    """One request's turn with the model: the Asker that the model speaks to.

    `limit`: when nobody waits any more (monotonic microseconds, 0: never). For parts, each one gives the next
    as long as the first had.
    """

    def __init__(self, item: Item, tell: Callable[[Turn, Any], None]) -> None:
        self.item = item
        self.parts = bool(item.request.flags & frames.FLAG_STREAM)
        self.limit = item.request.deadline
        self.allowed = max(0, self.limit - item.arrived // 1000) if self.limit else 0
        self.gone = self.late = False
        self.kept: list[Any] = []
        self.began = 0
        self.room = threading.Semaphore(ROOM)
        self._tell = tell

    def waits(self) -> bool:
        """Whether anybody still wants the answer."""
        if self.limit and time.monotonic_ns() // 1000 > self.limit:
            self.late = True
        return not (self.gone or self.late)

    def say(self, part: Any) -> bool:
        """Give one part."""
        if not self.waits():
            return False
        self.room.acquire()
        if self.gone:
            return False
        if self.parts and self.limit:
            self.limit = time.monotonic_ns() // 1000 + self.allowed
        self._tell(self, part)
        return True

    def leave(self) -> None:
        """Nobody waits for it any more."""
        self.gone = True
        self.room.release()


class End(NamedTuple):
    """A turn is over: what the model returned or raised, and how long it took in microseconds."""

    said: Said
    error: BaseException | None
    spent_us: int


class Lanes:
    """At most `slots` turns at a time; the others wait here, where they can still be dropped at no cost."""

    def __init__(self, respond: Callable[[Any, Turn], Said], slots: int) -> None:
        self.slots = slots
        self.waiting: deque[Turn] = deque()
        self.running: set[Turn] = set()
        self.descriptor = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._respond = respond
        self._jobs: SimpleQueue[Turn] = SimpleQueue()
        self._news: deque[tuple[Turn, Any]] = deque()
        self._threads: list[threading.Thread] = []

    def add(self, item: Item) -> None:
        """A request; `next` tells when it may begin."""
        self.waiting.append(Turn(item, self._tell))

    def next(self) -> Turn | None:
        """The turn that may begin now, None when no lane is free or none waits."""
        return self.waiting.popleft() if self.waiting and len(self.running) < self.slots else None

    def begin(self, turn: Turn) -> None:
        """Let the model answer."""
        if len(self._threads) < self.slots:
            thread = threading.Thread(target=self._run, name="lane", daemon=True)
            self._threads.append(thread)
            thread.start()
        turn.began = time.monotonic_ns()
        self.running.add(turn)
        self._jobs.put(turn)

    def drop(self, wanted: Callable[[Item], bool]) -> list[Item]:
        """Forget the turns of these items; those that the model has begun end when it next speaks."""
        dropped = [turn for turn in (*self.waiting, *self.running) if not turn.gone and wanted(turn.item)]
        for turn in dropped:
            turn.leave()
        self.waiting = deque(turn for turn in self.waiting if not turn.gone)
        return [turn.item for turn in dropped]

    def news(self) -> list[tuple[Turn, Any]]:
        """What was said since this was asked last, in its order: parts, and an End for each turn."""
        os.eventfd_read(self.descriptor)
        news = [self._news.popleft() for _ in range(len(self._news))]
        for turn, said in news:
            if isinstance(said, End):
                self.running.discard(turn)
            else:
                turn.room.release()
        return news

    def _tell(self, turn: Turn, said: Any) -> None:
        self._news.append((turn, said))
        os.eventfd_write(self.descriptor, 1)

    def _run(self) -> None:
        while True:
            turn = self._jobs.get()
            said, error = Said(), None
            try:
                said = self._respond(own(turn.item.call), turn)
            except BaseException as raised:  # noqa: BLE001 - told where the answer is asked for
                error = raised
            self._tell(turn, End(said, error, (time.monotonic_ns() - turn.began) // 1000))
            del turn, said, error
