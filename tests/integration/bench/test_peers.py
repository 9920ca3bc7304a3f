"""The race itself, small: it measures, compares, reports, and leaves nothing running, also when interrupted."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import processes

ROOT = Path(__file__).parents[3]
RUN = ROOT / ".bench/run"
COMMAND = [sys.executable, "-m", "bench.peers", "--quick", "--models", "tiny", "--only", "fastapi"]


def left() -> set[int]:
    return processes.belonging_to([RUN], -1)


@pytest.mark.slow
def test_a_quick_race_against_fastapi(tmp_path: Path) -> None:
    results = tmp_path / "peers.json"
    done = subprocess.run(
        [*COMMAND, "--results", str(results)], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    race = json.loads(results.read_text())["models"]["tiny"]
    assert {sample["server"] for sample in race["samples"]} == {"fastapi", "inferry"}
    assert {sample["connections"] for sample in race["samples"]} == {1, 16, 64}
    assert all(sample["rate"] > 0 and sample["errors"] == 0 for sample in race["samples"])
    assert "| **Inferry (plain)** |" in done.stdout
    assert left() == set()
    again = subprocess.run(
        [*COMMAND, "--latencies", "--results", str(results)], cwd=ROOT, capture_output=True, text=True, timeout=300,
        check=False,
    )  # fmt: skip
    assert again.returncode == 0, again.stderr
    anew = json.loads(results.read_text())["models"]["tiny"]
    assert anew["samples"] == race["samples"]
    if shutil.which("wrk"):
        constant = {("nginx", "")} if shutil.which("nginx") else set()
        assert {(turn["server"], turn["door"]) for turn in anew["half_load"]} == constant | {
            (sample["server"], sample["door"]) for sample in race["samples"]
        }
        before = len(race["half_load"])
        assert anew["half_load"][:before] == race["half_load"]
        assert len(anew["half_load"]) == 2 * before
    assert left() == set()


def test_latencies_alone_are_added_to_a_race_that_was(tmp_path: Path) -> None:
    command = [*COMMAND, "--latencies", "--results", str(tmp_path / "peers.json")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "tiny has not been raced yet" in done.stderr


@pytest.mark.slow
def test_an_interrupted_race_stops_its_servers(tmp_path: Path) -> None:
    race = subprocess.Popen(
        [*COMMAND, "--results", str(tmp_path / "peers.json")],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert race.stderr is not None
    lines = iter(race.stderr.readline, "")
    assert any("round 1/1: inferry" in line for line in lines)
    assert len(left()) > 3
    race.send_signal(signal.SIGINT)
    assert race.wait(60) == 130
    race.stderr.close()
    assert left() == set()
