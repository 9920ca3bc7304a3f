"""Fall-back: returns an endpoint to the revision before when a new one crashes again and again.

Data flow: deaths in a row that the fleet counts -> `policy.fallback` -> a rollback, as a person would ask for it. Only
of a revision that has all the traffic: rollouts and experiments have rules of their own, and people who split it too.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from inferry.control.deploy import previous
from inferry.control.reconciler import group_of
from inferry.control.service import Service
from inferry.errors import Conflict, InferryError
from inferry.policy import fallback
from inferry.telemetry.loops import pause
from inferry.types.registry import Revision

log = logging.getLogger(__name__)

LOOK_S = 0.5
BY = "inferry"


class Fallback:
    """Looks at what died."""

    def __init__(self, service: Service, wall: Callable[[], float] = time.time) -> None:
        self._service = service
        self._fleet = service.fleet
        self._wall = wall
        self._left: set[tuple[str, int]] = set()  # there is nothing to go back to

    async def run(self) -> None:
        """For ever."""
        while True:
            await pause(LOOK_S)
            for live in self._service.reconciler.desired.live if self._fleet.failures else ():
                if self._dies(live.revision) and (live.revision.endpoint, live.revision.number) not in self._left:
                    await self._leave(live.revision)

    def _dies(self, revision: Revision) -> bool:
        group = group_of(revision)
        failures, end = self._fleet.failures.get(group), self._fleet.ends.get(group)
        if failures is None or end is None:
            return False
        return fallback.due(self._wall() - revision.created, failures.deaths, end.why)

    async def _leave(self, revision: Revision) -> None:
        name, group = revision.endpoint, group_of(revision)
        why = fallback.because(self._fleet.failures[group].deaths, self._fleet.ends[group].why)
        try:
            target = await self._target(revision)
            if target is not None:
                await self._service.rollback(name, target.number, BY, why)
                log.warning("%s is back at revision %d: of revision %d, %s", name, target.number, revision.number, why)
        except Conflict:
            self._left.add((name, revision.number))
        except InferryError as error:
            log.warning("%s cannot return to an earlier revision: %s", name, error.sentence())

    async def _target(self, revision: Revision) -> Revision | None:
        """Where its endpoint should return to; None when that is not ours to say. Raises Conflict without any."""
        service, name = self._service, revision.endpoint
        endpoint = await asyncio.to_thread(service.store.endpoint, name)
        if endpoint.running != {revision.number}:
            return None
        if await service.rollouts.active(name) is not None or await service.experiments.running(name) is not None:
            return None
        _, target = previous(endpoint, await asyncio.to_thread(service.store.revisions, name), None)
        if group_of(target) == group_of(revision) or target.created > revision.created:
            raise Conflict("There is no other revision to go back to.")
        return target
