"""Hands: what a pipeline's run has to have done, done by the verbs that people use as well.

Data flow: a Deed of a run -> release, traffic, rollout, rollback, alias, or requests to the endpoint. Each can be
done twice. Raises an InferryError that says why it could not be done.
"""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from inferry.control.inputs import Inputs
from inferry.control.wishes import Wish
from inferry.errors import Conflict, InferryError
from inferry.interfaces.aliases import AliasStore
from inferry.interfaces.pipelines import PipelineStore
from inferry.interfaces.store import MetadataStore
from inferry.later import Later
from inferry.policy.project import config_of
from inferry.policy.strategy import DEFAULT_STRATEGY
from inferry.types.pipeline import Compared, Deed, Run, Smoked
from inferry.types.registry import Version
from inferry.types.replay import ReplayAsk
from inferry.types.rollout import Act, Strategy
from inferry.types.traffic import Mirror, TrafficPlan

if TYPE_CHECKING:
    import httpx
else:
    httpx = Later("httpx")

SMOKE_S = 30.0
SMOKE_TRIES = 3


class Verbs(Protocol):
    """What a platform can do for a pipeline."""

    async def serve(self, version: Version, wish: Wish) -> None:
        """Serve a version as wished; returns when that holds."""
        ...

    async def configure(self, name: str, version: int, changes: dict[str, Any], by: str) -> Any:
        """Run the version that an endpoint serves with another configuration."""
        ...

    async def share_out(self, name: str, plan: TrafficPlan) -> Any:
        """Share an endpoint's requests out another way."""
        ...

    async def begin_rollout(
        self, name: str, revision: int, strategy: Strategy, by: str, *, allow_breaking: bool
    ) -> Any:
        """Give a revision its traffic step by step."""
        ...

    async def abort_rollout(self, name: str, wish: Act) -> Any:
        """End the rollout under way."""
        ...


class Hands:
    """Does what was decided. `http`: where the gateway answers; `key_file`: holds a key for it."""

    def __init__(
        self,
        verbs: Verbs,
        store: MetadataStore,
        named: AliasStore,
        kept: PipelineStore,
        inputs: Inputs,
        http: str,
        key_file: Path,
    ) -> None:
        self._verbs = verbs
        self._store = store
        self._named = named
        self._kept = kept
        self._inputs = inputs
        self._http = http
        self._key_file = key_file

    async def do(self, run: Run, deed: Deed, now: float) -> Smoked | Compared | None:
        """One deed; what the smoke test or the replay said, when it is that."""
        match deed:
            case "release" | "release-idle":
                await self._release(run, idle=deed == "release-idle")
            case "mirror":
                shadow = run.pipeline.stages[run.stage].shadow
                await self._share(run, mirror=Mirror(revision=run.revision, percent=shadow.percent if shadow else 100))
            case "unmirror":
                await self._share(run, mirror=None)
            case "roll-out":
                strategy = self._strategy(run)
                assert strategy is not None
                breaking = run.pipeline.allow_breaking
                await self._verbs.begin_rollout(run.endpoint, run.revision, strategy, by(run), allow_breaking=breaking)
            case "switch":
                breaking = run.pipeline.allow_breaking
                await self._share(run, weights={run.revision: 100}, warm=self._warm(run), allow_breaking=breaking)
            case "go-back":
                await self._go_back(run)
            case "replay":
                return await self._replay(run)
            case "smoke":
                return await self._smoke(run)
            case "name":
                move = self._named.move_alias
                await asyncio.to_thread(move, run.model, run.pipeline.alias, run.version, now, by(run))
        return None

    async def _release(self, run: Run, *, idle: bool) -> None:
        version = await asyncio.to_thread(self._store.version, run.model, run.version)
        applied = await asyncio.to_thread(self._kept.project)
        changes = config_of(applied.project, run.endpoint) if applied is not None else {}
        wish = Wish(
            endpoint=run.endpoint,
            created_by=by(run),
            changes=changes,
            percent=0 if idle else 100,
            keep_warm=True,
            strategy=None if idle else self._strategy(run),
            allow_breaking=run.pipeline.allow_breaking,
        )
        await self._verbs.serve(version, wish)

    def _strategy(self, run: Run) -> Strategy | None:
        name = run.pipeline.stages[run.stage].strategy
        return (run.strategies.get(name) or DEFAULT_STRATEGY) if name else None

    def _warm(self, run: Run) -> tuple[int, ...]:
        return (run.before,) if run.before else ()

    async def _share(self, run: Run, **plan: Any) -> None:
        await self._verbs.share_out(run.endpoint, TrafficPlan(**plan))

    async def _go_back(self, run: Run) -> None:
        try:
            await self._verbs.abort_rollout(run.endpoint, Act(kind="abort", by=by(run), reason=run.reason))
        except InferryError:  # none is under way: it is over, or there was none
            if run.before:
                await self._share(run, weights={run.before: 100}, warm=(), allow_breaking=True)

    async def _replay(self, run: Run) -> Compared:
        """Send what the endpoint was asked lately to the version and to the revision that serves."""
        wanted = run.pipeline.stages[run.stage].replay
        assert wanted is not None
        ask = ReplayAsk(to=str(run.revision), last=wanted.last, most=wanted.most, rate=wanted.rate)
        found = await self._inputs.replay(run.endpoint, ask, lambda _: None)
        return Compared(compared=found.compared + found.failed, differing=found.differing)

    async def _smoke(self, run: Run) -> Smoked:
        """Ask the version's own example so many times, one after the other."""
        asked = run.pipeline.stages[run.stage].smoke
        version = await asyncio.to_thread(self._store.version, run.model, run.version)
        example = version.manifest.inspection.body
        if example is None:
            raise Conflict(
                f"{version.reference} has no example to ask.",
                help="Push it with --sample, or set smoke: 0 in its stage.",
            )
        headers = {"inferry-revision": str(run.revision), "content-type": "application/json"}
        key = await asyncio.to_thread(partial(_read, self._key_file))
        if key:
            headers["authorization"] = f"Bearer {key}"
        async with httpx.AsyncClient(timeout=SMOKE_S, headers=headers) as client:
            for number in range(asked):
                wrong = await _ask(client, f"{self._http}/predict/{run.endpoint}", example)
                if wrong:
                    return Smoked(asked=number + 1, wrong=f"request {number + 1} of {asked}: {wrong}")
        return Smoked(asked=asked)


def by(run: Run) -> str:
    """Who does what a run does, in records."""
    return f"pipeline {run.id}"


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


async def _ask(client: httpx.AsyncClient, url: str, example: bytes) -> str:
    """What is wrong with the answer, "" when nothing is. A connection that breaks is tried again."""
    wrong = ""
    for _ in range(SMOKE_TRIES):
        try:
            answer = await client.post(url, content=example)
        except httpx.HTTPError as error:
            wrong = f"no answer ({type(error).__name__})."
            await asyncio.sleep(0.2)
            continue
        return "" if answer.status_code == 200 else f"it was answered with {answer.status_code}: {answer.text[:200]}"
    return wrong
