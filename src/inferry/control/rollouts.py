"""Rollouts: carries out what `policy.rollout` decides, and what people want of it.

Data flow: store -> each rollout that has not ended -> Observer -> `decide` -> one transaction (state, decision,
traffic) -> the reconciler moves. Nothing is remembered here but the last look at the counters: a control process
that dies goes on from the last decision, and only the seconds in between are missing data.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from inferry.control.callers import Callers
from inferry.control.feedback import Feedback
from inferry.control.observe import LATENCY_BOUNDS, Observer
from inferry.control.queries import ask
from inferry.control.reconciler import Reconciler
from inferry.errors import Conflict, InferryError, NotFound, Unavailable
from inferry.interfaces.rollouts import RolloutStore
from inferry.interfaces.store import MetadataStore
from inferry.policy import bins as binning
from inferry.policy import rollout as policy
from inferry.policy.strategy import check_strategy
from inferry.types.registry import Revision
from inferry.types.rollout import Act, Decision, Rollout, RolloutRecord, Strategy
from inferry.types.traffic import RevisionCounters

log = logging.getLogger(__name__)

LOOK_S = 5.0
LEAST_LOOK_S = 0.5
LOOKS = 8  # within the shortest bake time
KEPT = 20  # ended rollouts that are listed for each endpoint


class Rollouts:
    """One loop. `lock`: the lock of an endpoint, held while its traffic changes."""

    def __init__(
        self,
        store: MetadataStore,
        kept: RolloutStore,
        feedback: Feedback,
        reconciler: Reconciler,
        observer: Observer,
        lock: Callable[[str], asyncio.Lock],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._kept = kept
        self._feedback = feedback
        self._reconciler = reconciler
        self._observer = observer
        self._lock = lock
        self._clock = clock
        self._callers = Callers(store)
        self._news = asyncio.Event()
        self._due: dict[str, float] = {}

    async def run(self) -> None:
        """For ever."""
        while True:
            self._news.clear()
            wait = LOOK_S
            try:
                wait = await self.look()
            except InferryError as error:
                log.warning("the rollouts cannot be looked at: %s", error.sentence())
            except Exception:
                log.exception("looking at the rollouts failed; trying again")
            try:
                await asyncio.wait_for(self._news.wait(), wait)
            except TimeoutError:
                continue

    async def look(self) -> float:
        """Decide for every rollout that is due. Returns in how many seconds the next one is."""
        active = await asyncio.to_thread(self._kept.rollouts, active=True)
        ids = {record.rollout.id for record in active}
        self._observer.forget(ids)
        moving = (record.rollout for record in active)
        self._reconciler.scaler.compare({(one.endpoint, at) for one in moving for at in (one.stable, one.canary)})
        self._due = {id: at for id, at in self._due.items() if id in ids}
        due = [record for record in active if self._due.get(record.rollout.id, 0.0) <= self._clock()]
        if due:
            counters = await self._counters()
            for record in due:
                self._due[record.rollout.id] = self._clock() + look_s(record.strategy)
                try:
                    await self._step(record.rollout.id, counters)
                except InferryError as error:
                    log.warning("rollout %s of %s: %s", record.rollout.id, record.rollout.endpoint, error.sentence())
        return max(0.05, min([*self._due.values(), self._clock() + LOOK_S]) - self._clock())

    async def _counters(self) -> tuple[RevisionCounters, ...]:
        try:
            return await self._reconciler.publisher.counters()
        except Unavailable:  # missing data decides nothing
            return ()

    async def _step(self, id: str, counters: tuple[RevisionCounters, ...]) -> None:
        record = await asyncio.to_thread(self._kept.rollout, id)
        rollout = record.rollout
        if rollout.ended:
            return
        revisions = await self._revisions(rollout.endpoint)
        values = await ask(record.strategy, (revisions[rollout.stable], revisions[rollout.canary]))
        async with self._lock(rollout.endpoint):
            record = await asyncio.to_thread(self._kept.rollout, id)  # a person may have been faster
            rollout = await self._binned(record.rollout)
            observation = self._observer.observe(rollout, revisions, counters, values)
            decision = policy.decide(rollout, record.strategy, observation, self._clock())
            await self._keep(record, decision)

    async def _binned(self, rollout: Rollout) -> Rollout:
        """The rollout with bins for its answers, as soon as the stable revision has given enough."""
        if rollout.bins is not None:
            return rollout
        bins = binning.make(await asyncio.to_thread(self._feedback.lately, rollout.endpoint, rollout.stable))
        return rollout if bins is None else msgspec.structs.replace(rollout, bins=bins)

    async def _keep(self, record: RolloutRecord, decision: Decision) -> RolloutRecord:
        made = await asyncio.to_thread(self._kept.keep_decision, record, decision)
        if decision.action != "wait":
            state = made.rollout
            log.info("rollout %s of %s: %s: %s", state.id, state.endpoint, decision.action, decision.reason)
            await self._reconciler.refresh(state.endpoint)
        return made

    async def _revisions(self, endpoint: str) -> Mapping[int, Revision]:
        return {revision.number: revision for revision in await asyncio.to_thread(self._store.revisions, endpoint)}

    # what people want

    async def begin(
        self, endpoint: str, canary: int, strategy: Strategy, by: str, *, allow_breaking: bool = False
    ) -> dict[str, Any]:
        """A rollout to a revision that exists. Raises InvalidInput, NotFound, Conflict or BreakingChange."""
        check_strategy(strategy)
        async with self._lock(endpoint):
            if not allow_breaking:
                await asyncio.to_thread(self._callers.refuse_revision, endpoint, canary)
            begin = self._kept.begin_rollout
            record = await asyncio.to_thread(begin, endpoint, canary, strategy, self._clock(), by)
            await self._reconciler.refresh(endpoint)
        self._news.set()
        return self._row(record)

    async def act(self, endpoint: str, wish: Act) -> dict[str, Any]:
        """Pause, resume, skip, promote or abort the rollout under way; returns when traffic follows."""
        async with self._lock(endpoint):
            record = await self.active(endpoint)
            if record is None:
                raise NotFound(f"No rollout of {endpoint!r} is under way.", help=f"inferry rollout history {endpoint}")
            if wish.kind in ("promote", "skip"):
                await self._need_replica(record)
            decision = policy.act(record.rollout, record.strategy, wish, self._clock())
            made = await self._keep(record, decision)
        self._due.pop(made.rollout.id, None)  # look at once what follows from it
        self._news.set()
        return self._row(made)

    async def _need_replica(self, record: RolloutRecord) -> None:
        revisions = await self._revisions(record.rollout.endpoint)
        canary = revisions[record.rollout.canary]
        if not self._observer.running(canary):
            raise Conflict("No replica of the canary runs.", help="Wait until one does, or abort the rollout.")

    async def active(self, endpoint: str) -> RolloutRecord | None:
        """The rollout that moves an endpoint's traffic, if any."""
        found = await asyncio.to_thread(self._kept.rollouts, endpoint, active=True)
        return found[0] if found else None

    async def list(self, endpoint: str) -> list[dict[str, Any]]:
        """The latest rollouts of an endpoint (of all when it is empty), oldest first."""
        return [self._row(record) for record in (await asyncio.to_thread(self._kept.rollouts, endpoint))[-KEPT:]]

    async def show(self, id: str, after: int) -> dict[str, Any]:
        """One rollout with its decisions behind number `after`."""
        record = await asyncio.to_thread(self._kept.rollout, id)
        decisions = await asyncio.to_thread(self._kept.decisions, id, after)
        return self._row(record) | {
            "strategy": msgspec.to_builtins(record.strategy),
            "readings": msgspec.to_builtins(policy.readings(record.rollout, record.strategy, LATENCY_BOUNDS)),
            "decisions": msgspec.to_builtins(decisions),
        }

    def _row(self, record: RolloutRecord) -> dict[str, Any]:
        state = record.rollout
        return {
            "id": state.id,
            "endpoint": state.endpoint,
            "stable": state.stable,
            "canary": state.canary,
            "phase": state.phase,
            "step": state.step + 1,
            "steps": len(record.strategy.steps),
            "weight": state.weight,
            "pause": msgspec.to_builtins(state.pause),
            "started": state.started,
            "since": state.since,
            "updated": record.updated,
            "created_by": record.created_by,
            "ended_by": state.ended_by,
            "reason": state.reason,
        }


def look_s(strategy: Strategy) -> float:
    """Seconds between two looks: several within the shortest step."""
    shortest = min((step.bake_s for step in strategy.steps if step.bake_s), default=LOOK_S * LOOKS)
    return min(LOOK_S, max(LEAST_LOOK_S, shortest / LOOKS))
