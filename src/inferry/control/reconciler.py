"""Reconciler: makes what runs equal to what the store wants, and tells the gateway.

Data flow: store -> Desired -> `policy.replicas.plan` -> starts; -> routing table -> gateway has
it -> stops. Every change of the store or the fleet wakes it; nothing else moves replicas.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from inferry.control.fleet import Fleet
from inferry.control.scaler import Scaler
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
    """A revision that the store wants to run."""

    endpoint: Endpoint
    revision: Revision
    version: Version

    @property
    def group(self) -> Group:
        """The group of its replicas."""
        return group_of(self.revision)


def group_of(revision: Revision) -> Group:
    """The group of a revision's replicas."""
    return replica_group(revision.endpoint, revision.bundle, revision.config)


@dataclass(frozen=True, kw_only=True)
class Desired:
    """What should be."""

    live: tuple[Live, ...] = ()
    keys: Mapping[str, Key] = field(default_factory=dict)


def read_store(store: MetadataStore) -> Desired:
    """What the store wants."""
    live = []
    for endpoint in store.endpoints():
        revisions = {revision.number: revision for revision in store.revisions(endpoint.name)}
        for number in sorted(endpoint.running):
            revision = revisions[number]
            version = store.version(revision.model, revision.version)
            live.append(Live(endpoint=endpoint, revision=revision, version=version))
    keys = {key.id: key for key in store.keys()}  # noqa: SIM118 - a method of the store
    return Desired(live=tuple(live), keys=keys)


class Reconciler:
    """One loop. `read` says what should be; it is called in a thread. `scaler`: how many of it."""

    def __init__(self, fleet: Fleet, publisher: TableSink, read: Callable[[], Desired], scaler: Scaler) -> None:
        self._read = read
        self.fleet = fleet
        self.scaler = scaler
        self.publisher = publisher
        self.desired = Desired()
        self._held: Counter[Hashable] = Counter()
        self._lock = asyncio.Lock()

    @contextlib.contextmanager
    def hold(self, group: Hashable) -> Iterator[None]:
        """Keep replicas of a group that the store does not want yet."""
        self._held[group] += 1
        try:
            yield
        finally:
            self._held[group] -= 1

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

    async def refresh(self) -> None:
        """Read the store again and reconcile; returns when the gateway serves by it."""
        self.desired = await asyncio.to_thread(self._read)
        self.scaler.keep(self.desired.live)
        await self.reconcile()

    async def reconcile(self) -> float | None:
        """One step. Returns when (monotonic seconds) a start that had to wait is due."""
        async with self._lock:
            wanted: dict[Hashable, int] = {}
            for live in self.desired.live:
                wanted[live.group] = max(wanted.get(live.group, 0), self.scaler.count(live.revision))
            running = [r for r in self.fleet.running() if r.group in wanted or not self._held[r.group]]
            decision = plan(wanted, running, self.fleet.starting, self.fleet.failures, time.monotonic())
            by_group: dict[Hashable, Live] = {live.group: live for live in self.desired.live}
            for group in decision.start:
                live = by_group[group]
                config = live.revision.config
                proven = config.least == 0 and not self.fleet.of(group)  # the requests that wait for it are the proof
                self.fleet.start_soon(live.version, live.endpoint.name, config, proven=proven)
            table = self._table(set(decision.stop))
            if (table.endpoints, table.keys) != (self.publisher.table.endpoints, self.publisher.table.keys):
                await self.publisher.publish(table)
            for id in decision.stop:
                await self.fleet.stop(id)
            return decision.wake

    def _table(self, leaving: set[str]) -> RoutingTable:
        endpoints: dict[str, EndpointRoute] = {}
        for live in self.desired.live:
            replicas = [r for r in self.fleet.of(live.group) if r.spec.id not in leaving]
            scaling = live.revision.config.scaling
            route = RevisionRoute(
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
                sleeps=live.revision.config.least == 0,
                cold_start_s=round(self.fleet.cold_start_s(live.group), 3) if live.revision.config.least == 0 else 0.0,
            )
            known = endpoints.get(live.endpoint.name)
            revisions = (*known.revisions, route) if known else (route,)
            endpoints[live.endpoint.name] = EndpointRoute(
                name=live.endpoint.name, model=live.endpoint.model, revisions=revisions, split=live.endpoint.split
            )
        return RoutingTable(endpoints=endpoints, keys=dict(self.desired.keys))
