"""Overload, on a real platform: ten times more requests than the model can answer, each with a deadline.

The same measurement as `make bench-overload`, shortened, with limits that a busy machine keeps too.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from bench.overload import PAUSING, SLEEPING, measure, serve
from tests.support import openloop
from tests.support.openloop import quantile

DEADLINE_S = 0.5


@pytest.mark.slow
def test_ten_times_too_much_is_refused_quickly_and_the_rest_keeps_its_deadline(start_platform, tmp_path: Path) -> None:
    platform = start_platform()
    wire = serve(platform, tmp_path, "steady", SLEEPING, DEADLINE_S)
    found = measure(platform, wire, 250, 8.0)
    print(found)
    assert found.others == ()
    assert found.goodput >= 0.8 * found.capacity
    assert found.accepted_p99 <= 1.2 * DEADLINE_S * 1e3  # as a client sees it that waits for its turn of the processor
    assert found.late <= 0.01 * 8 * found.goodput
    assert found.refused > 8 * found.goodput
    assert found.refused_p50 < 50
    assert found.memory_grown < 30
    assert found.after_failed == 0
    assert found.after_p50 < 50


@pytest.mark.slow
def test_where_a_model_pauses_fewer_are_let_in_and_those_keep_their_deadline(start_platform, tmp_path: Path) -> None:
    platform = start_platform()
    wire = serve(platform, tmp_path, "pausing", PAUSING, DEADLINE_S)
    samples = openloop.run(platform.http, wire, [(1000.0, 15.0)])
    learned = [sample for sample in samples if sample.due > 7.5]
    good = [sample.latency for sample in learned if sample.status == 200]
    late = sum(sample.status == 504 for sample in learned)
    print(len(good), late, quantile(good, 0.5), quantile(good, 0.99))
    assert len(good) > 7.5 * 100  # about 200 a second are possible
    assert late <= 0.02 * len(good)  # about one in four with a margin that does not learn
    assert quantile(good, 0.99) <= 1.2 * DEADLINE_S


def test_a_refusal_comes_at_once_and_the_queue_drains(start_platform, tmp_path: Path) -> None:
    platform = start_platform()
    wire = serve(platform, tmp_path, "slow", SLEEPING.replace("0.004", "0.1"), 1.0)
    started = time.monotonic()
    samples = openloop.run(platform.http, wire, [(80.0, 1.0)])
    assert time.monotonic() - started < 10
    statuses = [sample.status for sample in samples]
    assert statuses.count(429) > 50
    assert statuses.count(200) >= 6
    assert set(statuses) <= {200, 429, 504}
    assert openloop.run(platform.http, wire, [(1.0, 1.0)])[0].status == 200
