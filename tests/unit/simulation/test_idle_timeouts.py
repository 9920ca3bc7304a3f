"""An idle timeout that is chosen from cost against fixed ones, in the simulated world: what replicas and waiting cost."""

from __future__ import annotations

import numpy as np

from inferry.simulation.rules import RULES
from inferry.simulation.traces import generate
from inferry.simulation.world import World, run
from inferry.types.scaling import AUTO, Scaling

PRICE = 100.0
TICK = 0.25
FIXED_S = (10, 60, 300, 1800)
DAY_S = 4 * 3600.0


def cost(counts, idle_timeout_s):
    """Seconds of a replica, and of waiting at what a second of it costs."""
    world = World(cold_start_s=2.0, tick=TICK, timeout_s=600, deadline_s=600)
    scaling = Scaling(min_replicas=0, max_replicas=1, idle_timeout_s=idle_timeout_s, wait_price=PRICE)
    found = run(counts, RULES["inferry"](scaling), world)
    assert found.lost == 0
    waited_s = sum(ticks * count for ticks, count in found.latencies.items()) * world.tick
    return found.replica_s + PRICE * waited_s


def every(seconds):
    counts = np.zeros(round(DAY_S / TICK), np.int64)
    counts[:: round(seconds / TICK)] = 1
    return counts


TRACES = {
    "each minute": every(60),
    "each twenty minutes": every(1200),
    "now and then": generate("sparse", rate=1.0, seconds=DAY_S, cv=1.0, seed=1, tick=TICK),
    "in clumps": generate("sparse", rate=1.0, seconds=DAY_S, cv=4.0, seed=1, tick=TICK),
    "on and off": generate("bursts", rate=0.5, seconds=DAY_S, cv=1.0, seed=1, tick=TICK),
}


def test_one_rule_is_near_the_best_fixed_timeout_on_each_load_and_no_fixed_one_is_on_all() -> None:
    worst = dict.fromkeys(("chosen", *map(str, FIXED_S)), 0.0)
    for counts in TRACES.values():
        fixed = {str(seconds): cost(counts, float(seconds)) for seconds in FIXED_S}
        best = min(fixed.values())
        for name, spent in {**fixed, "chosen": cost(counts, AUTO)}.items():
            worst[name] = max(worst[name], spent / best)
    assert worst.pop("chosen") <= 1.5, "four hours, of which the first pauses are learned from"
    assert min(worst.values()) >= 2
