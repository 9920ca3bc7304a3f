"""Processes die or hang under load: what fails, for how long, and what is there afterwards."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.support import models, processes
from tests.support.platform import Platform, inferry_command
from tests.support.steady import Steady, describe

pytestmark = pytest.mark.slow

BODY = json.dumps({"x": 1}).encode()
KILLS = 12


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return models.column_sample(tmp_path, "x", [1, 2])


def load_on(platform: Platform, endpoint: str = "steady") -> Steady:
    return Steady(f"{platform.http}/predict/{endpoint}", BODY, platform.key, rate=200)


def test_a_killed_replica_fails_at_most_what_it_was_computing(start_platform, tmp_path: Path, sample: Path) -> None:
    platform = start_platform()
    platform.deploy(models.constant(tmp_path, 7), "steady", sample=sample)
    (before,) = platform.replica_pids()
    with load_on(platform) as load:
        time.sleep(1)
        killed = time.monotonic()
        os.kill(before, signal.SIGKILL)
        time.sleep(3)
    assert all(outcome.status == 503 for outcome in load.failures), describe(load.failures)
    in_flight = [o for o in load.outcomes if o.sent <= killed + 0.05 and o.sent + o.seconds >= killed]
    assert len(load.failures) <= len(in_flight), describe(load.failures)
    answered = min(o.sent + o.seconds for o in load.since(killed) if o.ok)
    assert answered - killed < 1.0
    assert platform.replica_pids() != [before]


@pytest.mark.both_databases
def test_a_killed_control_fails_no_prediction_and_comes_back(start_platform, tmp_path: Path, sample: Path) -> None:
    platform = start_platform()
    platform.deploy(models.constant(tmp_path, 1), "steady", sample=sample)
    replicas = platform.replica_pids()
    with load_on(platform) as load:
        time.sleep(0.5)
        os.kill(platform.control_pid(), signal.SIGKILL)
        processes.wait_until(lambda: _alive(platform), 20, "control is back")
        assert platform.replica_pids() == replicas  # adopted, not restarted
        assert platform.deploy(models.constant(tmp_path, 2), "steady", sample=sample)["version"] == 2
        time.sleep(0.5)
    assert not load.failures, describe(load.failures)


def test_a_killed_gateway_comes_back_on_the_same_port(start_platform, tmp_path: Path, sample: Path) -> None:
    platform = start_platform()
    platform.deploy(models.constant(tmp_path, 1), "steady", sample=sample)
    os.kill(platform.gateway_pid(), signal.SIGKILL)

    def answers() -> bool:
        try:
            return platform.call("POST", "/predict/steady", json={"x": 1}, timeout=2).status_code == 200
        except httpx.TransportError:
            return False

    processes.wait_until(answers, 10, "the gateway answers again")


def test_a_killed_zygote_costs_nothing_and_a_new_one_forks_the_next_replica(
    start_platform, tmp_path: Path, sample: Path
) -> None:
    platform = start_platform()
    platform.deploy(models.constant(tmp_path, 1), "steady", sample=sample)
    (replica,) = platform.replica_pids()
    with load_on(platform) as load:
        time.sleep(0.5)
        os.kill(processes.parent(replica), signal.SIGKILL)
        time.sleep(1)
        assert platform.replica_pids() == [replica]
    assert not load.failures, describe(load.failures)
    os.kill(replica, signal.SIGKILL)
    assert platform.predict("steady", {"x": 1})["predictions"] == [{"value": 1}]  # held until the new one is up
    assert platform.replica_pids() != [replica]


def test_a_stopped_replica_times_out_clearly_and_traffic_moves_away(
    start_platform, tmp_path: Path, sample: Path
) -> None:
    platform = start_platform()
    platform.deploy(models.constant(tmp_path, 1), "steady", "--replicas", "2", "--timeout", "2", sample=sample)
    before = {pid: processes.cpu_seconds([pid]) for pid in platform.replica_pids()}
    with load_on(platform) as load:
        time.sleep(2)
        stopped = max(before, key=lambda pid: processes.cpu_seconds([pid]) - before[pid])  # the one that gets requests
        os.kill(stopped, signal.SIGSTOP)
        time.sleep(8)
        settled = time.monotonic()
        time.sleep(3)
    if processes.alive(stopped):
        os.kill(stopped, signal.SIGCONT)
    assert {outcome.status for outcome in load.failures} <= {504}, describe(load.failures)
    assert load.failures, "a stopped replica must have held some requests"
    error = json.loads(load.failures[0].body)["error"]
    assert error["code"] == "deadline_exceeded"
    assert error["message"]
    assert all(outcome.seconds < 4 for outcome in load.failures)
    assert all(outcome.ok for outcome in load.since(settled)), describe(load.failures)


def test_kills_all_through_a_deploy_lose_and_half_make_nothing(start_platform, tmp_path: Path, sample: Path) -> None:
    platform = start_platform()
    began = time.monotonic()
    acknowledged = {platform.deploy(models.constant(tmp_path, 100), "steady", sample=sample)["version"]: 100}
    usual = time.monotonic() - began
    chance = random.Random(2)
    for number in range(KILLS):  # one in each twelfth of the time that a deploy takes, and a bit behind it
        value = 101 + number
        deploy = _start_deploy(platform, models.constant(tmp_path, value), sample)
        time.sleep(usual * 1.1 * (number + chance.random()) / KILLS)
        os.killpg(platform.pid, signal.SIGKILL)
        if output := _acknowledgement(deploy):
            acknowledged[json.loads(output)["version"]] = value
        platform.kill9()
        platform.start()
        _check_nothing_lost(platform, acknowledged, value)


def _start_deploy(platform: Platform, file: Path, sample: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*inferry_command(), "deploy", str(file), "--name", "steady", "--sample", str(sample), "--json"],
        env=platform.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _acknowledgement(deploy: subprocess.Popen[str]) -> str:
    """What the command printed when it had succeeded; it would wait a while for the platform to come back."""
    try:
        output, _ = deploy.communicate(timeout=1)
    except subprocess.TimeoutExpired:
        deploy.kill()
        output, _ = deploy.communicate()
    return output if deploy.returncode == 0 else ""


def _check_nothing_lost(platform: Platform, acknowledged: dict[int, int], in_flight: int) -> None:
    """Every acknowledged version is there; a version beyond them is the whole of the one that was in flight."""
    answer = platform.predict("steady", {"x": 1})  # held until its replica is up again
    doctor = platform.cli("doctor")
    assert doctor["ok"], [check for check in doctor["checks"] if not check["ok"]]
    there = [version["number"] for version in platform.cli("versions", "steady")["versions"]]
    assert set(acknowledged) <= set(there), f"lost: {set(acknowledged) - set(there)}"
    extra = set(there) - set(acknowledged)
    assert len(extra) <= 1, f"half-made: {extra}"
    if extra:
        acknowledged[extra.pop()] = in_flight
    assert answer["version"] == max(there)
    assert answer["predictions"][0]["value"] == acknowledged[answer["version"]]


def _alive(platform: Platform) -> bool:
    try:
        return platform.call("GET", "/v1/models", control=True, timeout=2).status_code == 200
    except httpx.TransportError:
        return False
