"""Operations: long work that a client started and follows.

Data flow: a coroutine reports steps -> events in order -> clients long-poll from where they
are. Kept in memory only: what an operation commits is in the store, or it never happened.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from inferry.errors import InferryError, InternalError, NotFound

log = logging.getLogger(__name__)

KEPT = 256


class Operation:
    """One piece of work with its events."""

    def __init__(self, id: str) -> None:
        self.id = id
        self.state = "running"
        self.events: list[dict[str, Any]] = []
        self.result: dict[str, Any] | None = None
        self.error: dict[str, str] | None = None
        self.timings: dict[str, float] = {}
        self._news = asyncio.Condition()
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def note(self, step: str, state: str, message: str = "", ms: float | None = None) -> None:
        """Add an event. Only from the event loop's thread."""
        event: dict[str, Any] = {"seq": len(self.events) + 1, "step": step, "state": state, "message": message}
        if ms is not None:
            event["ms"] = round(ms, 1)
        self.events.append(event)
        self._loop.create_task(self._tell())

    def say(self, step: str) -> Callable[[str], None]:
        """A progress callback for a step, callable from any thread."""

        def say(message: str) -> None:
            if threading.get_ident() == self._thread:
                self.note(step, "progress", message)
                return
            self._loop.call_soon_threadsafe(self.note, step, "progress", message)

        return say

    @contextlib.asynccontextmanager
    async def step(self, name: str, message: str = "") -> AsyncIterator[Callable[[str], None]]:
        """Time one step; yields its progress callback."""
        start = time.monotonic()
        self.note(name, "started", message)
        yield self.say(name)
        self.timings[name] = round((time.monotonic() - start) * 1000, 1)
        self.note(name, "done", ms=self.timings[name])

    async def wait(self, after: int, seconds: float) -> dict[str, Any]:
        """The events after `after`, as soon as there are any or the work has ended."""
        async with self._news:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._news.wait_for(lambda: len(self.events) > after or self.state != "running"), seconds
                )
        return {
            "id": self.id,
            "state": self.state,
            "events": self.events[after:],
            "result": self.result,
            "error": self.error,
        }

    async def run(self, work: Callable[[Operation], Awaitable[dict[str, Any]]]) -> None:
        """Do the work and keep how it ended."""
        try:
            self.result = await work(self)
            self.state = "done"
        except InferryError as error:
            self._fail(error)
        except Exception:
            log.exception("operation %s failed", self.id)
            self._fail(InternalError("The operation failed for a reason of our own.", help="See logs/control.log."))
        except asyncio.CancelledError:
            self._fail(InternalError("The platform stopped before the operation ended.", help="Run it again."))
            raise
        finally:
            await self._tell()

    def _fail(self, error: InferryError) -> None:
        self.state = "failed"
        self.error = {"code": error.code, "message": error.message, "help": error.help}

    async def _tell(self) -> None:
        async with self._news:
            self._news.notify_all()


class Operations:
    """The recent ones, by id."""

    def __init__(self) -> None:
        self._known: dict[str, Operation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Callable[[Operation], Awaitable[dict[str, Any]]]) -> Operation:
        """Begin work in the background."""
        operation = Operation(secrets.token_hex(8))
        self._known[operation.id] = operation
        for id in list(self._known)[:-KEPT]:
            if self._known[id].state != "running":
                del self._known[id]
        task = asyncio.create_task(operation.run(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return operation

    def get(self, id: str) -> Operation:
        """One operation."""
        found = self._known.get(id)
        if found is None:
            raise NotFound(
                "There is no such operation: the platform restarted since.",
                help="What it had not finished was undone. Run the command again.",
            )
        return found

    async def close(self) -> None:
        """Cancel what runs."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
