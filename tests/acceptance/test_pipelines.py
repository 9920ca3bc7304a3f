"""Projects and pipelines on a real platform: what is declared comes to be, and versions go up the ladder."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time

import httpx
import pytest

from tests.support import models
from tests.support.platform import CommandFailed
from tests.support.steady import Steady

BODY = json.dumps({"x": 1}).encode()


@pytest.fixture
def make(tmp_path):
    """Models whose answers tell them apart, of one signature."""
    sample = models.column_sample(tmp_path / "samples", "x", [2, 3])

    def make(value: int, body: str = "") -> list[str]:
        if body:
            path = models.python_file(tmp_path / "repo", f"model_{value}", body)
        else:
            path = models.constant(tmp_path / "repo", value)
        return [str(path), "--sample", str(sample)]

    return make


@pytest.fixture
def declare(tmp_path):
    """Write an inferry.yaml; its path."""

    def declare(text: str) -> str:
        path = tmp_path / "inferry.yaml"
        path.write_text(text)
        return str(path)

    return declare


def ladder(name: str, prod: str = "", more: str = "") -> str:
    return f"""
endpoints:
  {name}-staging: {{model: {name}}}
  {name}: {{}}
pipelines:
  {name}:
    gates: false
    stages:
      - endpoint: {name}-staging
      - endpoint: {name}
{prod}
{more}
"""


def push(platform, model, name):
    return platform.cli("push", *model, "--name", name)


def wait_run(platform, model, *phases, version=0, timeout=60.0):
    """The latest run (of a version), once it is in one of the phases."""
    end, found = time.monotonic() + timeout, {}
    while time.monotonic() < end:
        with contextlib.suppress(httpx.HTTPError):  # control may have been killed
            rows = platform.call("GET", f"/v1/runs?model={model}", control=True).json()["runs"]
            its = [run for run in rows if version in {0, run["version"]}]
            if its and (found := its[-1])["phase"] in phases:
                return found
        time.sleep(0.1)
    raise AssertionError(f"not {phases} within {timeout} s: {found}")


def serving(platform, endpoint):
    return platform.call("GET", f"/v1/endpoints/{endpoint}", control=True).json()["version"]


def load(platform, endpoint, rate=50):
    return Steady(f"{platform.http}/predict/{endpoint}", BODY, platform.key, rate=rate)


def refused(platform, *arguments) -> dict[str, str]:
    with pytest.raises(CommandFailed) as failed:
        platform.cli(*arguments)
    return json.loads(failed.value.stdout)["error"]


def test_endpoints_come_to_be_as_declared_and_again_changes_nothing(platform, make, declare) -> None:
    push(platform, make(1), "applied")
    push(platform, make(2), "applied")
    text = """
    endpoints:
      applied: {version: 1, replicas: 2, timeout: 5s}
      applied-split: {model: applied, traffic: {1: 75, 2: 25}}
    """
    path = declare(text)
    dry = platform.run("apply", "-f", path, "--dry-run")
    assert dry.returncode == 3
    assert "+ endpoint applied" in dry.stdout
    made = platform.cli("apply", "-f", path)
    assert (made["settled"], made["problems"], made["changes"]) == (True, [], [])
    described = platform.cli("describe", "applied")
    assert (described["version"], described["replicas"]["wanted"]) == (1, 2)
    assert described["revisions"][-1]["config"]["timeout_s"] == 5.0
    split = platform.cli("traffic", "applied-split")["revisions"]
    assert {row["version"]: row["percent"] for row in split} == {1: 75, 2: 25}
    again = platform.run("apply", "-f", path, "--dry-run")
    assert again.stdout.strip() == "Everything is as declared."
    before = platform.cli("describe", "applied")["revision"]
    platform.cli("apply", "-f", path)
    assert platform.cli("describe", "applied")["revision"] == before

    path = declare("endpoints: {applied: {version: 2, replicas: 1}}")
    changes = json.loads(platform.run("apply", "-f", path, "--dry-run", "--prune", "--json").stdout)
    assert [(change["kind"], change["name"]) for change in changes["changes"]] == [
        ("release", "applied"), ("delete", "applied-split"),
    ]  # fmt: skip
    platform.cli("apply", "-f", path, "--prune")
    assert serving(platform, "applied") == 2
    assert platform.cli("describe", "applied")["replicas"]["wanted"] == 1
    assert refused(platform, "describe", "applied-split")["code"] == "not_found"


def test_drift_is_told_and_mended(platform, make, declare) -> None:
    push(platform, make(1), "drifted")
    path = declare("endpoints: {drifted: {version: 1, replicas: 1}}")
    platform.cli("apply", "-f", path)
    platform.cli("scale", "drifted", "2")
    dry = platform.run("apply", "-f", path, "--dry-run")
    assert (dry.returncode, "replicas: 2 -> 1" in dry.stdout) == (3, True)
    platform.cli("apply", "-f", path)
    assert platform.cli("describe", "drifted")["replicas"]["wanted"] == 1


def test_versions_that_are_not_there_are_told_with_their_lines(platform, declare) -> None:
    path = declare("endpoints:\n  nobody:\n    version: 3\n  nothing: {version: champion}\n")
    error = refused(platform, "apply", "-f", path)
    assert error["code"] == "invalid_settings"
    assert error["message"].splitlines() == [
        f"{path}:3: endpoints.nobody.version: nobody:3 is not there. See: inferry versions nobody",
        f"{path}:4: endpoints.nothing.version: nothing@champion is not there. See: inferry versions nothing",
    ]


def test_a_pushed_version_goes_up_the_ladder_by_itself(platform, make, declare) -> None:
    platform.cli("apply", "-f", declare(ladder("climbs", more="    alias: champion")))
    push(platform, make(1), "climbs")
    wait_run(platform, "climbs", "done")
    assert (serving(platform, "climbs-staging"), serving(platform, "climbs")) == (1, 1)
    with load(platform, "climbs") as steady:
        push(platform, make(2), "climbs")
        done = wait_run(platform, "climbs", "done", version=2)
    assert not steady.failures
    assert done["reason"] == "It is climbs@champion, at the top of the ladder."
    assert (serving(platform, "climbs-staging"), serving(platform, "climbs")) == (2, 2)
    assert platform.cli("alias", "list", "climbs")["aliases"][0]["version"] == 2
    said = platform.run("pipeline", "watch", "climbs").stdout
    assert "On to climbs-staging." in said
    assert "10 smoke requests were answered." in said
    warm = platform.cli("traffic", "climbs")["revisions"]
    assert [(row["version"], row["percent"]) for row in warm] == [(1, 0), (2, 100)]
    platform.cli("rollback", "climbs")
    assert serving(platform, "climbs") == 1
    platform.cli("pipeline", "start", "climbs:2")
    wait_run(platform, "climbs", "done", version=2)
    platform.cli("pipeline", "start", "climbs:1")
    wait_run(platform, "climbs", "done", version=1)
    assert serving(platform, "climbs") == 1, "an older version that is sent after a younger one is meant so"


def test_production_waits_for_approval_and_a_younger_version_goes_instead(platform, make, declare) -> None:
    platform.cli("apply", "-f", declare(ladder("asks", "        approve: true")))
    push(platform, make(1), "asks")
    wait_run(platform, "asks", "approval")
    push(platform, make(2), "asks")
    old = wait_run(platform, "asks", "superseded", version=1)
    assert old["reason"] == "asks:2 has passed its gates and goes instead."
    wait_run(platform, "asks", "approval", version=2)
    assert refused(platform, "describe", "asks")["code"] == "not_found"
    platform.cli("pipeline", "approve", "asks", "--reason", "checked")
    wait_run(platform, "asks", "done", version=2)
    events = platform.cli("pipeline", "status", "asks")["events"]
    assert ("admin", "admin approved asks: checked") in [(event["by"], event["words"]) for event in events]


def test_a_version_that_fails_its_smoke_test_does_not_get_past_staging(platform, make, declare) -> None:
    platform.cli("apply", "-f", declare(ladder("smokes")))
    push(platform, make(1), "smokes")
    wait_run(platform, "smokes", "done")
    body = (
        "calls = 0\n\n"
        "class Model:\n"
        "    def predict(self, inputs):\n"
        "        global calls\n"
        "        calls += 1\n"
        "        if calls > 4:\n"
        "            raise RuntimeError('worn out')\n"
        "        return {'value': [2] * len(inputs['x'])}\n"
    )
    push(platform, make(2, body), "smokes")
    failed = wait_run(platform, "smokes", "failed", version=2)
    assert "The smoke test failed: request" in failed["reason"]
    assert (serving(platform, "smokes-staging"), serving(platform, "smokes")) == (1, 1)


def test_a_shadow_whose_answers_differ_ends_the_run(platform, make, declare) -> None:
    shadow = "        shadow: {time: 2s, compared: 10}"
    platform.cli("apply", "-f", declare(ladder("shades", shadow)))
    push(platform, make(1), "shades")
    wait_run(platform, "shades", "done")
    with load(platform, "shades") as steady:
        push(platform, make(2), "shades")
        failed = wait_run(platform, "shades", "failed", version=2)
    assert not steady.failures
    assert "The shadow's answers differ" in failed["reason"]
    assert serving(platform, "shades") == 1
    assert platform.cli("traffic", "shades")["mirror"] is None


def test_a_canceled_run_gives_the_traffic_back(platform, make, declare) -> None:
    slow = "        strategy: slow\nstrategies:\n  slow: {steps: [{weight: 20, bake_s: 600}]}"
    platform.cli("apply", "-f", declare(ladder("undone", slow)))
    push(platform, make(1), "undone")
    wait_run(platform, "undone", "done")
    push(platform, make(2), "undone")
    wait_run(platform, "undone", "move", version=2)
    platform.cli("pipeline", "cancel", "undone", "--reason", "wrong data")
    ended = wait_run(platform, "undone", "canceled", version=2)
    assert ended["reason"] == "admin canceled it: wrong data"
    assert platform.cli("rollout", "status", "undone")["phase"] == "aborted"
    assert serving(platform, "undone") == 1


def test_a_freeze_holds_a_stage(platform, make, declare) -> None:
    freeze = "    freeze: [{start: 2020-01-01 00:00, end: 2099-01-01 00:00, only: [frozen]}]"
    platform.cli("apply", "-f", declare(ladder("frozen", more=freeze)))
    push(platform, make(1), "frozen")
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = wait_run(platform, "frozen", "queue", "deploy", "move", "smoke")
        if found["reason"].startswith("frozen is frozen until 2099-01-01 00:00 UTC"):
            break
        time.sleep(0.2)
    else:
        raise AssertionError(found)
    assert serving(platform, "frozen-staging") == 1
    platform.cli("pipeline", "cancel", "frozen")


def kill_control(platform) -> None:
    """Kill it, and wait until another one answers."""
    os.kill(platform.control_pid(), signal.SIGKILL)
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(httpx.HTTPError):
            if platform.call("GET", "/v1/info", control=True).status_code == 200:
                return
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.slow
def test_pipelines_survive_the_death_of_control(start_platform, make, declare) -> None:
    """Control is killed again and again: every run ends in production, and each version is released once a stage.

    INFERRY_TEST_KILLS: how often (CI: 10)."""
    platform = start_platform()
    platform.cli("apply", "-f", declare(ladder("undead")))
    kills = int(os.environ.get("INFERRY_TEST_KILLS", "10"))
    versions = max(2, kills // 6)
    pauses = random.Random(7)
    for number in range(1, versions + 1):
        push(platform, make(number), "undead")
        for _ in range(kills // versions):
            time.sleep(pauses.uniform(0.05, 1.2))
            kill_control(platform)
        done = wait_run(platform, "undead", "done", version=number, timeout=120)
        assert done["stage"] == 2
    for endpoint in ("undead-staging", "undead"):
        described = platform.cli("describe", endpoint)
        assert described["version"] == versions
        assert [revision["version"] for revision in described["revisions"]] == list(range(1, versions + 1))
    assert platform.cli("doctor")["ok"]


@pytest.mark.slow
def test_an_apply_survives_the_death_of_control(start_platform, make, declare) -> None:
    platform = start_platform()
    for value in (1, 2, 3):
        push(platform, make(value), "kept")
    names = [f"kept-{letter}" for letter in "abcd"]
    pauses = random.Random(11)
    for version in (1, 2, 3):
        lines = "\n".join(f"  {name}: {{model: kept, version: {version}}}" for name in names)
        path = declare(f"endpoints:\n{lines}\n")
        platform.cli("apply", "--no-wait", "-f", path)
        for _ in range(2):
            time.sleep(pauses.uniform(0.0, 0.6))
            kill_control(platform)
        end = time.monotonic() + 120
        while platform.run("apply", "--dry-run", "-f", path).returncode != 0:
            assert time.monotonic() < end
            time.sleep(0.5)
    for name in names:
        described = platform.cli("describe", name)
        assert [revision["version"] for revision in described["revisions"]] == [1, 2, 3]  # none lost, none twice
