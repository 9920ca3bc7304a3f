"""Scaler: how many replicas each revision should have now.

Data flow: the gateways' Loads, added up, what the fleet knows -> Snapshot -> `policy.scale.decide` -> the count by
which the reconciler starts and stops. Counts are not kept: a control process that starts begins with the replicas that
it finds. While no gateway is heard, nothing is decided.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Protocol

from msgspec.structs import replace

from inferry.control.fleet import Fleet
from inferry.control.room import ALWAYS, BUSY
from inferry.policy import gateways, scale, schedule
from inferry.policy.idle import Pauses
from inferry.telemetry.loops import pause
from inferry.types.registry import Revision, Version
from inferry.types.replicas import Group
from inferry.types.scaling import Figures, Load, Loads, Scaled, Scaling, Snapshot

SILENT_S = 5.0
KEPT = 50
"""Decisions that changed something, of each revision."""

Named = tuple[str, int]
"""An endpoint and the number of its revision."""


class Running(Protocol):
    """A revision that should run."""

    @property
    def revision(self) -> Revision:
        """It."""
        ...

    @property
    def version(self) -> Version:
        """What it serves."""
        ...

    @property
    def group(self) -> Group:
        """The group of its replicas."""
        ...


class Watched:
    """An elastic revision. `last`: the latest decision; `changes`: those that changed the number; `holding`: what its
    schedule makes of its limits."""

    def __init__(self, live: Running, scaling: Scaling, wall: float, there: int, now: float) -> None:
        self.live = live
        self.scaling = scaling
        self.holding = schedule.holding(scaling, wall)
        self.state = scale.begin(self.holding.scaling, there, now)
        self.load: Load | None = None
        self.looked = 0.0
        self.last: Scaled | None = None
        self.changes: deque[Scaled] = deque(maxlen=KEPT)
        self.compared = False

    def limits(self, wall: float) -> Scaling:
        """The scaling that holds now."""
        if not self.holding.since <= wall < self.holding.until:
            self.holding = schedule.holding(self.scaling, wall)
        return self.kept.scaling

    @property
    def kept(self) -> schedule.Holding:
        """What holds, `compared` by a rollout or not."""
        return schedule.awake(self.holding, " while a rollout compares it") if self.compared else self.holding


class Scaler:
    """Decides for all elastic revisions. `clock`: monotonic; `wall`: for people."""

    def __init__(
        self, fleet: Fleet, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._fleet = fleet
        self._clock = clock
        self._wall = wall
        self._watched: dict[Named, Watched] = {}
        self._early: dict[Named, Load] = {}  # told of revisions that are not known yet
        self._groups: dict[Hashable, list[Running]] = {}
        fleet.room.keeper = self
        self._heard = float("-inf")
        self._sums = gateways.loads()

    def keep(self, lives: Iterable[Running]) -> None:
        """These revisions should run: forget the others, begin with those that are new."""
        now, wall, before, self._watched = self._clock(), self._wall(), self._watched, {}
        self._groups = {}
        for live in lives:
            revision = live.revision
            self._groups.setdefault(live.group, []).append(live)
            scaling = revision.config.scaling
            if scaling is None:
                continue
            name = revision.endpoint, revision.number
            known = before.get(name)
            if known is None:
                there = len(self._fleet.of(live.group)) + self._fleet.starting[live.group]
                known = Watched(live, scaling, wall, there, now)
                elders = (one.state for one in before.values() if one.live.revision.endpoint == revision.endpoint)
                known.state = known.state._replace(
                    pauses=next((one.pauses for one in elders), Pauses())._replace(ended=None)
                )
                if scaling.lowest == 0:
                    self._fleet.prepare_soon(live.version)
            known.live = live
            self._watched[name] = known
        self._fleet.room.keep(self._groups)
        early, self._early = self._early, {}
        self._sums.keep(self._watched.keys() | early.keys())
        self._take(load for name, load in early.items() if name in self._watched)

    def count(self, revision: Revision) -> int:
        """How many replicas a revision should have now."""
        watched = self._watched.get((revision.endpoint, revision.number))
        return watched.state.replicas if watched is not None else revision.config.first

    def hear(self, gateway: int, loads: Loads) -> None:
        """What a gateway tells."""
        self._heard = self._clock()
        missed = {(load.endpoint, load.revision): load.missed for load in loads.of}
        counts = {(load.endpoint, load.revision): replace(load, missed=0) for load in loads.of}
        changed = self._sums.hear(gateway, loads.epoch, counts)
        self._take(replace(self._sums.total(name), missed=missed.get(name, 0)) for name in changed)

    def _take(self, loads: Iterable[Load]) -> None:
        """Decide by what was told; a gateway does not tell again what stays as it is."""
        for load in loads:
            known = self._watched.get((load.endpoint, load.revision))
            if known is None:
                self._early[load.endpoint, load.revision] = load
            else:
                asked = load.arrived - (known.load.arrived if known.load is not None else 0)
                if asked > 0:
                    self._fleet.room.used(known.live.group, asked)
                known.load = load
                self._look(known)

    async def run(self) -> None:
        """For ever: look at those of which nothing new is heard."""
        while True:
            await pause(scale.LOOK_S)
            now = self._clock()
            if now - self._heard > SILENT_S:
                continue
            for watched in self._watched.values():
                awake = watched.state.replicas or watched.limits(self._wall()).min_replicas
                if awake and now - watched.looked >= scale.LOOK_S / 2:
                    self._look(watched)

    def rouse(self, name: str, numbers: Iterable[int]) -> None:
        """Start one replica of each of these revisions that has none, ahead of requests."""
        for number in numbers:
            watched = self._watched.get((name, number))
            if watched is not None:
                state = scale.roused(watched.state, watched.limits(self._wall()), self._clock())
                self._note(watched, state.replicas, "it was asked to be warm", Figures())
                watched.state = state
                self._fleet.touch(watched.live.group)

    # control.room.Keeper

    def stays(self, group: Hashable) -> str:
        """Why none of a group's replicas may leave ("": one may)."""
        lives = self._groups.get(group, ())
        if not lives:  # a deploy is at work with it
            return BUSY
        for live in lives:
            watched = self._watched.get((live.revision.endpoint, live.revision.number))
            if watched is None or watched.state.replicas <= watched.limits(self._wall()).min_replicas:
                return BUSY if watched is not None and not watched.state.replicas else ALWAYS
            load = watched.load
            if load is None or load.waiting or load.in_flight:
                return BUSY
        return ""

    def leave(self, group: Hashable, why: str) -> None:
        """One fewer of a group: another model needs the memory."""
        self._lower(group, why, by=1)

    def gave_up(self, group: Hashable, why: str) -> None:
        """There was no memory for one more: that is not tried again before somebody asks."""
        waiting = any(watched.load is not None and watched.load.waiting for watched in self._of(group))
        if not waiting:
            self._lower(group, why, by=1)

    def _of(self, group: Hashable) -> list[Watched]:
        names = ((live.revision.endpoint, live.revision.number) for live in self._groups.get(group, ()))
        return [self._watched[name] for name in names if name in self._watched]

    def _lower(self, group: Hashable, why: str, by: int) -> None:
        for watched in self._of(group):
            count = max(watched.limits(self._wall()).min_replicas, watched.state.replicas - by)
            self._note(watched, count, why, Figures())
            watched.state = scale.lowered_to(watched.state, count, self._clock())
        self._fleet.touch(group)

    def compare(self, names: Collection[Named]) -> None:
        """These revisions are compared with others, and none of them sleeps meanwhile: who sleeps more would look
        slower. Others may sleep again."""
        for name, watched in self._watched.items():
            watched.compared = name in names

    def explain(self, name: str, number: int) -> tuple[Scaled | None, tuple[Scaled, ...]]:
        """The latest decision about a revision, and those that changed its number, the newest first."""
        watched = self._watched.get((name, number))
        return (watched.last, tuple(reversed(watched.changes))) if watched is not None else (None, ())

    def _look(self, watched: Watched) -> None:
        load, group, now = watched.load, watched.live.group, self._clock()
        if load is None:  # the gateway has not told of it yet
            return
        snapshot = Snapshot(
            busy_s=load.busy_us / 1e6,
            arrived=load.arrived,
            waiting=load.waiting + load.missed,
            in_flight=load.in_flight,
            ready=len(self._fleet.of(group)),
            service_s=load.service_us / 1e6,
            cold_start_s=self._fleet.cold_start_s(group),
            late=load.late,
        )
        limits = watched.limits(self._wall())
        decision = scale.decide(snapshot, limits, watched.state, now, watched.kept.said)
        watched.looked = now
        self._note(watched, decision.replicas, decision.reason, decision.figures)
        if decision.replicas != watched.state.replicas:
            self._fleet.touch(watched.live.group)
        watched.state = decision.state

    def _note(self, watched: Watched, replicas: int, reason: str, figures: Figures) -> None:
        before = watched.state.replicas
        watched.last = Scaled(
            at=self._wall(), before=before, replicas=replicas, reason=reason, figures=figures,
            schedule=watched.holding.text,
        )  # fmt: skip
        if before != replicas:
            watched.changes.append(watched.last)
