"""Service: what the control API can ask, in terms of the rooms below.

Each endpoint has a lock: deploy, rollback, scale and delete of one endpoint happen one after
the other, those of different endpoints side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from inferry.control import snippets
from inferry.control.deploy import Deployer, previous
from inferry.control.experiments import Experiments
from inferry.control.feedback import Feedback
from inferry.control.fleet import End, Fleet
from inferry.control.keys import Keys
from inferry.control.observe import Observer
from inferry.control.operations import Operation, Operations
from inferry.control.reconciler import Reconciler, group_of
from inferry.control.retention import Retentions
from inferry.control.rollouts import Rollouts
from inferry.control.status import state_of
from inferry.control.traffic import traffic_row
from inferry.control.versions import Versions, conversion_row, made_row
from inferry.control.wishes import Outcome, Upload, Wish
from inferry.errors import InvalidInput
from inferry.interfaces.experiments import ExperimentStore
from inferry.interfaces.rollouts import RolloutStore
from inferry.interfaces.store import MetadataStore
from inferry.policy import configure, devices, events, traffic
from inferry.types.registry import Endpoint, Revision, RevisionConfig, Version
from inferry.types.replay import ReplayAsk
from inferry.types.rollout import Act, Strategy
from inferry.types.scaling import MAX_REPLICAS
from inferry.types.traffic import TrafficPlan

LOG_TAIL = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where this platform is: addresses and folders."""

    http: str
    key_file: Path
    logs: Path
    staging: Path
    version: str


class FellBack(NamedTuple):
    """An endpoint returned to an earlier revision by itself: when (Unix seconds), and why."""

    at: float
    from_revision: int
    to_revision: int
    why: str


