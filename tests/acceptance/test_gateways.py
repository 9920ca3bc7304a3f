"""Several gateways behind the same ports: whatever is asked of one holds for all."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support import models
from tests.support.platform import Platform
from tests.support.processes import wait_until
from tests.support.steady import Steady, describe

ELASTIC = ("--min-replicas", "0", "--max-replicas", "1", "--idle-timeout", "2s")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    platform = Platform(tmp_path_factory.mktemp("pair") / "home", "--gateways", "2").start()
    try:
        yield platform
    finally:
        platform.close()


def ask_anew(platform: Platform, name: str, times: int, key: str | None = None) -> Counter[tuple[int, str]]:
    """Each time on a connection of its own, which the kernel gives to one of the gateways."""
    body = {"x": 1}
    answers = [platform.call("POST", f"/predict/{name}", json=body, key=key) for _ in range(times)]
    return Counter((answer.status_code, answer.headers.get("inferry-version", "")) for answer in answers)


def answered(platform: Platform, name: str) -> int:
    """As control counts: over all gateways."""
    return sum(row["requests"] for row in platform.cli("traffic", name)["revisions"])


def test_both_serve_and_a_change_holds_at_both_when_it_is_told(pair, tmp_path) -> None:
    assert len(pair.gateway_pids()) == 2
    sample = models.column_sample(tmp_path, "x", [1, 2])
    for version in (1, 2):
        pair.deploy(models.constant(tmp_path, version), "spread", sample=sample)
        assert ask_anew(pair, "spread", 30) == {(200, str(version)): 30}
    assert answered(pair, "spread") == 30, "by the revision that serves now"
    made = pair.cli("keys", "create", "passing", "--role", "invoker")
    assert ask_anew(pair, "spread", 20, key=made["key"]) == {(200, "2"): 20}
    pair.cli("keys", "revoke", "passing")
    assert ask_anew(pair, "spread", 20, key=made["key"]) == {(401, ""): 20}


def test_two_hundred_at_once_at_both_wake_one_replica(pair, tmp_path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    pair.deploy(models.constant(tmp_path, 7), "wakes", *ELASTIC, sample=sample)
    wait_until(lambda: state(pair, "wakes") == "asleep", 60, "nobody asks")
    begun = started(pair)
    with ThreadPoolExecutor(50) as pool:
        # with fewer it would close those that are too many, now and then one that another thread reads from
        kept = httpx.Limits(max_keepalive_connections=50)
        headers = {"authorization": f"Bearer {pair.key}"}
        with httpx.Client(headers=headers, timeout=60, trust_env=False, limits=kept) as client:
            answers = list(pool.map(lambda _: client.post(f"{pair.http}/predict/wakes", json={"x": 1}), range(200)))
    assert {(one.status_code, one.json()["predictions"][0]["value"]) for one in answers} == {(200, 7)}
    assert started(pair) == begun + 1
    wait_until(lambda: state(pair, "wakes") == "asleep", 60, "it sleeps again though two tell its load")


def state(platform: Platform, name: str) -> str:
    return platform.call("GET", f"/v1/endpoints/{name}", control=True).json()["state"]


def started(platform: Platform) -> int:
    return platform.cli("status")["memory"]["loads"]


def test_one_that_is_killed_takes_only_what_it_had_begun_and_no_count_is_lost(pair, tmp_path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    pair.deploy(models.constant(tmp_path, 3), "steady", sample=sample)
    assert ask_anew(pair, "steady", 40) == {(200, "1"): 40}
    assert answered(pair, "steady") == 40
    before = pair.gateway_pids()
    with Steady(f"{pair.http}/predict/steady", json.dumps({"x": 1}).encode(), pair.key, rate=100) as load:
        time.sleep(1)
        os.kill(before[0], signal.SIGKILL)
        wait_until(lambda: len(set(pair.gateway_pids()) - set(before)) == 1, 60, "another one is there")
        wait_until(lambda: pair.run("doctor").returncode == 0, 60, "control speaks to both")
        time.sleep(1)
    assert len(load.failures) <= 10, describe(load.failures)
    assert {failure.status for failure in load.failures} <= {0}, "connections that the dead one had"
    served = sum(outcome.ok for outcome in load.outcomes)
    assert served > 100
    told = answered(pair, "steady")
    assert 40 + served - 110 <= told <= 40 + len(load.outcomes), "but for what came since control last asked"
    assert ask_anew(pair, "steady", 20) == {(200, "1"): 20}
    assert answered(pair, "steady") == told + 20, "and it goes on from there"
