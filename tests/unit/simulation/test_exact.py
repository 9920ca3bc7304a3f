"""The simulation counts requests by tick; here each one is followed by itself, under the same rules, and both agree."""

from __future__ import annotations

import heapq
from collections import deque
from itertools import count

import numpy as np
import pytest

from inferry.simulation.rules import RULES, View
from inferry.simulation.traces import SHAPES, generate
from inferry.simulation.world import World, run
from inferry.types.scaling import Scaling

SCALING = Scaling(min_replicas=0, max_replicas=24, idle_timeout_s=60)


class Single:
    """Events one after the other: a request arrives, is answered, is given up; a replica is ready; the rule looks."""

    def __init__(self, counts, rule, world):
        self.rule, self.world, self.order = rule, world, count()
        self.events = []
        for tick in np.flatnonzero(counts):
            many = int(counts[tick])
            for place in range(many):
                self.at((tick + (place + 0.5) / many) * world.tick, "came")
        self.end = len(counts) * world.tick
        self.at(rule.period_s, "look")
        self.now = self.busy_s = self.replica_s = 0.0
        self.arrived = self.good = self.lost = self.starts = self.present = self.serial = 0
        self.queue, self.working = deque(), 0
        self.ready = self.wanted = 0 if rule.wakes else 1
        self.starting = []

    def at(self, time, what, about=None):
        heapq.heappush(self.events, (float(time), next(self.order), what, about))

    def play(self):
        while self.events and (self.now < self.end or self.present):
            at, _, what, about = heapq.heappop(self.events)
            passed, self.now = at - self.now, at
            self.busy_s += self.present * passed
            self.replica_s += (self.ready + len(self.starting)) * passed
            getattr(self, what)(about)
            while self.queue and self.now - self.queue[0] > self.world.timeout_s:
                self.queue.popleft()
                self.lost, self.present = self.lost + 1, self.present - 1
            while self.queue and self.working < self.ready:
                self.working += 1
                self.at(self.now + self.world.service_s, "answered", self.queue.popleft())
        return self

    def came(self, _about):
        self.arrived, self.present = self.arrived + 1, self.present + 1
        self.queue.append(self.now)
        if self.rule.wakes and self.wanted == 0:
            self.decide()

    def answered(self, began):
        self.working, self.present = self.working - 1, self.present - 1
        self.good += self.now - began <= self.world.deadline_s

    def stands(self, number):
        if number in self.starting:
            self.starting.remove(number)
            self.ready += 1

    def look(self, _about):
        self.decide()
        self.at(self.now + self.rule.period_s, "look")

    def decide(self):
        waiting, in_flight = (0, self.present) if self.ready else (len(self.queue), 0)
        self.wanted = self.rule.decide(View(
            self.now, self.arrived, self.busy_s, waiting, in_flight, self.ready, self.wanted, self.world.service_s,
            self.world.cold_start_s,
        ))  # fmt: skip
        while self.ready + len(self.starting) < self.wanted:
            self.serial, self.starts = self.serial + 1, self.starts + 1
            self.starting.append(self.serial)
            self.at(self.now + self.world.cold_start_s, "stands", self.serial)
        while self.starting and self.ready + len(self.starting) > self.wanted:
            self.starting.pop()
        self.ready = min(self.ready, self.wanted)


class Script:
    """Decides the same whatever it sees: so many replicas from each moment on."""

    period_s, wakes, target_s = 1.0, False, float("inf")

    def __init__(self, *steps):
        self.steps = steps

    def decide(self, view):
        return [wanted for at, wanted in self.steps if view.now >= at][-1]


SCRIPTS = {
    "enough": Script((0, 1), (5, 4)),
    "up and down": Script((0, 1), (20, 6), (90, 2), (200, 12), (210, 1), (300, 3)),
    "too few": Script((0, 1), (50, 2)),
}


@pytest.mark.parametrize("shape", [shape for shape in sorted(SHAPES) if shape != "diurnal"])
@pytest.mark.parametrize("script", SCRIPTS)
def test_counting_by_tick_agrees_with_following_each_request(shape, script) -> None:
    world = World(service_s=0.1, cold_start_s=0.5, tick=0.02)
    counts = generate(shape, rate=12, seconds=400, cv=1.0, seed=3, tick=world.tick)
    single = Single(counts, SCRIPTS[script], world).play()
    found = run(counts, SCRIPTS[script], world)
    total = int(counts.sum())
    assert found.requests == single.arrived == total
    assert abs(found.good - single.good) <= 0.01 * total + 2
    assert abs(found.lost - single.lost) <= 0.01 * total + 2
    assert abs(found.replica_s - single.replica_s) <= 0.01 * single.replica_s + 2
    assert found.starts == single.starts


@pytest.mark.parametrize("rule", ["inferry", "knative"])
@pytest.mark.parametrize("shape", ["flash", "ramps", "bursts"])
def test_rules_fare_the_same_in_both(shape, rule) -> None:
    """One replica more or less at a border leads elsewhere, so that sums over several seeds are compared."""
    world = World(service_s=0.1, cold_start_s=0.5, tick=0.05)
    sums = np.zeros((2, 2))
    for seed in range(4):
        counts = generate(shape, rate=12, seconds=400, cv=1.0, seed=seed, tick=world.tick)
        single = Single(counts, RULES[rule](SCALING), world).play()
        found = run(counts, RULES[rule](SCALING), world)
        sums += [[found.good / counts.sum(), found.replica_s], [single.good / counts.sum(), single.replica_s]]
    assert abs(sums[0, 0] - sums[1, 0]) / 4 <= 0.02
    assert abs(sums[0, 1] / sums[1, 1] - 1) <= 0.08
