"""Projects: makes what is there equal to what was declared, and says what differs.

Data flow: Project -> `policy.plan` with the stores -> Changes -> the verbs that people use -> until there is nothing
left, or only what could not be done. What was applied is kept before anything is done: a control process that dies
goes on with it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from inferry.control.hands import Verbs
from inferry.control.pipelines import PASSING
from inferry.control.wishes import Wish
from inferry.errors import InferryError, InvalidSettings, NotFound
from inferry.interfaces.aliases import AliasStore
from inferry.interfaces.pipelines import PipelineStore
from inferry.interfaces.rollouts import RolloutStore
from inferry.interfaces.store import MetadataStore
from inferry.policy import plan as policy
from inferry.policy.plan import EndpointNow, Wanted
from inferry.policy.project import problems
from inferry.policy.strategy import DEFAULT_STRATEGY
from inferry.types.declared import Problem, sentence
from inferry.types.names import LATEST
from inferry.types.project import AppliedProject, Change, Project
from inferry.types.rollout import Strategy
from inferry.types.traffic import TrafficPlan

log = logging.getLogger(__name__)

LOOK_S = 2.0
NONE_S = 60.0
"""While nothing is to be done: whoever applies a project wakes the loop."""


class Projects:
    """One loop. `delete`: stop serving an endpoint; `told`: hears that a project was applied."""

    def __init__(
        self,
        store: MetadataStore,
        named: AliasStore,
        rollouts: RolloutStore,
        kept: PipelineStore,
        verbs: Verbs,
        delete: Callable[[str], Any],
        told: Callable[[], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._named = named
        self._rollouts = rollouts
        self._kept = kept
        self._verbs = verbs
        self._delete = delete
        self._told = told
        self._clock = clock
        self._news = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        while True:
            self._news.clear()
            pause = LOOK_S
            try:
                applied = await asyncio.to_thread(self._kept.project)
                if applied is None or applied.settled:
                    pause = NONE_S
                else:
                    await self._settle(applied)
            except PASSING as error:
                log.warning("the project: %s; trying again", error.sentence())
            except Exception:
                log.exception("carrying out the project failed; trying again")
            try:
                await asyncio.wait_for(self._news.wait(), pause)
            except TimeoutError:
                continue

    async def apply(self, project: Project, prune: bool, who: str) -> dict[str, Any]:
        """Want this from now on. Raises InvalidSettings."""
        wrong = [*problems(project), *await asyncio.to_thread(lambda: list(policy.missing(project, self._resolve)))]
        if wrong:
            raise InvalidSettings("\n".join(sentence(problem) for problem in wrong))
        before = await asyncio.to_thread(self._kept.project)
        changes = await asyncio.to_thread(self._plan, project, before, prune=prune)
        try:
            made = await asyncio.to_thread(self._kept.apply_project, project, prune, self._clock(), who)
        finally:
            self._news.set()  # it may have been written though the database went away
            self._told()
        return applied_row(made) | {"changes": msgspec.to_builtins(changes)}

    async def plan(self, project: Project, prune: bool) -> dict[str, Any]:
        """What applying it would change, and what keeps it from being applied."""
        return await asyncio.to_thread(self._planned, project, prune)

    def _planned(self, project: Project, prune: bool) -> dict[str, Any]:
        wrong = [*problems(project), *policy.missing(project, self._resolve)]
        if wrong:
            return {"changes": [], "problems": [_problem_row(problem) for problem in wrong]}
        changes = self._plan(project, self._kept.project(), prune=prune)
        return {"changes": msgspec.to_builtins(changes), "problems": []}

    async def show(self) -> dict[str, Any]:
        """What was applied last, and what differs from it now."""
        return await asyncio.to_thread(self._show)

    def _show(self) -> dict[str, Any]:
        applied = self._kept.project()
        if applied is None:
            raise NotFound("No project was applied.", help="Write an inferry.yaml and run: inferry apply")
        changes = self._plan(applied.project, applied, prune=False)
        row = applied_row(applied) | {"changes": msgspec.to_builtins(changes)}
        return row | {"project": msgspec.to_builtins(applied.project)}

    # what differs

    def _plan(self, project: Project, before: AppliedProject | None, *, prune: bool) -> list[Change]:
        return policy.plan(project, before, self._now(), self._resolve, prune=prune)

    def _resolve(self, model: str, version: str) -> int | None:
        try:
            if version == LATEST:
                return max((found.number for found in self._store.versions(model)), default=None)
            return self._named.resolve(model, int(version) if version.isdecimal() else version).number
        except NotFound:
            return None

    def _now(self) -> dict[str, EndpointNow]:
        found = {}
        for endpoint in self._store.endpoints():
            revisions = {revision.number: revision for revision in self._store.revisions(endpoint.name)}
            traffic: dict[int, int] = {}
            for number, share in endpoint.traffic.items():
                version = revisions[number].version
                traffic[version] = traffic.get(version, 0) + share
            rolling = self._rollouts.rollouts(endpoint.name, active=True)
            found[endpoint.name] = EndpointNow(
                model=endpoint.model,
                traffic=traffic,
                configs={revisions[n].version: revisions[n].config for n in sorted(endpoint.running)},
                rolling=revisions[rolling[0].rollout.canary].version if rolling else 0,
            )
        return found

    # what is done

    async def _settle(self, applied: AppliedProject) -> None:
        """Make each change; what cannot be made is told, and not tried again before the next apply."""
        changes = await asyncio.to_thread(self._plan, applied.project, applied, prune=applied.prune)
        failed = []
        for change in changes:
            if change.kind == "pipeline":
                continue
            try:
                await self._make(applied, change)
                log.info("project %s: %s %s: %s", applied.turn, change.kind, change.name, "; ".join(change.lines))
            except PASSING:
                raise
            except InferryError as error:
                failed.append(f"{change.kind} {change.name}: {error.sentence()}")
        await asyncio.to_thread(self._kept.settle_project, applied.turn, tuple(failed))

    async def _make(self, applied: AppliedProject, change: Change) -> None:
        if change.kind == "delete":
            await self._delete(change.name)
            return
        wish = await asyncio.to_thread(policy.wanted, applied.project, change.name, self._resolve)
        strategy = self._strategy(applied.project, wish.strategy)
        if change.kind == "configure":
            now = (await asyncio.to_thread(self._now))[change.name]
            for version in wish.traffic or now.traffic:
                await self._verbs.configure(change.name, version, wish.changes, applied.by)
        elif len(wish.traffic) == 1:
            await self._serve(applied, wish, next(iter(wish.traffic)), percent=100, strategy=strategy)
        else:
            await self._share(applied, wish)

    async def _share(self, applied: AppliedProject, wish: Wanted) -> None:
        """Several versions: each gets a revision, then its share."""
        for version in sorted(wish.traffic):
            if version not in await asyncio.to_thread(self._revisions, wish.name):
                there = bool(await asyncio.to_thread(self._revisions, wish.name))
                await self._serve(applied, wish, version, percent=0 if there else 100, strategy=None)
        numbers = await asyncio.to_thread(self._revisions, wish.name)
        weights = {numbers[version]: share for version, share in wish.traffic.items()}
        await self._verbs.share_out(wish.name, TrafficPlan(weights=weights, allow_breaking=wish.allow_breaking))

    def _revisions(self, endpoint: str) -> dict[int, int]:
        """The revision of each version that an endpoint runs."""
        found = next((known for known in self._store.endpoints() if known.name == endpoint), None)
        if found is None:
            return {}
        return {r.version: r.number for r in self._store.revisions(endpoint) if r.number in found.running}

    async def _serve(
        self, applied: AppliedProject, wish: Wanted, number: int, *, percent: int, strategy: Strategy | None
    ) -> None:
        version = await asyncio.to_thread(self._store.version, wish.model, number)
        await self._verbs.serve(
            version,
            Wish(
                endpoint=wish.name,
                created_by=applied.by,
                changes=wish.changes,
                percent=percent,
                keep_warm=wish.keep_warm,
                strategy=strategy,
                allow_breaking=wish.allow_breaking,
            ),
        )

    @staticmethod
    def _strategy(project: Project, name: str) -> Strategy | None:
        return (project.strategies.get(name) or DEFAULT_STRATEGY) if name else None


def applied_row(applied: AppliedProject) -> dict[str, Any]:
    """What was applied, as the API shows it."""
    return {
        "turn": applied.turn,
        "at": applied.at,
        "by": applied.by,
        "settled": applied.settled,
        "problems": list(applied.problems),
    }


def _problem_row(problem: Problem) -> dict[str, Any]:
    return {"path": list(problem.path), "words": problem.words, "help": problem.help}
