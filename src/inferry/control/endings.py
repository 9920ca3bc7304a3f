"""Endings: who is told that a replica was killed: clients whose requests it had begun, and webhooks."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from inferry.control.publisher import Publisher
from inferry.errors import InferryError
from inferry.interfaces.webhooks import WebhookStore
from inferry.policy import events
from inferry.types.replicas import ReplicaSpec
from inferry.types.webhooks import Event

log = logging.getLogger(__name__)

KILLED = "killed: "


class Endings:
    """Hears of every replica that ended without being asked to."""

    def __init__(self, publisher: Publisher, kept: WebhookStore, wall: Callable[[], float] = time.time) -> None:
        self._publisher = publisher
        self._kept = kept
        self._wall = wall
        self._tasks: set[asyncio.Task[None]] = set()

    def ended(self, spec: ReplicaSpec, why: str) -> None:
        """One did."""
        if why.startswith(KILLED):
            self._publisher.tell_end(spec.id, why)
            event = events.killed(spec.label, spec.id, why, self._wall())
            task = asyncio.create_task(self._tell(event))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _tell(self, event: Event) -> None:
        try:
            await asyncio.to_thread(self._kept.happened, event)
        except InferryError as error:
            log.warning("no webhook is told of %s: %s", event.type, error.sentence())
