"""The world of a simulation: requests queue for replicas, which take a while to start.

Data flow: counts per tick -> a queue of cohorts, oldest first -> answered as far as the ready replicas can within the
tick, dropped when they waited too long -> the rule looks at its period, or at once when a request finds nothing ->
replicas are started (ready after the cold start) or stopped -> Outcome.

Time goes in ticks: what happens within one is not seen, so that a million requests a second cost as much as ten, and
the shortest latency told is the service time. Where nothing is there and nothing comes, time jumps.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

from inferry.simulation.rules import Rule, View
from inferry.simulation.traces import Counts

TINY = 1e-9


@dataclass(frozen=True, kw_only=True)
class World:
    """`service_s`: of one request at a replica that does nothing else; `slots`: how many it does at a time;
    `cold_start_s`: of a replica; `deadline_s`: answers within it are good ones; `timeout_s`: who waited longer has
    gone; `capacity`: who comes when so many wait is refused."""

    service_s: float = 0.02
    slots: int = 1
    cold_start_s: float = 0.06
    deadline_s: float = 0.5
    timeout_s: float = 10.0
    capacity: int = 100_000
    tick: float = 0.05


@dataclass
class Outcome:
    """What became of the requests, and what it took. `latencies`: requests by ticks waited; `cold`: requests that
    came when no replica was ready; `highest`: replicas at a time."""

    requests: int = 0
    good: int = 0
    late: int = 0
    lost: int = 0
    cold: int = 0
    starts: int = 0
    replica_s: float = 0.0
    highest: int = 0
    latencies: dict[int, int] = field(default_factory=dict)

    def add(self, other: Outcome) -> None:
        """Of several endpoints, one."""
        for name in ("requests", "good", "late", "lost", "cold", "starts", "replica_s", "highest"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for waited, count in other.latencies.items():
            self.latencies[waited] = self.latencies.get(waited, 0) + count


@dataclass
class _Fleet:
    """The replicas of an endpoint: so many `ready`, and when each of the `starting` will be."""

    ready: int = 0
    starting: deque[float] = field(default_factory=deque)

    @property
    def count(self) -> int:
        return self.ready + len(self.starting)

    def become(self, wanted: int, ready_at: float) -> int:
        """As many as wanted; returns how many were started. Those that are not ready yet go first."""
        started = max(0, wanted - self.count)
        self.starting.extend([ready_at] * started)
        while self.starting and self.count > wanted:
            self.starting.pop()
        self.ready = min(self.ready, wanted)
        return started


def run(counts: Counts, rule: Rule, world: World, least: int = 0) -> Outcome:
    """The whole trace, and after it until the queue is empty or timed out. `least`: replicas at the begin."""
    one = _Run(counts, rule, world, _Fleet(ready=max(least, 0 if rule.wakes else 1)))
    k = 0
    while k < one.end or one.queued:
        one.tick(k)
        k = one.after(k)
    one.done.requests = int(counts.sum())
    return one.done


class _Run:
    """One trace under one rule."""

    def __init__(self, counts: Counts, rule: Rule, world: World, fleet: _Fleet) -> None:
        self.counts, self.rule, self.world, self.fleet = counts, rule, world, fleet
        self.end, self.arrivals = len(counts), np.flatnonzero(counts)
        self.done = Outcome()
        self.queue: deque[list[int]] = deque()
        self.queued = self.arrived = self.late = 0
        self.busy_s = self.left = 0.0
        self.wanted, self.next_look = fleet.ready, 0.0
        self.each = world.slots * world.tick / world.service_s

    def tick(self, k: int) -> None:
        """What comes, what is answered, what is decided."""
        world, fleet, done, now = self.world, self.fleet, self.done, k * self.world.tick
        while fleet.starting and fleet.starting[0] <= now + TINY:
            fleet.starting.popleft()
            fleet.ready += 1
        came = int(self.counts[k]) if k < self.end else 0
        if came:
            self.arrived += came
            fits = max(0, min(came, world.capacity - self.queued))
            done.lost += came - fits
            done.cold += fits if not fleet.ready else 0
            if fits:
                self.queue.append([k, fits])
                self.queued += fits
        while self.queue and (k - self.queue[0][0]) * world.tick > world.timeout_s:
            gone = self.queue.popleft()[1]
            done.lost, self.queued = done.lost + gone, self.queued - gone
        able = fleet.ready * self.each + self.left
        taken = min(self.queued, int(able))
        self.left = able - taken if taken < self.queued else 0.0
        self.queued -= taken
        self.late += _answer(self.queue, taken, k, world, done, self.rule.target_s)
        at_work = taken * world.service_s / world.tick
        self.busy_s += (self.queued + at_work) * world.tick
        done.replica_s += fleet.count * world.tick
        if now >= self.next_look - TINY or (self.rule.wakes and came and self.wanted == 0):
            self.look(now, self.queued + at_work)

    def look(self, now: float, present: float) -> None:
        """The rule decides at the end of a tick."""
        world, fleet = self.world, self.fleet
        waiting, in_flight = (0, round(present)) if fleet.ready else (self.queued, 0)
        view = View(
            now + world.tick, self.arrived, self.busy_s, waiting, in_flight, fleet.ready, self.wanted,
            world.service_s / world.slots, world.cold_start_s, self.late,
        )  # fmt: skip
        self.wanted = self.rule.decide(view)
        self.done.starts += fleet.become(self.wanted, now + world.tick + world.cold_start_s)
        self.done.highest = max(self.done.highest, fleet.count)
        self.next_look = now + self.rule.period_s

    def after(self, k: int) -> int:
        """The next tick in which anything happens that was not foreseen: until the next look, when what comes before
        it is answered at once; until the next request, when nothing is there."""
        k += 1
        if self.queued or self.fleet.starting or k >= self.end:
            return k
        if not self.fleet.count and not self.wanted:
            at = int(np.searchsorted(self.arrivals, k))
            return int(self.arrivals[at]) if at < len(self.arrivals) else self.end
        until = min(self.end, max(k, round(self.next_look / self.world.tick)))
        block = self.counts[k:until]
        if not len(block) or block.max() > int(self.fleet.ready * self.each):
            return k
        came = int(block.sum())
        if came:
            self.arrived += came
            self.busy_s += came * self.world.service_s
            self.late += came if self.world.service_s > self.rule.target_s else 0
            self.done.latencies[0] = self.done.latencies.get(0, 0) + came
            if self.world.service_s <= self.world.deadline_s:
                self.done.good += came
            else:
                self.done.late += came
        self.left = 0.0
        self.done.replica_s += self.fleet.count * self.world.tick * len(block)
        return until


def _answer(queue: deque[list[int]], taken: int, k: int, world: World, done: Outcome, target_s: float) -> int:
    """The oldest first. Returns how many took longer than a target."""
    late = 0
    while taken:
        cohort = queue[0]
        count = min(cohort[1], taken)
        waited = k - cohort[0]
        done.latencies[waited] = done.latencies.get(waited, 0) + count
        if waited * world.tick + world.service_s <= world.deadline_s:
            done.good += count
        else:
            done.late += count
        late += count if waited * world.tick + world.service_s > target_s else 0
        taken -= count
        cohort[1] -= count
        if not cohort[1]:
            queue.popleft()
    return late
