"""Rollouts on a real platform: good ones arrive, bad ones never do, and nobody is lost on the way."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from tests.support import models
from tests.support.processes import wait_until
from tests.support.steady import Steady

BODY = json.dumps({"x": 1}).encode()
QUICK = """
steps:
  - weight: 20
    bake_s: 2
  - weight: 50
    bake_s: 2
checks:
  - check: errors
    enough: 20
  - check: latency
    enough: 20
    worse_by: 1.0
    settle_s: 1
  - check: crashes
"""
STILL = "steps:\n  - weight: 20\n    bake_s: 600\n"


def model(folder: Path, value: int, *, fails: float = 0.0, sleeps: float = 0.0) -> Path:
    return models.python_file(
        folder,
        f"model_{value}",
        "import random, time\n\n"
        "class Model:\n"
        "    def predict(self, inputs):\n"
        f"        time.sleep({sleeps})\n"
        f"        if inputs['x'][0] == 1 and random.random() < {fails}:\n"
        "            raise RuntimeError('no')\n"
        f"        return {{'value': [{value}] * len(inputs['x'])}}\n",
    )


@pytest.fixture
def stage(platform, tmp_path):
    """Make an endpoint, and strategies as files."""

    def make(name: str) -> Path:
        sample = models.column_sample(tmp_path, "x", [2, 3])
        platform.deploy(model(tmp_path, 1), name, sample=sample)
        return sample

    (tmp_path / "quick.yaml").write_text(QUICK)
    (tmp_path / "still.yaml").write_text(STILL)
    return make


def ended(platform, name, seconds=60.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = platform.cli("rollout", "status", name)
        if found["phase"] in ("promoted", "aborted"):
            return found
        time.sleep(0.3)
    raise AssertionError(f"the rollout did not end: {found}")


def back_on(steady, version):
    """Since when one revision alone answers: what was decided is told a moment before the gateway goes by it."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        after = time.monotonic()
        time.sleep(0.5)
        if {outcome.version for outcome in steady.since(after)} == {version}:
            return after
    raise AssertionError(f"others than {version} still answer")


def load(platform, name, rate=100):
    return Steady(f"{platform.http}/predict/{name}", BODY, platform.key, rate=rate)


@pytest.mark.both_databases
def test_a_good_canary_arrives_step_by_step_and_the_old_revision_stays_warm(platform, stage, tmp_path) -> None:
    sample = stage("arrives")
    with load(platform, "arrives") as steady:
        made = platform.deploy(model(tmp_path, 2), "arrives", "--strategy", str(tmp_path / "quick.yaml"), sample=sample)
        assert (made["rollout"], made["revision"]) == (True, 2)
        watched = platform.run("rollout", "watch", "arrives")
        found = ended(platform, "arrives")
    assert not steady.failures
    assert watched.returncode == 0, watched.stderr
    assert (found["phase"], found["weight"]) == ("promoted", 100)
    told = platform.cli("rollout", "history", "arrives")
    assert [(d["action"], d["weight"]) for d in told["decisions"]] == [
        ("advance", 20), ("advance", 50), ("promote", 100),
    ]  # fmt: skip
    assert {reading["check"] for reading in told["decisions"][-1]["evidence"]} >= {"errors", "crashes"}
    assert "promote" in watched.stdout
    rows = platform.cli("traffic", "arrives")["revisions"]
    assert [(row["revision"], row["percent"], row["warm"]) for row in rows] == [(1, 0, True), (2, 100, False)]
    assert platform.cli("rollback", "arrives")["revision"] == 1


@pytest.mark.both_databases
def test_a_canary_that_fails_goes_back_and_nothing_of_it_runs(platform, stage, tmp_path) -> None:
    sample = stage("fails")
    with load(platform, "fails") as steady:
        bad = model(tmp_path, 2, fails=0.5)
        platform.deploy(bad, "fails", "--strategy", str(tmp_path / "quick.yaml"), sample=sample)
        found = ended(platform, "fails")
        assert (found["phase"], found["weight"], found["ended_by"]) == ("aborted", 0, "policy")
        assert found["reason"].startswith("errors: ")
        after = back_on(steady, "1")
        time.sleep(0.5)
    told = platform.cli("rollout", "history", "fails")["decisions"]
    assert [d["weight"] for d in told] in ([20, 0], [20, 50, 0])
    assert {outcome.version for outcome in steady.failures} == {"2"}
    assert len(steady.failures) < len(steady.outcomes) * 0.3  # half of the half that the last step gives it
    assert {outcome.version for outcome in steady.since(after)} == {"1"}
    assert [row["revision"] for row in platform.cli("traffic", "fails")["revisions"]] == [1]
    assert platform.run("rollout", "watch", "fails").returncode == 1


@pytest.mark.slow
def test_a_canary_that_is_slower_goes_back(platform, stage, tmp_path) -> None:
    sample = stage("slower")
    with load(platform, "slower", rate=60):
        slow = model(tmp_path, 2, sleeps=0.02)
        platform.deploy(slow, "slower", "--strategy", str(tmp_path / "quick.yaml"), sample=sample)
        found = ended(platform, "slower")
    assert found["phase"] == "aborted"
    assert "latency" in found["reason"]


