"""Reconciler: makes what runs equal to what the store wants, and tells the gateway.

Data flow: store -> Desired -> `policy.replicas.plan` -> starts; -> routing table -> gateway has
it -> stops. Every change of the store or the fleet wakes it; nothing else moves replicas. A step looks at the groups
of which something changed, so thousands of endpoints that sleep cost it nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from inferry.control.fleet import Fleet
from inferry.control.scaler import Scaler
from inferry.errors import NotFound
from inferry.interfaces.store import MetadataStore
from inferry.policy.replicas import plan
from inferry.types.registry import Endpoint, Key, Revision, Version
from inferry.types.replicas import Group, replica_group
from inferry.types.routing import EndpointRoute, ReplicaAddress, RevisionRoute, RoutingTable
from inferry.types.traffic import RevisionCounters

log = logging.getLogger(__name__)

LOOK_S = 2.0


class TableSink(Protocol):
    """Who takes routing tables: the publisher, or a gateway in the same process."""

    table: RoutingTable

    async def publish(self, table: RoutingTable) -> None:
        """Return when the gateway serves by it."""
        ...

    async def counters(self) -> tuple[RevisionCounters, ...]:
        """What the gateway counted, by revision."""
        ...


@dataclass(frozen=True, kw_only=True)
class Live:
    """A revision that the store wants to run. `group`: that of its replicas."""

    endpoint: Endpoint
    revision: Revision
    version: Version
    group: Group = field(init=False)

    def __post_init__(self) -> None:
        """Find the group, once."""
        object.__setattr__(self, "group", group_of(self.revision))


def group_of(revision: Revision) -> Group:
    """The group of a revision's replicas."""
    return replica_group(revision.endpoint, revision.bundle, revision.config)


@dataclass(frozen=True, kw_only=True)
class Desired:
    """What should be."""

    live: tuple[Live, ...] = ()
    keys: Mapping[str, Key] = field(default_factory=dict)

    def but(self, name: str, now: Desired) -> Desired:
        """The same with another state of one endpoint, and the keys of now."""
        return Desired(live=(*(live for live in self.live if live.endpoint.name != name), *now.live), keys=now.keys)


def read_store(store: MetadataStore, name: str | None = None) -> Desired:
    """What the store wants, of all endpoints or of one."""
    live: list[Live] = []
    try:
        endpoints = store.endpoints() if name is None else [store.endpoint(name)]
    except NotFound:
        endpoints = []
    for endpoint in endpoints:
        revisions = {revision.number: revision for revision in store.revisions(endpoint.name)}
        for number in sorted(endpoint.running):
            revision = revisions[number]
            version = store.version(revision.model, revision.version)
            live.append(Live(endpoint=endpoint, revision=revision, version=version))
    keys = {key.id: key for key in store.keys()}  # noqa: SIM118 - a method of the store
    return Desired(live=tuple(live), keys=keys)


