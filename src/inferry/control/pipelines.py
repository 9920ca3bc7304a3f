"""Pipelines: carries out what `policy.pipeline` decides for each run, and what people want of them.

Data flow: new versions of models with a pipeline -> runs -> for each: Eyes -> `decide` -> one transaction (state,
words) -> Hands. All is read anew at each look: a control process that dies goes on from the last state, and does
again what it may not have finished.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from inferry.control.hands import Hands, by
from inferry.control.seen import Eyes
from inferry.errors import Conflict, InferryError, NotFound, StorageFull, Unavailable
from inferry.interfaces.pipelines import PipelineStore
from inferry.interfaces.store import MetadataStore
from inferry.policy import pipeline as policy
from inferry.types.pipeline import Compared, Run, RunRecord, Seen, Smoked
from inferry.types.project import AppliedProject

log = logging.getLogger(__name__)

LOOK_S = 1.0
NONE_S = 60.0
"""While no project was ever applied: whoever applies one wakes the loop."""
KEPT = 50  # runs that are listed of each model
PASSING = (Unavailable, StorageFull)
"""Troubles that pass: what was to be done is tried again."""


class Pipelines:
    """One loop, and one task for each run that has something to do."""

    def __init__(
        self, store: MetadataStore, kept: PipelineStore, eyes: Eyes, hands: Hands, clock: Callable[[], float]
    ) -> None:
        self._store = store
        self._kept = kept
        self._eyes = eyes
        self._hands = hands
        self._clock = clock
        self._news = asyncio.Event()
        self._work: dict[str, asyncio.Task[None]] = {}
        self._said: dict[str, tuple[int, Smoked | Compared]] = {}  # by run, what its stage's last question came to
        self._problems: dict[str, str] = {}
        self._looked_at: dict[str, int] = {}  # by model, the youngest version that needs no second look

    async def run(self) -> None:
        """For ever."""
        try:
            while True:
                self._news.clear()
                pause = LOOK_S
                try:
                    if not await self.look():
                        pause = NONE_S
                except Exception:
                    log.exception("looking at the pipelines failed; trying again")
                try:
                    await asyncio.wait_for(self._news.wait(), pause)
                except TimeoutError:
                    continue
        finally:
            for task in self._work.values():
                task.cancel()

    def tell(self) -> None:
        """Something has changed."""
        self._news.set()

    async def look(self) -> bool:
        """Begin runs for new versions, and go on with those that are under way. Whether there can be any."""
        applied = await asyncio.to_thread(self._kept.project)
        if applied is None:
            return False
        await asyncio.to_thread(self._begin_new, applied)
        active = await asyncio.to_thread(self._kept.runs, active=True)
        ids = {record.run.id for record in active}
        self._work = {id: task for id, task in self._work.items() if not task.done()}
        self._said = {id: said for id, said in self._said.items() if id in ids}
        for record in active:
            if record.run.id not in self._work:
                self._work[record.run.id] = asyncio.create_task(self._advance(record.run.id))
        return True

    def _begin_new(self, applied: AppliedProject) -> None:
        """A run for each version that came after its model's pipeline was declared."""
        latest = {model.name: model.latest for model in self._store.models()}
        for model in applied.project.pipelines:
            if latest.get(model, 0) <= self._looked_at.get(model, 0):
                continue
            versions = self._store.versions(model)
            known = {record.run.version for record in self._kept.runs(model)}
            since = applied.since.get(model, applied.at)
            for version in versions:
                if version.number not in known and version.created >= since and version.number > max(known, default=0):
                    self._kept.begin_run(self._new(applied, model, version.number, version.created_by), self._clock())
            self._looked_at[model] = latest[model]

    def _new(self, applied: AppliedProject, model: str, version: int, who: str) -> Run:
        pipeline, now = applied.project.pipelines[model], self._clock()
        named = {stage.strategy for stage in pipeline.stages}
        strategies = {name: strategy for name, strategy in applied.project.strategies.items() if name in named}
        return Run(
            id=secrets.token_hex(6), model=model, version=version, pipeline=pipeline, strategies=strategies,
            started=now, created_by=who, since=now, reason="It waits for its gates." if pipeline.gates else "",
        )  # fmt: skip

    async def _advance(self, id: str) -> None:
        """Decide and do, until there is nothing to do now."""
        try:
            while await self._step(id):
                pass
        except PASSING as error:
            log.warning("run %s: %s; trying again", id, error.sentence())
        except Conflict as error:  # a person was faster: read again
            log.info("run %s: %s", id, error.sentence())
        except Exception:
            log.exception("run %s failed to go on; trying again", id)

    async def _step(self, id: str) -> bool:
        record = await asyncio.to_thread(self._kept.run, id)
        run, now = record.run, self._clock()
        if run.ended:
            return False
        turn = policy.decide(run, self._add(run, await self._eyes.look(run, now)), now)
        if turn.run != run:
            await asyncio.to_thread(self._kept.keep_turn, record, turn, now, policy.POLICY)
            log.info("%s:%s: %s: %s", run.model, run.version, turn.run.phase, turn.run.reason)
        self._problems.pop(id, None)
        if turn.deed:
            await self._do(turn.run, turn.deed)
        return bool(turn.deed) or turn.run != run

    def _add(self, run: Run, seen: Seen) -> Seen:
        """What only this process knows."""
        stage, said = self._said.get(run.id, (-1, None))
        known = {}
        if stage == run.stage and said is not None:
            known["smoked" if isinstance(said, Smoked) else "replayed"] = said
        return msgspec.structs.replace(seen, problem=self._problems.get(run.id, ""), **known)

    async def _do(self, run: Run, deed: Any) -> None:
        try:
            said = await self._hands.do(run, deed, self._clock())
        except PASSING:
            raise
        except InferryError as error:
            self._problems[run.id] = error.sentence()
            return
        if said is not None:
            self._said[run.id] = run.stage, said

    # what people want

    async def start(self, model: str, version: int, who: str) -> dict[str, Any]:
        """A run of a version that is there, by hand."""
        applied = await asyncio.to_thread(self._kept.project)
        if applied is None or model not in applied.project.pipelines:
            raise NotFound(f"No pipeline of {model!r} is declared.", help="Declare one in inferry.yaml and apply it.")
        await asyncio.to_thread(self._store.version, model, version)
        made = await asyncio.to_thread(self._kept.begin_run, self._new(applied, model, version, who), self._clock())
        self.tell()
        return run_row(made)

    async def act(self, id: str, wish: policy.Act, who: str, reason: str) -> dict[str, Any]:
        """Approve or cancel a run."""
        record = await asyncio.to_thread(self._kept.run, id)
        now = self._clock()
        turn = policy.act(record.run, wish, who, reason, now)
        made = await asyncio.to_thread(self._kept.keep_turn, record, turn, now, who)
        self.tell()
        return run_row(made)

    def list(self, model: str) -> list[dict[str, Any]]:
        """The latest runs of a model (of all when it is empty), oldest first."""
        return [run_row(record) for record in self._kept.runs(model)[-KEPT:]]

    def show(self, id: str, after: int) -> dict[str, Any]:
        """One run with its events behind number `after`."""
        record = self._kept.run(id)
        events = msgspec.to_builtins(self._kept.run_events(id, after))
        return run_row(record) | {"pipeline": msgspec.to_builtins(record.run.pipeline), "events": events}


def run_row(record: RunRecord) -> dict[str, Any]:
    """A run as the API shows it."""
    run = record.run
    return {
        "id": run.id,
        "model": run.model,
        "version": run.version,
        "phase": run.phase,
        "stage": run.stage + 1,
        "stages": len(run.pipeline.stages),
        "endpoint": run.endpoint,
        "revision": run.revision,
        "reason": run.reason,
        "started": run.started,
        "since": run.since,
        "updated": record.updated,
        "created_by": run.created_by,
        "ended": run.ended,
        "ended_by": run.ended_by,
        "done_by": by(run),
    }