class Service:
    """The platform's verbs."""

    def __init__(
        self,
        site: Site,
        store: MetadataStore,
        fleet: Fleet,
        reconciler: Reconciler,
        deployer: Deployer,
        pepper: bytes,
        rollouts: RolloutStore,
        versions: Versions,
        feedback: Feedback,
        retentions: Retentions,
        experiments: ExperimentStore,
    ) -> None:
        self.site = site
        self.store = store
        self.fleet = fleet
        self.reconciler = reconciler
        self.deployer = deployer
        self.operations = Operations()
        self.feedback = feedback
        self.retentions = retentions
        self.keys = Keys(store, reconciler, pepper)
        self.versions = versions
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._fell_back: dict[str, FellBack] = {}
        self.rollouts = Rollouts(
            store, rollouts, feedback, reconciler, Observer(fleet, feedback, time.time),
            self._locks.__getitem__, time.time,
        )  # fmt: skip
        self.experiments = Experiments(experiments, deployer, reconciler, self._locks.__getitem__, time.time)

    # deploy, roll back, scale

    def deploy(self, upload: Upload, wish: Wish) -> Operation:
        """Begin to deploy what was uploaded."""
        return self._deploy(wish, lambda operation: self.deployer.deploy(operation, upload, wish), upload.receive_ms)

    def release(self, model: str, version: int | str, wish: Wish) -> Operation:
        """Begin to deploy a version that is there."""

        async def work(operation: Operation) -> Outcome:
            found = await asyncio.to_thread(self.versions.resolve, model, version)
            return await self.deployer.release(operation, found, wish)

        return self._deploy(wish, work)

    def push(self, upload: Upload) -> Operation:
        """Begin to make a version that no endpoint serves yet."""

        async def work(operation: Operation) -> dict[str, Any]:
            with timed(operation, upload.receive_ms):
                pushed = await self.deployer.push(operation, upload)
            return {
                **made_row(pushed.version),
                "new_version": pushed.new_version,
                "notes": list(pushed.notes),
                "timings": operation.timings,
            }

        return self.operations.start(work)

    def replay(self, name: str, ask: ReplayAsk) -> Operation:
        """Begin to send again what an endpoint was asked."""

        async def work(operation: Operation) -> dict[str, Any]:
            async with operation.step("replay") as tell:
                found = await self.feedback.inputs.replay(name, ask, tell)
            made: dict[str, Any] = msgspec.to_builtins(found, str_keys=True)
            return made

        return self.operations.start(work)

    def _deploy(
        self, wish: Wish, deploy: Callable[[Operation], Awaitable[Outcome]], receive_ms: float = 0.0
    ) -> Operation:
        async def work(operation: Operation) -> dict[str, Any]:
            with timed(operation, receive_ms):
                async with self._locks[wish.endpoint]:
                    outcome = await deploy(operation)
            return {
                **made_row(outcome.version),
                **self._where(wish.endpoint, outcome.revision),
                "rollout": outcome.rollout,
                "new_version": outcome.new_version,
                "unchanged": outcome.unchanged,
                **self._snippets(wish.endpoint, outcome.version.manifest.inspection.body),
                "notes": list(outcome.notes),
                "timings": operation.timings,
            }

        return self.operations.start(work)

    async def _abort(self, name: str, by: str) -> dict[str, Any]:
        ended = await self.rollouts.act(name, Act(kind="abort", by=by, reason="a rollback was asked for"))
        known = await asyncio.to_thread(self.store.revisions, name)
        target = next(revision for revision in known if revision.number == ended["stable"])
        return {**self._where(name, target), "previous_revision": ended["canary"]}

    async def rollback(self, name: str, wanted: int | None, by: str, reason: str = "") -> dict[str, Any]:
        """Point the endpoint at the revision it served before (or at `wanted`); a rollout under way is aborted, an
        experiment ends. `reason`: why, where nobody asked for it."""
        if wanted is None and await self.rollouts.active(name) is not None:
            return await self._abort(name, by)
        if await self.experiments.running(name) is not None:
            await self.experiments.end(name, by, "a rollback was asked for", None)
        async with self._locks[name]:
            endpoint = await asyncio.to_thread(self.store.endpoint, name)
            known = await asyncio.to_thread(self.store.revisions, name)
            current, target = previous(endpoint, known, wanted)
            told = events.rolled_back(current, target, time.time(), by, reason)
            await self.deployer.share_out(name, partial(traffic.return_to, target=target.number), told)
            if reason:
                self._fell_back[name] = FellBack(time.time(), current.number, target.number, reason)
        return {**self._where(name, target), "previous_revision": current.number}

    async def share_out(self, name: str, plan: TrafficPlan) -> dict[str, Any]:
        """Share an endpoint's requests out another way; returns when that holds."""
        async with self._locks[name]:
            if plan.weights and not plan.allow_breaking:
                await asyncio.to_thread(self.deployer.callers.refuse_shares, name, plan.weights)
            await self.deployer.share_out(name, partial(traffic.arrange, plan=plan))
        return await self.traffic(name)

    async def traffic(self, name: str) -> dict[str, Any]:
        """How an endpoint's requests are shared out, and what came of it since the gateway began to count."""
        endpoint = await asyncio.to_thread(self.store.endpoint, name)
        known = await asyncio.to_thread(self.store.revisions, name)
        counted = {c.revision: c for c in await self.reconciler.publisher.counters() if c.endpoint == name}
        return traffic_row(endpoint, known, counted)

    async def configure(self, name: str, version: int | None, changes: dict[str, Any], who: str) -> dict[str, Any]:
        """A new revision of a version now served (None: the one with most of the traffic), configured another way."""
        check_changes(changes)
        async with self._locks[name]:
            endpoint = await asyncio.to_thread(self.store.endpoint, name)
            known = await asyncio.to_thread(self.store.revisions, name)
            running = [revision for revision in known if revision.number in endpoint.running]
            current = next(revision for revision in known if revision.number == endpoint.revision)
            if version is not None and version != current.version:
                current = next((revision for revision in running if revision.version == version), current)
            config = configure.changed(current.config, changes)
            if current.config == config:
                return {**self._where(name, current), "previous_revision": current.number}
            found = await asyncio.to_thread(self.store.version, current.model, current.version)
            revision = await self.deployer.rescale(name, found, config, who, instead=current.number)
        return {**self._where(name, revision), "previous_revision": current.number}

    async def serve(self, version: Version, wish: Wish) -> None:
        """Serve a version as wished; returns when that holds."""
        async with self._locks[wish.endpoint]:
            await self.deployer.release(Operation(wish.endpoint), version, wish)

    async def begin_rollout(
        self, name: str, revision: int, strategy: Strategy, by: str, *, allow_breaking: bool
    ) -> dict[str, Any]:
        """Give a revision its traffic step by step."""
        return await self.rollouts.begin(name, revision, strategy, by, allow_breaking=allow_breaking)

    async def abort_rollout(self, name: str, wish: Act) -> dict[str, Any]:
        """End the rollout under way."""
        return await self.rollouts.act(name, wish)

    async def delete_endpoint(self, name: str) -> None:
        """Stop serving a name; model and versions stay."""
        async with self._locks[name]:
            await asyncio.to_thread(self.store.delete_endpoint, name, events.deleted(name, time.time()))
            await self.reconciler.refresh(name)

    async def warm(self, name: str) -> dict[str, Any]:
        """Start a replica of each revision that answers and has none; returns when they are there."""
        endpoint = await asyncio.to_thread(self.store.endpoint, name)
        known = {revision.number: revision for revision in await asyncio.to_thread(self.store.revisions, name)}
        wanted = [known[number] for number, share in endpoint.traffic.items() if share]
        start = time.monotonic()
        self.reconciler.scaler.rouse(name, [revision.number for revision in wanted])
        for revision in wanted:
            await self.fleet.there(group_of(revision), revision.config.timeout_s)
        return self._scaling_row(known[endpoint.revision]) | {"ms": round((time.monotonic() - start) * 1000, 1)}

    def scaling(self, name: str) -> dict[str, Any]:
        """How many replicas the revisions with a share have, and why."""
        endpoint = self.store.endpoint(name)
        known = {revision.number: revision for revision in self.store.revisions(name)}
        rows = [self._scaling_row(known[number]) for number, share in sorted(endpoint.traffic.items()) if share]
        return {"endpoint": name, "revisions": rows}

    def _scaling_row(self, revision: Revision) -> dict[str, Any]:
        config, group, scaler = revision.config, group_of(revision), self.reconciler.scaler
        last, changes = scaler.explain(revision.endpoint, revision.number)
        return {
            "endpoint": revision.endpoint,
            "revision": revision.number,
            "version": revision.version,
            "ready": len(self.fleet.of(group)),
            "wanted": scaler.count(revision),
            "scaling": msgspec.to_builtins(config.scaling) if config.scaling is not None else None,
            "cold_start_s": round(self.fleet.cold_start_s(group), 3),
            "waits": self.fleet.room.waits(group),
            "last": msgspec.to_builtins(last),
            "changes": msgspec.to_builtins(changes),
        }

    # look

    def endpoints(self) -> list[dict[str, Any]]:
        """All endpoints."""
        return [self._endpoint_row(endpoint) for endpoint in self.store.endpoints()]

    def endpoint(self, name: str) -> dict[str, Any]:
        """One endpoint in full."""
        endpoint = self.store.endpoint(name)
        revisions = self.store.revisions(name)
        current = next(revision for revision in revisions if revision.number == endpoint.revision)
        version = self.store.version(current.model, current.version)
        inspection = version.manifest.inspection
        return {
            **self._endpoint_row(endpoint),
            "runtime": version.runtime,
            "conversion": conversion_row(version),
            "signature": msgspec.to_builtins(inspection.signature),
            "example": inspection.example,
            "fell_back": self._fall_back(name, current.number),
            "traffic": {str(number): weight for number, weight in endpoint.traffic.items()},
            "revisions": [
                {
                    "number": revision.number,
                    "version": revision.version,
                    "config": msgspec.to_builtins(revision.config),
                    "replaces": revision.replaces,
                    "created": revision.created,
                    "created_by": revision.created_by,
                }
                for revision in revisions
            ],
            **self._snippets(name, inspection.body),
        }

    def logs(self, name: str, lines: int) -> list[str]:
        """The last lines that an endpoint's replicas printed."""
        self.store.endpoint(name)
        path = self.site.logs / f"{name}.log"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL))
            text = file.read().decode("utf-8", "replace")
        return text.splitlines()[-lines:]

    # shared

    def _where(self, endpoint: str, revision: Revision) -> dict[str, Any]:
        return {
            "endpoint": endpoint,
            "version": revision.version,
            "revision": revision.number,
            "url": f"{self.site.http}/predict/{endpoint}",
        }

    def _snippets(self, endpoint: str, example: bytes | None) -> dict[str, str]:
        return {
            "curl": snippets.curl(self.site.http, endpoint, example, str(self.site.key_file)),
            "python": snippets.python(endpoint, example),
        }

    def _fall_back(self, name: str, revision: int) -> dict[str, Any] | None:
        """That it is back at this revision because a newer one crashed."""
        found = self._fell_back.get(name)
        return found._asdict() if found is not None and found.to_revision == revision else None

    def _endpoint_row(self, endpoint: Endpoint) -> dict[str, Any]:
        current = next(r for r in self.store.revisions(endpoint.name) if r.number == endpoint.revision)
        group = group_of(current)
        ready, wanted = len(self.fleet.of(group)), self.reconciler.scaler.count(current)
        problem = (self.fleet.room.waits(group) or self.fleet.problems.get(group)) if ready < wanted else None
        return {
            "name": endpoint.name,
            "model": current.model,
            "version": current.version,
            "revision": current.number,
            "replicas": {"ready": ready, "wanted": wanted, "pids": [r.status.pid for r in self.fleet.of(group)]},
            "state": state_of(self.reconciler, current),
            "problem": problem,
            "last_end": last_end(self.fleet.ends.get(group)),
            "deaths": self.fleet.deaths[group],
            "url": f"{self.site.http}/predict/{endpoint.name}",
            "updated": endpoint.updated,
        }


@contextmanager
def timed(operation: Operation, receive_ms: float) -> Iterator[None]:
    """Keep how long it all took, receiving included."""
    start = time.monotonic()
    yield
    operation.timings["total"] = round((time.monotonic() - start) * 1000 + receive_ms, 1)


def last_end(end: End | None) -> dict[str, Any] | None:
    """When and why a replica ended that nobody had asked to."""
    return None if end is None else {"at": end.at, "why": end.why}


def check_changes(changes: dict[str, Any]) -> None:
    """See that what a client wants of a revision's configuration can be had. Raises InvalidInput."""
    replicas, timeout_s = changes.get("replicas", 1), changes.get("timeout_s", 1.0)
    if not 1 <= replicas <= MAX_REPLICAS:
        raise InvalidInput(f"{replicas:g} is not a number of replicas.", help=f"Use 1 to {MAX_REPLICAS}.")
    if not 0 < timeout_s <= 3600:
        raise InvalidInput(f"{timeout_s:g} s is not a usable timeout.", help="Use over 0 and up to 3600 seconds.")
    configure.changed(RevisionConfig(), changes)
    devices.check(changes.get("device", "auto"), changes.get("gpus", 0.0))
