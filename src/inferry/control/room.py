"""Room: memory for models. A start waits here until what it needs is free, and others leave for it.

Data flow: a spec and its version -> what it is expected to take -> promised when it fits into the budget, else
`policy.density` chooses who leaves -> their count goes down (`Keeper`), the reconciler drains and ends them -> promised
when they are gone -> the replica joins: measured from then on, as its private memory. What is counted is never less
than what its bundle was seen to take, so that what grows later has its place from the start.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Protocol

from inferry.errors import Conflict, NoRoom
from inferry.interfaces.backend import Replica
from inferry.policy import density
from inferry.telemetry.loops import pause
from inferry.types.density import Held, LoadedRow, MemoryStatus, WaitingRow
from inferry.types.registry import RevisionConfig, Version
from inferry.types.replicas import ReplicaSpec
from inferry.types.units import size_text

LOOK_S = 1.0
PATIENCE_S = 5.0
"""Starts that fit pass one that does not, until it has waited so long."""
STUCK_S = 5.0
LEAST_WAIT_S = 5.0
MB = 1e6
UNKNOWN = 64_000_000
"""Of a bundle of which nothing is known: beside twice the size of its files."""
ALWAYS = "it always runs"
BUSY = "at work"
LEAVING = "leaving"
DRAINING = "those that make room have not ended yet"


class Keeper(Protocol):
    """Who says how many replicas there are: the scaler."""

    def stays(self, group: Hashable) -> str:
        """Why none of a group's replicas may leave ("": one may)."""
        ...

    def leave(self, group: Hashable, why: str) -> None:
        """One fewer of a group."""
        ...

    def gave_up(self, group: Hashable, why: str) -> None:
        """There was no room for one more of a group in all that time."""
        ...


@dataclass(kw_only=True)
class Tenant:
    """A replica that holds memory: measured in bytes. `leaving`: since when it is on its way out (0: it is not)."""

    replica: Replica
    private: int = 0
    shared: int = 0
    leaving: float = 0.0


@dataclass(kw_only=True)
class Ticket:
    """A start that waits for `need` bytes."""

    spec: ReplicaSpec
    need: int
    since: float
    granted: asyncio.Future[None]
    why: str = ""


