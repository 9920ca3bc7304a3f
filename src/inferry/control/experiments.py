"""Experiments: looks at each one that runs, and keeps what there is to say.

Data flow: store -> sums by variant -> `policy.experiment.judge` with the report before -> the report, kept. Nothing
is remembered here: a control process that dies goes on from the last report. A verdict changes nothing by itself;
people end an experiment, and say who gets the traffic.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from inferry.control.deploy import Deployer
from inferry.control.reconciler import Reconciler
from inferry.errors import NotFound
from inferry.interfaces.experiments import ExperimentStore
from inferry.policy import experiment as policy
from inferry.policy import traffic
from inferry.telemetry.loops import pause
from inferry.types.experiment import Experiment, ExperimentRecord

log = logging.getLogger(__name__)

LOOK_S = 5.0
KEPT = 20


class Experiments:
    """One loop. `lock`: the lock of an endpoint, held while its traffic changes."""

    def __init__(
        self,
        kept: ExperimentStore,
        deployer: Deployer,
        reconciler: Reconciler,
        lock: Callable[[str], asyncio.Lock],
        clock: Callable[[], float],
    ) -> None:
        self._kept = kept
        self._deployer = deployer
        self._reconciler = reconciler
        self._lock = lock
        self._clock = clock

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                for record in await asyncio.to_thread(partial(self._kept.experiments, running=True)):
                    await asyncio.to_thread(self._look, record)
            except Exception:
                log.exception("looking at the experiments failed; trying again")
            await pause(LOOK_S)

    def _look(self, record: ExperimentRecord) -> ExperimentRecord:
        """A look at one that runs; the report is what later looks go on from."""
        seen = self._kept.seen(record.id)
        report = policy.judge(record.experiment, seen, self._clock(), record.report)
        before = record.report
        self._kept.keep_report(record.id, report)
        if before is None or before.verdict != report.verdict:
            log.info("experiment %s at %s: %s: %s", record.id, record.endpoint, report.verdict, report.reason)
        return msgspec.structs.replace(record, report=report)

    async def begin(self, endpoint: str, experiment: Experiment, by: str) -> dict[str, Any]:
        """One whose variants exist; their replicas are started first. Raises InvalidInput, NotFound or Conflict."""
        policy.check_experiment(experiment)
        weights = {int(variant.name): variant.weight for variant in experiment.variants}
        async with self._lock(endpoint):
            begun = msgspec.structs.replace(experiment, started=self._clock())
            record = await self._deployer.ready_for(
                endpoint,
                partial(traffic.point, weights=weights),
                partial(self._kept.begin_experiment, endpoint, begun, by),
            )
        return self.row(record)

    async def end(self, endpoint: str, by: str, reason: str, winner: int | None) -> dict[str, Any]:
        """Look once more, and end the one that runs; `winner` gets all traffic."""
        async with self._lock(endpoint):
            record = await self.running(endpoint)
            if record is None:
                raise NotFound(
                    f"No experiment at {endpoint!r} is under way.", help=f"See inferry experiment list {endpoint}"
                )
            await asyncio.to_thread(self._look, record)
            kept = self._kept.end_experiment
            made = await asyncio.to_thread(kept, record.id, self._clock(), by, reason, winner)
            await self._reconciler.refresh(endpoint)
        return self.row(await asyncio.to_thread(self._kept.experiment, made.id))

    async def running(self, endpoint: str) -> ExperimentRecord | None:
        """The experiment under way at an endpoint, if any."""
        found = await asyncio.to_thread(partial(self._kept.experiments, endpoint, running=True))
        return found[0] if found else None

    async def list(self, endpoint: str) -> list[dict[str, Any]]:
        """The latest experiments at an endpoint (at all when it is empty), oldest first."""
        return [self.row(record) for record in (await asyncio.to_thread(self._kept.experiments, endpoint))[-KEPT:]]

    async def show(self, id: str) -> dict[str, Any]:
        """One experiment, looked at now when it runs."""
        record = await asyncio.to_thread(self._kept.experiment, id)
        if not record.ended:
            record = await asyncio.to_thread(self._look, record)
        return self.row(record) | {"seen": msgspec.to_builtins(await asyncio.to_thread(self._kept.seen, id))}

    def row(self, record: ExperimentRecord) -> dict[str, Any]:
        """An experiment as the API shows it. `planned`: units that it needs, by what was expected."""
        row: dict[str, Any] = msgspec.to_builtins(record)
        return row | {"planned": policy.plan(record.experiment)}
