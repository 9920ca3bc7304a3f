"""How many replicas keep answers within a time: the formula, against a queue played out, and what observation makes of it."""

import heapq
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy.latency import LATE, MOST, Strain, replicas_for, strained, within_s

rates = st.floats(0.01, 500)
services = st.floats(0.001, 2)


def late_share(rate, service_s, count, target_s, requests=20_000):
    """Requests that come by chance, and take an exponential time, at so many replicas: the share over the target."""
    chance, now, late = random.Random(3), 0.0, 0
    free = [0.0] * count
    for _ in range(requests):
        now += chance.expovariate(rate)
        begins = max(now, heapq.heappop(free))
        heapq.heappush(free, begins + chance.expovariate(1 / service_s))
        late += begins - now + service_s > target_s
    return late / requests


@pytest.mark.parametrize(
    ("rate", "service_s", "target_s"),
    [(20, 0.1, 0.15), (20, 0.1, 0.11), (200, 0.02, 0.03), (3, 0.5, 1.0), (50, 0.1, 5.0)],
)
def test_as_many_as_it_says_are_enough_and_one_fewer_is_not(rate, service_s, target_s):
    count = replicas_for(rate, service_s, target_s, 100)
    assert late_share(rate, service_s, count, target_s) <= LATE * 1.3
    fewer = count - 1
    assert fewer * 0.9 <= rate * service_s or late_share(rate, service_s, fewer, target_s) > LATE * 0.8


@given(rates, services, st.floats(0.001, 10), st.floats(1, 3), st.floats(1, 3))
def test_more_load_and_less_time_never_need_fewer(rate, service_s, target_s, more, less):
    count = replicas_for(rate, service_s, target_s, 2000)
    assert replicas_for(rate * more, service_s, target_s, 2000) >= count
    assert replicas_for(rate, service_s, target_s / less, 2000) >= count
    assert replicas_for(rate, service_s * more, target_s, 2000) >= count
    if count < 2000 and target_s > service_s:
        assert within_s(rate, service_s, count) <= target_s * 1.001


def test_without_requests_none_are_needed_and_what_cannot_be_is_all():
    assert replicas_for(0.0, 0.1, 0.2, 8) == 0
    assert replicas_for(1000.0, 1.0, 2.0, 8) == 8
    assert within_s(1000.0, 1.0, 8) == float("inf")


def test_more_that_are_late_raise_what_one_plans_for_and_it_comes_down_again():
    strain = Strain()
    for second in range(10):
        strain = strained(strain, 200.0, 30.0, 6.0, float(second))
    assert strain.factor == pytest.approx(1.15**2), "a change has its time to show"
    assert strained(strain, 10.0, 10.0, 6.0, 100.0) == strain, "ten answers say nothing"
    for second in range(10, 600):
        strain = strained(strain, 200.0, 1.0, 6.0, float(second))
    assert strain.factor == 1
    for second in range(600, 1200):
        strain = strained(strain, 200.0, 100.0, 6.0, float(second))
    assert strain.factor == MOST
