"""The simulated world keeps its books, and rules see what they should."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inferry.simulation.rules import RULES, Knative, RayServe, SageMaker, View
from inferry.simulation.traces import SHAPES, generate
from inferry.simulation.world import World, run
from inferry.types.scaling import Scaling

SCALING = Scaling(min_replicas=0, max_replicas=16, idle_timeout_s=60)


class Fixed:
    """A rule that never changes its mind."""

    period_s, wakes, target_s = 1.0, True, float("inf")

    def __init__(self, count: int) -> None:
        self.count = count

    def decide(self, view: View) -> int:
        return self.count


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=400),
    st.sampled_from(sorted(RULES)),
    st.floats(0.001, 0.5),
    st.floats(0, 20),
)
def test_every_request_is_answered_or_lost_and_limits_hold(counts, rule, service_s, cold_start_s) -> None:
    world = World(service_s=service_s, cold_start_s=cold_start_s, tick=0.1, timeout_s=5)
    found = run(np.array(counts), RULES[rule](SCALING), world)
    assert found.requests == sum(counts) == found.good + found.late + found.lost
    assert sum(found.latencies.values()) == found.good + found.late
    assert found.highest <= SCALING.max_replicas


def test_one_replica_answers_what_it_can_and_the_rest_waits_its_turn() -> None:
    world = World(service_s=0.1, cold_start_s=0.0, tick=0.1, deadline_s=0.35, timeout_s=100)
    found = run(np.array([10, 0, 0, 0]), Fixed(1), world, least=1)
    assert found.latencies == dict.fromkeys(range(10), 1)
    assert (found.good, found.late, found.lost) == (3, 7, 0)


def test_a_replica_answers_nothing_before_it_has_started() -> None:
    world = World(service_s=0.1, cold_start_s=2.0, tick=0.1, timeout_s=100)
    found = run(np.array([1]), Fixed(1), world)
    assert list(found.latencies) == [21]  # it is asked for at the end of the first tick
    assert (found.cold, found.starts) == (1, 1)


def test_replica_seconds_count_while_time_jumps() -> None:
    counts = np.zeros(36_000, np.int64)
    counts[0] = 1
    found = run(counts, RULES["inferry"](SCALING), World(tick=0.1, cold_start_s=0.0))
    assert 60 <= found.replica_s <= 63
    assert round(run(counts, Fixed(2), World(tick=0.1), least=2).replica_s) == 7200


@given(st.sampled_from(sorted(SHAPES)), st.sampled_from([0.5, 1.0, 4.0]), st.integers(0, 5))
def test_a_trace_has_about_as_many_requests_as_its_shape_says(shape, cv, seed) -> None:
    tick = 0.25
    counts = generate(shape, rate=40, seconds=1800, cv=cv, seed=seed, tick=tick)
    middle = (np.arange(len(counts)) + 0.5) * tick
    expected = float(SHAPES[shape](middle).sum() * 40 * tick)
    assert abs(counts.sum() - expected) < 6 * cv * expected**0.5 + 10
    assert counts.min() >= 0


def test_clumps_are_more_uneven_than_chance() -> None:
    spread = {cv: np.var(generate("steady", rate=40, seconds=3600, cv=cv, seed=1, tick=1.0)) / 40 for cv in (1.0, 4.0)}
    assert 0.8 < spread[1.0] < 1.2
    assert spread[4.0] > 8


def view(now: float, busy_s: float, wanted: int = 1, arrived: int = 0, waiting: int = 0) -> View:
    return View(now, arrived, busy_s, waiting, 0, wanted, wanted, 0.1, 1.0)


def test_knative_panics_holds_the_peak_and_goes_to_zero_after_its_grace() -> None:
    rule = Knative(SCALING, target=10)
    assert rule.decide(view(2, 20)) == 1
    assert rule.decide(view(4, 420)) == 11  # 105 at a time over the 4 s so far, of which one replica takes 10
    assert rule.decide(view(60, 440, wanted=11)) == 11
    wants = [rule.decide(view(now, 440, wanted=11)) for now in range(62, 260, 2)]
    assert wants[-1] == 5  # down by at most half of what is ready
    calm = Knative(SCALING, target=10)
    later = [calm.decide(view(now, 1.0)) for now in range(2, 120, 2)]
    assert later.index(0) * 2 + 2 >= 60 + 30


def test_ray_goes_up_after_30_seconds_of_the_same_decision() -> None:
    rule = RayServe(SCALING)
    wants = [rule.decide(view(now, 8.0 * now)) for now in range(10, 60, 10)]
    assert wants == [1, 1, 1, 4, 1]


def test_sagemaker_goes_out_after_three_minutes_and_waits_out_its_cooldown() -> None:
    rule = SageMaker(SCALING)
    wants = [rule.decide(view(60.0 * minute, 0, arrived=900 * minute)) for minute in range(1, 9)]
    assert wants == [1, 1, 3, 1, 1, 1, 1, 3]
