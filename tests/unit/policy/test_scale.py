"""Scaling: how many replicas for which load."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inferry.policy import scale
from inferry.policy.scale import begin, decide
from inferry.types.scaling import Scaling, Snapshot

ELASTIC = Scaling(min_replicas=0, max_replicas=8, idle_timeout_s=60)


class Crowd:
    """A revision in virtual time: requests of `service_s` each come at `rate(t)`, replicas take `cold_s` to start and
    answer one request after the other."""

    def __init__(self, scaling, rate, *, service_s=0.05, cold_s=0.5, replicas=0):
        self.scaling, self.rate, self.service_s, self.cold_s = scaling, rate, service_s, cold_s
        self.state = begin(scaling, replicas, 0.0)
        self.ready, self.coming = float(self.state.replicas), []
        self.now = self.busy_s = self.queue = self.arrived = 0.0
        self.starts = self.downs = 0
        self.most_waited_s = self.replica_seconds = 0.0
        self.wanted = [self.state.replicas]

    def run(self, seconds, step=0.1):
        for tick in range(round(seconds / step)):
            came = self.rate(self.now) * step
            self.arrived += came
            self.coming, up = [at for at in self.coming if at > self.now], [a for a in self.coming if a <= self.now]
            self.ready += len(up)
            self.queue = max(0.0, self.queue + came - self.ready * step / self.service_s)
            at_replicas = self.queue if self.ready else 0.0
            self.busy_s += (at_replicas + (came / step * self.service_s if self.ready else 0.0)) * step
            self.most_waited_s = max(self.most_waited_s, self.queue * self.service_s / max(1, self.ready))
            self.replica_seconds += (self.ready + len(self.coming)) * step
            self.now += step
            if tick % round(1 / step) == 0 or (self.state.replicas == 0 and self.queue):
                self.look()
        return self

    def look(self):
        waiting = 0 if self.ready else math.ceil(self.queue)
        decision = decide(
            Snapshot(
                busy_s=self.busy_s, arrived=int(self.arrived), waiting=waiting,
                in_flight=math.ceil(self.queue) if self.ready else 0, ready=int(self.ready),
                service_s=self.service_s if self.ready and self.arrived else 0.0, cold_start_s=self.cold_s,
            ),
            self.scaling, self.state, self.now,
        )  # fmt: skip
        before, self.state = self.state.replicas, decision.state
        have = self.ready + len(self.coming)
        if decision.replicas > have:
            count = decision.replicas - int(have)
            self.starts += count
            self.coming += [self.now + self.cold_s] * count
        while self.ready + len(self.coming) > decision.replicas:
            if self.coming:
                self.coming.pop()
            else:
                self.ready -= 1
        self.downs += decision.replicas < before
        self.wanted.append(decision.replicas)


scalings = st.builds(
    lambda low, more, target, idle, delay, buffer: Scaling(
        min_replicas=low, max_replicas=max(1, low + more), target_concurrency=target, idle_timeout_s=idle,
        down_delay_s=delay, buffer_replicas=buffer,
    ),
    st.integers(0, 4), st.integers(0, 12), st.floats(0.5, 50), st.floats(1, 600), st.floats(0, 300), st.integers(0, 3),
)  # fmt: skip
looks = st.builds(
    lambda busy, came, waiting, in_flight, ready, service, cold, later: (
        busy, came, waiting, in_flight, ready, service, cold, later,
    ),
    st.floats(0, 500), st.integers(0, 5000), st.integers(0, 1024), st.integers(0, 1024), st.integers(0, 16),
    st.floats(0, 5), st.floats(0, 60), st.floats(0.01, 400),
)  # fmt: skip


def play(scaling, rows, replicas=0):
    state, now, busy, arrived = begin(scaling, replicas, 0.0), 0.0, 0.0, 0
    for more, came, waiting, in_flight, ready, service, cold, later in rows:
        now, busy, arrived = now + later, busy + more, arrived + came
        snapshot = Snapshot(
            busy_s=busy, arrived=arrived, waiting=waiting, in_flight=in_flight, ready=ready, service_s=service,
            cold_start_s=cold,
        )  # fmt: skip
        before = state
        decision = decide(snapshot, scaling, state, now)
        state = decision.state
        yield before, snapshot, now, decision


@given(scalings, st.lists(looks, max_size=30), st.integers(0, 20))
def test_the_number_stays_between_the_least_and_the_most(scaling, rows, replicas):
    for _, _, _, decision in play(scaling, rows, replicas):
        assert scaling.min_replicas <= decision.replicas <= scaling.max_replicas
        assert decision.reason
        assert decision.state.replicas == decision.replicas
        assert len(decision.state.marks) < 130


@given(scalings, st.lists(looks, max_size=30), st.integers(0, 20))
def test_it_goes_down_by_at_most_half_but_to_zero_when_nobody_asks(scaling, rows, replicas):
    for before, snapshot, now, decision in play(scaling, rows, replicas):
        if decision.replicas < before.replicas:
            idle_s = now - decision.state.used
            assert decision.replicas >= before.replicas // 2 or idle_s >= scaling.idle_timeout_s
        if decision.replicas == 0 and before.replicas:
            assert snapshot.waiting == snapshot.in_flight == 0


@given(scalings, st.lists(looks, min_size=1, max_size=12), looks, st.integers(0, 20))
def test_more_load_never_leads_to_fewer_replicas(scaling, rows, more, replicas):
    *_, (before, snapshot, now, decision) = play(scaling, rows, replicas)
    heavier = Snapshot(
        busy_s=snapshot.busy_s + more[0], arrived=snapshot.arrived + more[1], waiting=snapshot.waiting + more[2],
        in_flight=snapshot.in_flight + more[3], ready=snapshot.ready, service_s=snapshot.service_s + more[5],
        cold_start_s=snapshot.cold_start_s + more[6],
    )  # fmt: skip
    if snapshot.service_s == 0:  # then the last measure goes on to hold, whatever it was
        heavier = scale.replace(heavier, service_s=0.0)
    assert decide(heavier, scaling, before, now).replicas >= decision.replicas


@given(scalings, st.lists(looks, max_size=20), st.integers(0, 20))
def test_a_fixed_number_stays_fixed(scaling, rows, replicas):
    count = max(1, scaling.min_replicas)
    fixed = scale.replace(scaling, min_replicas=count, max_replicas=count)
    assert all(decision.replicas == count for _, _, _, decision in play(fixed, rows, replicas))


def test_two_hundred_at_once_at_zero_are_one_start_when_they_are_quick():
    scaling = Scaling(min_replicas=0, max_replicas=8)
    for service_s in (0.0, 0.0001, 0.002):
        state = begin(scaling, 0, 0.0)._replace(service_s=service_s)
        starts = 0
        for tick in range(20):  # it takes 2 s to start
            decision = decide(Snapshot(arrived=200, waiting=200, cold_start_s=2.0), scaling, state, 100 + tick / 10)
            starts, state = max(starts, decision.replicas), decision.state
        assert starts == 1


def test_two_hundred_at_once_at_zero_are_as_many_starts_as_they_are_work():
    state = begin(ELASTIC, 0, 0.0)._replace(service_s=0.05)  # 10 s of work, to be done in 2 s
    decision = decide(Snapshot(arrived=200, waiting=200, cold_start_s=0.3), ELASTIC, state, 100.0)
    assert 5 <= decision.replicas <= 8
    assert "200" in decision.reason or "requests a second" in decision.reason


@pytest.mark.parametrize("service_s", [0.002, 0.05, 0.5])
def test_a_flash_crowd_gets_what_it_needs_at_once(service_s):
    """From idle to a load for five replicas in no time, for 2 minutes, then silence."""
    rate = 5 / service_s
    crowd = Crowd(ELASTIC, lambda t: rate if 10 <= t < 130 else 0.0, service_s=service_s, cold_s=0.1)
    crowd.run(16)
    assert crowd.ready >= 5
    crowd.run(114)
    assert crowd.ready >= 5
    assert crowd.starts <= 8
    crowd.run(60 + 62)
    assert crowd.ready == 0
    assert crowd.state.replicas == 0


def test_a_jump_starts_about_as_many_as_it_needs_although_a_queue_has_grown():
    """Ten times the load in no time; 4 replicas would be busy for 70 %, and a queue stands before them."""
    scaling = Scaling(min_replicas=1, max_replicas=32)
    crowd = Crowd(scaling, lambda t: 5.6 if t < 120 else 56.0, service_s=0.05, cold_s=0.5, replicas=1)
    crowd.run(180)
    assert 4 <= max(crowd.wanted) <= 10
    assert crowd.most_waited_s < 3


def test_a_rush_is_waited_out_when_the_latency_allows_it_and_a_start_is_quick():
    rush = Snapshot(busy_s=2.0, arrived=90, in_flight=4, ready=1, service_s=0.02, cold_start_s=0.05)
    for target_s, cold_s, count in ((0.5, 0.05, 1), (0.5, 2.0, 2), (0.1, 0.04, 2)):
        scaling = Scaling(min_replicas=1, max_replicas=8, target_latency_s=target_s)
        state = begin(scaling, 1, 0.0)
        state = decide(Snapshot(ready=1, service_s=0.02, cold_start_s=cold_s), scaling, state, 100.0).state
        found = decide(scale.replace(rush, cold_start_s=cold_s), scaling, state, 102.0)
        assert found.replicas == count, (target_s, cold_s, found)


def test_load_that_grows_slowly_is_followed():
    crowd = Crowd(Scaling(min_replicas=1, max_replicas=16), lambda t: t / 600 * 10 / 0.05, cold_s=0.5, replicas=1)
    crowd.run(600)
    assert 10 <= crowd.ready <= 16
    assert crowd.starts <= 15
    assert crowd.most_waited_s < 5


@pytest.mark.parametrize("period", [1, 2, 3, 5, 8, 13, 20, 30, 60, 90, 120, 180, 300])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_load_that_flaps_does_not_start_replicas_over_and_over(period, share):
    """Twenty minutes of it: where it pauses for less than replicas stay, they hardly ever start again."""
    scaling = Scaling(min_replicas=0, max_replicas=8, idle_timeout_s=30)
    crowd = Crowd(scaling, lambda t: 80.0 if t % period < period * share else 0.0, service_s=0.05)
    crowd.run(1200, step=0.2)
    if period * (1 - share) < 60:
        assert crowd.starts <= 30
    assert crowd.starts <= 8 * (1200 / period + 1), "a period starts no more than the most that may run"


@given(st.floats(1, 300), st.floats(0.05, 0.95), st.floats(10, 300), st.floats(5, 300))
@settings(max_examples=15)
def test_however_load_flaps_starts_are_bounded(period, share, rate, idle):
    scaling = Scaling(min_replicas=0, max_replicas=6, idle_timeout_s=idle)
    crowd = Crowd(scaling, lambda t: rate if t % period < period * share else 0.0, service_s=0.05)
    crowd.run(900, step=0.2)
    assert crowd.starts <= 6 * 900 / min(60, max(5, idle)) + 6


def test_noise_around_a_border_does_not_flap():
    noise = random.Random(1)
    crowd = Crowd(
        Scaling(min_replicas=1, max_replicas=8), lambda t: noise.uniform(0.7, 1.3) * 28, service_s=0.05, replicas=2
    )
    crowd.run(900)
    assert crowd.starts <= 3
    assert crowd.downs <= 3


def test_who_is_asked_for_again_soon_after_zero_stays_longer():
    scaling = Scaling(min_replicas=0, max_replicas=2, idle_timeout_s=10)
    crowd = Crowd(scaling, lambda t: 10.0 if t % 14 < 1 else 0.0, service_s=0.01, cold_s=0.1)
    crowd.run(300)
    assert crowd.starts <= 3
    assert crowd.state.patience > 1
    crowd.rate = lambda t: 0.0
    crowd.run(10 * scale.MOST_PATIENCE + 3)
    assert crowd.state.replicas == 0


def test_spare_replicas_are_there_only_while_somebody_asks():
    scaling = Scaling(min_replicas=0, max_replicas=8, idle_timeout_s=30, buffer_replicas=2)
    crowd = Crowd(scaling, lambda t: 5.0 if t < 60 else 0.0, service_s=0.01)
    crowd.run(30)
    assert crowd.state.replicas == 3
    crowd.run(70)
    assert crowd.state.replicas == 0


def test_what_a_gateway_counted_before_control_looked_is_no_load():
    state = begin(ELASTIC, 2, 0.0)
    decision = decide(Snapshot(busy_s=1e6, arrived=10**9, ready=2, service_s=0.01), ELASTIC, state, 1.0)
    assert decision.replicas == 2
    assert decision.figures.usual == decision.figures.surge_rate == 0


def test_a_decision_says_why():
    crowd = Crowd(ELASTIC, lambda t: 100.0, service_s=0.05)
    crowd.run(20)
    busy = decide(Snapshot(busy_s=1e3, arrived=9000, in_flight=50, ready=6, service_s=0.05), ELASTIC, crowd.state, 21.0)
    assert "requests" in busy.reason
    assert busy.replicas == 8
    assert busy.reason.endswith("at most 8")
    quiet = decide(Snapshot(busy_s=1e3, arrived=9000), ELASTIC, busy.state, 82.0)
    assert quiet.reason == "nobody asked for 60 s"
    assert quiet.replicas == 0