class Room:
    """The budget and who holds what of it. `budget`: bytes; `cost_s`: how long a replica of a group takes to start."""

    def __init__(self, budget: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.budget = budget
        self.keeper: Keeper | None = None
        self.cost_s: Callable[[Hashable], float] = lambda _group: 0.0
        self.loads = self.left = 0
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}
        self._promised: dict[str, int] = {}
        self._sizes: dict[str, Held] = {}  # by bundle: what replicas of it took of late
        self._uses: dict[Hashable, density.Uses] = {}
        self._queue: list[Ticket] = []

    # what a start asks

    def expected(self, version: Version) -> Held:
        """What a replica of a version will hold, and the most while it loads."""
        known = self._sizes.get(version.bundle)
        if known is not None:
            return known
        inspected = version.manifest.inspection
        if inspected.memory_mb:
            private = int(inspected.memory_mb * MB)
            return Held(private=private, peak=max(private, int(inspected.peak_mb * MB)))
        size = 2 * version.size + UNKNOWN
        return Held(private=size, peak=size)

    async def reserve(self, spec: ReplicaSpec, version: Version, config: RevisionConfig) -> None:
        """Return when there is memory for a replica, which is promised from now on. Raises Conflict when there never
        will be, NoRoom when there is none within the time that a request may take."""
        expected = self.expected(version)
        need = max(expected.private, expected.peak)
        self._refuse(spec.label, need)
        ticket = Ticket(spec=spec, need=need, since=self._clock(), granted=asyncio.get_running_loop().create_future())
        self._queue.append(ticket)
        self.look()
        try:
            async with asyncio.timeout(max(LEAST_WAIT_S, config.timeout_s)):
                await ticket.granted
        except BaseException as error:
            self._queue.remove(ticket)
            self._promised.pop(spec.id, None)
            self.look()
            if not isinstance(error, TimeoutError):
                raise
            why = f"There is no memory for {spec.label!r}: {ticket.why or DRAINING}."
            if self.keeper is not None:
                self.keeper.gave_up(spec.group, why)
            raise NoRoom(
                why,
                help="Retry, or raise the budget: inferry up --memory-budget. inferry status shows what holds it.",
                retry_after=LOOK_S,
            ) from None
        self._queue.remove(ticket)

    def _refuse(self, label: str, need: int) -> None:
        """What can never fit is refused at once."""
        fixed = [t for t in self._tenants.values() if not t.leaving and self._always(t.replica.spec.group)]
        held = sum(self._size(tenant) for tenant in fixed)
        if need > self.budget:
            raise Conflict(
                f"{label!r} needs about {size_text(need)} of memory, and all models together may take "
                f"{size_text(self.budget)}.",
                help="Raise the budget: inferry up --memory-budget, or deploy a smaller model.",
            )
        if need + held > self.budget:
            names = ", ".join(sorted({tenant.replica.spec.label for tenant in fixed}))
            raise Conflict(
                f"{label!r} needs about {size_text(need)} of memory. Of the {size_text(self.budget)} that all models "
                f"may take, {size_text(held)} are held by endpoints that always run: {names[:200]}.",
                help="Raise the budget: inferry up --memory-budget, or let some of them sleep: inferry scale NAME "
                "--min 0.",
            )

    def _always(self, group: Hashable) -> bool:
        return self.keeper is not None and self.keeper.stays(group) == ALWAYS

    def release(self, id: str) -> None:
        """A start is over: what it was promised is free, or counted with the replica."""
        if self._promised.pop(id, None) is not None:
            self.look()

    # what is there

    def joined(self, replica: Replica) -> None:
        """A replica runs."""
        id = replica.spec.id
        self.loads += 1
        self._tenants[id] = Tenant(replica=replica)
        self._uses.setdefault(replica.spec.group, density.Uses(1.0, self.loads))
        self.measured({id: replica.held()})
        self._share(self._alike(replica.spec.bundle))
        replica.gone.add_done_callback(lambda _: self._gone(id))

    def _gone(self, id: str) -> None:
        tenant = self._tenants.pop(id, None)
        if tenant is not None:
            self._share(self._alike(tenant.replica.spec.bundle))
            self.look()

    def _alike(self, bundle: str) -> list[Tenant]:
        return [tenant for tenant in self._tenants.values() if tenant.replica.spec.bundle == bundle]

    @staticmethod
    def _share(alike: list[Tenant]) -> None:
        """Find out what replicas of one bundle have in common: files that they have mapped."""
        common = alike[0].replica.shared() if len(alike) > 1 else 0
        for tenant in alike:
            tenant.shared = common

    def measured(self, found: dict[str, Held | None]) -> None:
        """What replicas hold now."""
        for id, held in found.items():
            tenant = self._tenants.get(id)
            if tenant is None or held is None:
                continue
            tenant.private = held.private
            bundle = tenant.replica.spec.bundle
            known = self._sizes.get(bundle, held)
            self._sizes[bundle] = Held(
                private=remembered(known.private, held.private), peak=remembered(known.peak, held.peak)
            )

    def private(self, id: str) -> int:
        """What a replica was last measured to hold (0: it was not)."""
        tenant = self._tenants.get(id)
        return tenant.private if tenant is not None else 0

    def used(self, group: Hashable, requests: int) -> None:
        """A group was asked so often since the last report."""
        before = self._uses.get(group, density.Uses(0.0, self.loads))
        self._uses[group] = density.used(before, requests, self.loads, len(self._tenants))

    def keep(self, groups: Iterable[Hashable]) -> None:
        """Forget what was known of other groups."""
        known = set(groups)
        self._uses = {group: uses for group, uses in self._uses.items() if group in known}

    async def run(self) -> None:
        """For ever: measure, and make room where models grew."""
        while True:
            await pause(LOOK_S)
            replicas = {id: tenant.replica for id, tenant in self._tenants.items()}
            if replicas:
                held = await asyncio.to_thread(lambda of: {id: one.held() for id, one in of.items()}, replicas)
                self.measured(held)
            self.look()

    # who leaves

    def look(self) -> None:
        """Promise what is free to those who wait, in the order in which they came; have others leave for them."""
        now = self._clock()
        for tenant in self._tenants.values():
            if tenant.replica.stopping:
                tenant.leaving = tenant.leaving or now
            elif now - tenant.leaving > STUCK_S:  # it is wanted again
                tenant.leaving = 0.0
        free = self.budget - self._counted()
        pool = free + sum(self._size(tenant) for tenant in self._tenants.values() if tenant.leaving)
        if pool < 0:
            pool += self._make(-pool, "the models here hold more memory than the budget")
        for ticket in [ticket for ticket in self._queue if not ticket.granted.done()]:
            if ticket.need <= free:
                self._promised[ticket.spec.id] = ticket.need
                ticket.granted.set_result(None)
            elif ticket.need > pool:
                pool += self._make(ticket.need - pool, f"made room for {ticket.spec.label}", ticket)
            if ticket.need <= pool:  # promised, or on its way
                ticket.why = ""
                free, pool = max(0, free - ticket.need), pool - ticket.need
            elif now - ticket.since > PATIENCE_S:
                return

    def _make(self, needed: int, why: str, ticket: Ticket | None = None) -> int:
        """Have enough leave, when that can be; returns how much will come free."""
        may: list[density.Loaded] = []
        busy = 0
        for id, tenant in self._tenants.items():
            if not tenant.leaving:
                stays = self._stays(tenant)
                busy += stays == BUSY
                if not stays:
                    may.append(density.Loaded(id, self._size(tenant), self._worth(tenant)))
        room = density.make_room(needed, may)
        if not room.enough and ticket is not None:
            ticket.why = (
                f"{size_text(needed)} more are needed, {size_text(sum(one.size for one in may))} could be had, and "
                f"{busy} of the loaded models are at work"
            )
        if self.keeper is None:
            return 0
        coming = 0
        for id in room.leave:
            tenant = self._tenants[id]
            tenant.leaving = self._clock()
            coming += self._size(tenant)
            self.left += 1
            self.keeper.leave(tenant.replica.spec.group, why)
        return coming

    def is_leaving(self, id: str) -> bool:
        """Whether a replica was chosen to make room."""
        tenant = self._tenants.get(id)
        return tenant is not None and tenant.leaving > 0

    def _stays(self, tenant: Tenant) -> str:
        group = tenant.replica.spec.group
        if self.keeper is None:
            return ALWAYS
        if any(other.leaving and other.replica.spec.group == group for other in self._tenants.values()):
            return BUSY  # one at a time
        return self.keeper.stays(group)

    # figures

    def _size(self, tenant: Tenant) -> int:
        """What a replica is counted with. What it shares with others is counted apart, while there are others."""
        known = self._sizes.get(tenant.replica.spec.bundle)
        seen = known.private if known is not None and not tenant.shared else 0
        return max(tenant.private, seen)

    def _shared(self) -> int:
        """Pages that replicas of one bundle share, once for each bundle."""
        by_bundle: dict[str, int] = {}
        for tenant in self._tenants.values():
            bundle = tenant.replica.spec.bundle
            by_bundle[bundle] = max(by_bundle.get(bundle, 0), tenant.shared)
        return sum(by_bundle.values())

    def _counted(self) -> int:
        held = sum(self._size(tenant) for tenant in self._tenants.values())
        return held + self._shared() + sum(self._promised.values())

    def _worth(self, tenant: Tenant) -> float:
        group = tenant.replica.spec.group
        count = density.faded(self._uses.get(group, density.Uses()), self.loads, len(self._tenants))
        return density.worth(count, self.cost_s(group), self._size(tenant))

    def waits(self, group: Hashable) -> str:
        """Why a group's next replica waits for memory ("": none does)."""
        for ticket in self._queue:
            if ticket.spec.group == group and not ticket.granted.done():
                return f"It waits for memory: {ticket.why or DRAINING}."
        return ""

    def status(self) -> MemoryStatus:
        """What people and scripts are told."""
        now = self._clock()
        return MemoryStatus(
            budget_mb=mb(self.budget),
            measured_mb=mb(sum(tenant.private for tenant in self._tenants.values()) + self._shared()),
            counted_mb=mb(self._counted()),
            promised_mb=mb(sum(self._promised.values())),
            shared_mb=mb(self._shared()),
            loads=self.loads,
            left=self.left,
            loaded=tuple(sorted(map(self._row, self._tenants.values()), key=lambda row: -row.worth)),
            waiting=tuple(
                WaitingRow(
                    endpoint=ticket.spec.label,
                    memory_mb=mb(ticket.need),
                    waited_s=round(now - ticket.since, 3),
                    why=ticket.why or DRAINING,
                )
                for ticket in self._queue
                if not ticket.granted.done()
            ),
        )

    def _row(self, tenant: Tenant) -> LoadedRow:
        spec = tenant.replica.spec
        uses = density.faded(self._uses.get(spec.group, density.Uses()), self.loads, len(self._tenants))
        return LoadedRow(
            endpoint=spec.label,
            bundle=spec.bundle,
            id=spec.id,
            memory_mb=mb(self._size(tenant)),
            uses=round(uses, 3),
            cost_s=round(self.cost_s(spec.group), 4),
            worth=round(self._worth(tenant), 4),
            stays=LEAVING if tenant.leaving else self._stays(tenant),
        )


def remembered(before: int, now: int) -> int:
    """More counts at once; less bit by bit: who is alone with the pages of its libraries holds more for a while."""
    return max(now, before - (before - now) // 8)


def mb(size: float) -> float:
    """Bytes in MB."""
    return round(size / MB, 1)