class Reconciler:
    """One loop. `read` says what should be, of one endpoint when it is named; it is called in a thread. `scaler`: how
    many of it."""

    def __init__(
        self, fleet: Fleet, publisher: TableSink, read: Callable[[str | None], Desired], scaler: Scaler
    ) -> None:
        self._read = read
        self.fleet = fleet
        self.scaler = scaler
        self.publisher = publisher
        self.desired = Desired()
        self._lives: dict[str, list[Live]] = {}  # by endpoint
        self._groups: dict[Hashable, list[Live]] = {}
        self._wanted: dict[Hashable, int] = {}  # without those of which none is wanted
        self._routes: dict[str, EndpointRoute] = {}
        self._held: Counter[Hashable] = Counter()
        self._lock = asyncio.Lock()
        self._reading = asyncio.Lock()

    @contextlib.contextmanager
    def hold(self, group: Hashable) -> Iterator[None]:
        """Keep replicas of a group that the store does not want yet."""
        self._held[group] += 1
        try:
            yield
        finally:
            self._held[group] -= 1
            if not self._held[group]:
                del self._held[group]
                self.fleet.touch(group)

    async def run(self) -> None:
        """For ever."""
        wake: float | None = None
        while True:
            limit = LOOK_S if wake is None else max(0.01, min(LOOK_S, wake - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.fleet.changed.wait(), limit)
            self.fleet.changed.clear()
            try:
                wake = await self.reconcile()
            except Exception:
                log.exception("reconciling failed; trying again")
                await asyncio.sleep(LOOK_S)

    async def refresh(self, name: str | None = None) -> None:
        """Read the store again, all of it or one endpoint, and reconcile; returns when the gateway serves by it."""
        async with self._reading:
            now = await asyncio.to_thread(self._read, name)
            self.desired = now if name is None else self.desired.but(name, now)
            self.scaler.keep(self.desired.live)
            self._lives, self._groups = {}, {}
            for live in self.desired.live:
                self._lives.setdefault(live.endpoint.name, []).append(live)
                self._groups.setdefault(live.group, []).append(live)
            self._touch_all()
        await self.reconcile()

    def _touch_all(self) -> None:
        self.fleet.touched |= self._groups.keys() | self._wanted.keys()
        self.fleet.touched |= {replica.group for replica in self.fleet.running()}
        self._routes = {name: route for name, route in self._routes.items() if name in self._lives}

    async def reconcile(self) -> float | None:
        """One step. Returns when (monotonic seconds) a start that had to wait is due."""
        async with self._lock:
            touched, self.fleet.touched = self.fleet.touched, set()
            try:
                return await self._step(touched)
            except BaseException:
                self.fleet.touched |= touched
                raise

    async def _step(self, touched: set[Hashable]) -> float | None:
        for group in touched:
            count = max((self.scaler.count(live.revision) for live in self._groups.get(group, ())), default=0)
            if count:
                self._wanted[group] = count
            else:
                self._wanted.pop(group, None)
        running = [r for r in self.fleet.running() if r.group in self._groups or not self._held[r.group]]
        decision = plan(self._wanted, running, self.fleet.starting, self.fleet.failures, time.monotonic())
        for group in decision.start:
            live = self._groups[group][0]
            config = live.revision.config
            proven = config.least == 0 and not self.fleet.of(group)  # the requests that wait for it are the proof
            self.fleet.start_soon(live.version, live.endpoint.name, config, proven=proven)
        stopped = {self.fleet.replicas[id].spec.group for id in decision.stop}
        names = {live.endpoint.name for group in touched | stopped for live in self._groups.get(group, ())}
        leaving = set(decision.stop)
        self._routes |= {name: self._route(self._lives[name], leaving) for name in names}
        keys = self.publisher.table.keys
        keys = keys if keys == self.desired.keys else dict(self.desired.keys)
        await self.publisher.publish(RoutingTable(endpoints=dict(self._routes), keys=keys))
        for id in decision.stop:
            await self.fleet.stop(id)
        return decision.wake

    def _route(self, lives: Iterable[Live], leaving: set[str]) -> EndpointRoute:
        """How requests for one endpoint find a replica."""
        lives = tuple(lives)
        endpoint = lives[0].endpoint
        revisions = tuple(self._revision(live, leaving) for live in lives)
        return EndpointRoute(name=endpoint.name, model=endpoint.model, revisions=revisions, split=endpoint.split)

    def _revision(self, live: Live, leaving: set[str]) -> RevisionRoute:
        replicas = [r for r in self.fleet.of(live.group) if r.spec.id not in leaving]
        sleeps, scaling = live.revision.config.least == 0, live.revision.config.scaling
        return RevisionRoute(
            number=live.revision.number,
            version=live.version.number,
            weight=live.endpoint.traffic.get(live.revision.number, 0),
            signature=live.version.manifest.signature,
            example=live.version.manifest.inspection.example,
            answer=live.version.manifest.inspection.answer,
            runtime=live.version.runtime,
            timeout_s=live.revision.config.timeout_s,
            replicas=tuple(ReplicaAddress(id=r.spec.id, socket=r.socket) for r in replicas),
            elastic=scaling is not None,
            target_latency_s=scaling.target_latency_s if scaling is not None else 0.0,
            sleeps=sleeps,
            cold_start_s=round(self.fleet.cold_start_s(live.group), 3) if sleeps else 0.0,
        )