def test_a_revision_that_does_not_load_any_more_never_gets_traffic(platform, stage, tmp_path) -> None:
    sample = stage("crashes")
    flag = tmp_path / "gone"
    trap = models.python_file(
        tmp_path,
        "trap",
        "import time\nBORN = time.time()\n\n"
        "class Trap:\n"
        "    def __init__(self):\n"
        f"        if time.time() > {time.time() + 15}:\n"
        "            raise RuntimeError('expired')\n"
        "    def predict(self, inputs):\n"
        "        return {'value': [2] * len(inputs['x'])}\n",
    )
    assert not flag.exists()
    platform.deploy(trap, "crashes", "--traffic", "0", sample=sample)
    platform.cli("traffic", "crashes", "--no-warm")
    time.sleep(max(0.0, 15.5 - (time.time() - trap.stat().st_mtime)))
    platform.cli("rollout", "start", "crashes", "--revision", "2", "--strategy", str(tmp_path / "quick.yaml"))
    found = ended(platform, "crashes")
    assert found["phase"] == "aborted"
    assert "does not load" in found["reason"]
    assert platform.predict("crashes", {"x": 1})["predictions"] == [{"value": 1}]


@pytest.mark.both_databases
def test_people_pause_skip_promote_and_abort(platform, stage, tmp_path) -> None:
    sample = stage("people")
    still = ("--strategy", str(tmp_path / "still.yaml"))
    platform.deploy(model(tmp_path, 2), "people", *still, sample=sample)
    end = time.monotonic() + 60
    while platform.cli("rollout", "status", "people")["weight"] != 20:
        assert time.monotonic() < end
        time.sleep(0.2)
    paused = platform.cli("rollout", "pause", "people", "--reason", "lunch")
    assert (paused["phase"], paused["pause"]["reason"], paused["weight"]) == ("paused", "lunch", 20)
    assert platform.cli("rollout", "resume", "people")["phase"] == "baking"
    for refused in (
        ("traffic", "people", "1=100"),
        ("scale", "people", "2"),
        ("rollout", "start", "people", "--revision", "2"),
    ):
        result = platform.run(*refused)
        assert result.returncode == 1
        assert "under way" in result.stderr
    assert platform.cli("rollout", "abort", "people", "--reason", "no")["phase"] == "aborted"
    assert platform.run("rollout", "abort", "people").returncode == 1
    platform.cli("rollout", "start", "people", "--revision", "2", *still)
    end = time.monotonic() + 60
    while platform.cli("rollout", "status", "people")["step"] != 1:
        assert time.monotonic() < end
        time.sleep(0.2)
    assert platform.cli("rollout", "skip", "people")["phase"] == "promoted"
    platform.cli("rollout", "start", "people", "--revision", "1", *still)
    assert platform.cli("rollback", "people")["revision"] == 2
    phases = [row["phase"] for row in platform.cli("rollout", "list", "people")["rollouts"]]
    assert phases == ["aborted", "promoted", "aborted"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("steps: []\n", "steps: there is none"),
        ("steps:\n  - weight: 120\n", "no percent"),
        ("steps:\n  - weight: 50\n  - weight: 20\n", "not over the step before"),
        ("steps:\n  - weight: ten\n", "Expected `int`"),
        ("stepz:\n  - weight: 10\n", "unknown field"),
        ("steps:\n  - weight: 10\nchecks:\n  - check: luck\n", "luck"),
    ],
)
def test_a_strategy_that_cannot_be_followed_is_refused(platform, stage, tmp_path, text, words) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text(text)
    result = platform.run("rollout", "start", "nobody", "--revision", "1", "--strategy", str(bad))
    assert result.returncode in (1, 2)
    assert words in result.stderr


@pytest.mark.both_databases
@pytest.mark.slow
def test_a_rollout_goes_on_when_control_is_killed_at_any_moment(start_platform, tmp_path) -> None:
    platform = start_platform()
    sample = models.column_sample(tmp_path, "x", [2, 3])
    platform.deploy(model(tmp_path, 1), "kept", sample=sample)
    strategy = tmp_path / "quick.yaml"
    strategy.write_text(QUICK)
    with load(platform, "kept", rate=50) as steady:
        platform.deploy(model(tmp_path, 2), "kept", "--strategy", str(strategy), sample=sample)
        for moment in range(6):
            time.sleep(0.35 * moment)
            os.kill(platform.control_pid(), signal.SIGKILL)
            end = time.monotonic() + 60
            while platform.run("rollout", "status", "kept", "--json").returncode != 0:
                assert time.monotonic() < end
                time.sleep(0.1)
        found = ended(platform, "kept", 90)
    assert found["phase"] == "promoted"
    told = platform.cli("rollout", "history", "kept")["decisions"]
    assert [d["number"] for d in told] == list(range(1, len(told) + 1))
    assert [d["weight"] for d in told] == [20, 50, 100]  # none lost, none twice
    assert not steady.failures
    assert platform.cli("doctor")["ok"]


def test_neither_revision_sleeps_while_a_rollout_compares_them(platform, stage, tmp_path) -> None:
    sample = models.column_sample(tmp_path, "x", [2, 3])
    elastic = ("--min-replicas", "0", "--max-replicas", "2", "--idle-timeout", "1s")
    platform.deploy(model(tmp_path, 1), "drowsy", *elastic, sample=sample)
    platform.deploy(model(tmp_path, 2), "drowsy", "--strategy", str(tmp_path / "still.yaml"), sample=sample)

    def rows() -> list[dict[str, object]]:
        return platform.cli("scale", "explain", "drowsy")["revisions"]

    wait_until(lambda: platform.cli("rollout", "status", "drowsy")["weight"] == 20, 60, "the canary has its share")
    wait_until(lambda: [row["ready"] for row in rows()] == [1, 1], 60, "both are awake")
    time.sleep(4)
    assert [row["ready"] for row in rows()] == [1, 1], "nobody asks, and both stay"
    assert {row["last"]["reason"] for row in rows()} == {"at least 1 while a rollout compares it"}
    platform.cli("rollout", "abort", "drowsy")
    wait_until(lambda: [row["ready"] for row in rows()] == [0], 60, "they may sleep again")
