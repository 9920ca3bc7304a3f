"""Seen: what a pipeline's decision needs to know, gathered from the stores, the traffic and the gateway.

Data flow: a run -> its stage's endpoint, revisions and rollouts, the other runs, the gates' last trial, the gateway's
counters -> one Seen. Nothing is remembered here but the answers of smoke tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from inferry.errors import NotFound, Unavailable
from inferry.interfaces.aliases import AliasStore
from inferry.interfaces.pipelines import PipelineStore
from inferry.interfaces.rollouts import RolloutStore
from inferry.interfaces.store import MetadataStore
from inferry.interfaces.trials import TrialStore
from inferry.policy.freeze import frozen_until
from inferry.policy.pipeline import POLICY
from inferry.types.pipeline import Compared, Moved, Run, Seen, Trialled
from inferry.types.registry import Endpoint, Revision
from inferry.types.rollout import RolloutRecord
from inferry.types.traffic import RevisionCounters

_PASSED = {"queue", "approval", "deploy", "replay", "shadow", "move", "smoke", "name", "done"}

Counters = Callable[[], Awaitable[tuple[RevisionCounters, ...]]]


class Eyes:
    """Looks. `tested`: what the gates of versions said."""

    def __init__(
        self,
        store: MetadataStore,
        named: AliasStore,
        rollouts: RolloutStore,
        kept: PipelineStore,
        tested: TrialStore,
        counters: Counters,
    ) -> None:
        self._store = store
        self._named = named
        self._rollouts = rollouts
        self._kept = kept
        self._tested = tested
        self._counters = counters

    async def look(self, run: Run, now: float) -> Seen:
        """All that is known of a run and its stage; not what the smoke test said."""
        found = await asyncio.to_thread(self._read, run, now)
        if not found.mirrored:
            return found
        return Seen(**{field: getattr(found, field) for field in Seen.__struct_fields__} | {
            "compared": await self._compared(run)
        })  # fmt: skip

    def _read(self, run: Run, now: float) -> Seen:
        others = [record.run for record in self._kept.runs(run.model) if record.run.id != run.id]
        endpoint, revisions, rollouts = self._endpoint(run.endpoint)
        ours = self._ours(run, endpoint, revisions)
        moved = next((record for record in reversed(rollouts) if record.rollout.canary == ours), None) if ours else None
        strangers = [r for r in rollouts if not r.rollout.ended and r.rollout.canary != ours]
        at_work = [other.version for other in others if other.at_work]
        mirror = endpoint.split.mirror if endpoint is not None else None
        return Seen(
            trial=self._trial(run),
            newer=max((other.version for other in others if _replaces(other, run)), default=0),
            busy=at_work[0] if at_work else run.version if strangers else 0,
            frozen_until=frozen_until(run.pipeline.freeze, run.endpoint, now),
            revision=ours,
            serving=endpoint.revision if endpoint is not None and endpoint.traffic else 0,
            share=endpoint.traffic.get(ours, 0) if endpoint is not None and ours else 0,
            mirrored=mirror is not None and mirror.revision == ours,
            rollout=_moved(moved),
            named=self._is_named(run),
        )

    def _trial(self, run: Run) -> Trialled | None:
        """What the version's gates said last."""
        found = self._tested.trials(run.model, run.version)[-1:]
        return Trialled(passed=found[0].passed, words=", ".join(found[0].failed)) if found else None

    def _endpoint(self, name: str) -> tuple[Endpoint | None, Sequence[Revision], Sequence[RolloutRecord]]:
        try:
            return self._store.endpoint(name), self._store.revisions(name), self._rollouts.rollouts(name)
        except NotFound:
            return None, (), ()

    def _ours(self, run: Run, endpoint: Endpoint | None, revisions: Sequence[Revision]) -> int:
        """What the endpoint calls the version: what this stage has made, or what serves it alone already."""
        if endpoint is None:
            return 0
        its = [r for r in revisions if (r.model, r.version) == (run.model, run.version)]
        if run.revision:
            return run.revision if any(r.number == run.revision for r in its) else 0
        made = [r.number for r in its if r.created >= run.since or endpoint.traffic.get(r.number) == 100]
        return max(made, default=0) if run.at_work else 0

    def _is_named(self, run: Run) -> bool:
        names = self._named.aliases(run.model)
        return any(alias.name == run.pipeline.alias and alias.version == run.version for alias in names)

    async def _compared(self, run: Run) -> Compared | None:
        try:
            counted = await self._counters()
        except Unavailable:
            return None
        reports = [c.mirror for c in counted if c.endpoint == run.endpoint and c.revision == run.revision and c.mirror]
        if not reports:
            return None
        compared = sum(report.compared for report in reports)
        failed = sum(report.failed for report in reports)
        equal = sum(report.equal for report in reports)
        return Compared(compared=compared + failed, differing=compared - equal + failed)


def _replaces(other: Run, run: Run) -> bool:
    """Whether a run makes another needless: that of a younger version which has passed its gates, unless the older
    version was sent after it, which is meant so."""
    return other.version > run.version and other.phase in _PASSED and other.started >= run.started


def _moved(record: RolloutRecord | None) -> Moved | None:
    if record is None:
        return None
    rollout = record.rollout
    if rollout.phase == "promoted":
        return Moved(ended="promoted", person="" if rollout.ended_by == POLICY else rollout.ended_by)
    return Moved(ended="aborted" if rollout.phase == "aborted" else "", words=rollout.reason)
