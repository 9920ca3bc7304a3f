"""Scaling for a latency, in the simulated world: answers stay within it, with fewer replicas when there is more time."""

from __future__ import annotations

import pytest

from inferry.simulation.rules import Ours
from inferry.simulation.traces import generate
from inferry.simulation.world import World, run
from inferry.types.scaling import Scaling


def played(target_s, shape="steady", cv=1.0):
    world = World(service_s=0.05, cold_start_s=0.2, tick=0.025, deadline_s=target_s)
    counts = generate(shape, rate=60, seconds=240, cv=cv, seed=2, tick=world.tick)
    scaling = Scaling(min_replicas=1, max_replicas=40, target_latency_s=target_s)
    rule = Ours(scaling)
    return run(counts, rule, world, 1), rule


@pytest.mark.parametrize(("shape", "cv"), [("steady", 1.0), ("steady", 3.0), ("ramps", 1.0)])
def test_most_answers_stay_within_the_target_and_more_time_needs_fewer_replicas(shape, cv) -> None:
    spent = []
    for target_s in (0.08, 0.2, 1.0):
        found, _ = played(target_s, shape, cv)
        assert found.good / found.requests >= 0.93, "those of the first seconds included"
        spent.append(found.replica_s)
    assert spent[0] > spent[1] >= spent[2]


def test_it_says_what_it_plans_for() -> None:
    rule = Ours(Scaling(min_replicas=1, max_replicas=40, target_latency_s=0.08))
    world = World(service_s=0.05, cold_start_s=0.2, tick=0.025)
    reasons: list[str] = []
    decide = rule.decide

    def listen(view):  # type: ignore[no-untyped-def]
        count = decide(view)
        reasons.append(rule.last.reason)
        return count

    rule.decide = listen  # type: ignore[method-assign]
    run(generate("steady", rate=60, seconds=90, cv=4.0, seed=2, tick=world.tick), rule, world, 1)
    assert any("of 50 ms each, 95 % within 80 ms" in reason for reason in reasons)
    assert any("because more were late" in reason for reason in reasons)
