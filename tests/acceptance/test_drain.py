"""Stopping: what was asked is answered, then everything ends."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support import models, processes


def of_a_service_manager(pid: int) -> None:
    os.kill(pid, signal.SIGTERM)


def of_a_terminal(pid: int) -> None:
    os.killpg(pid, signal.SIGINT)


@pytest.mark.parametrize("stop", [of_a_service_manager, of_a_terminal])
def test_requests_under_way_are_answered_before_the_platform_ends(start_platform, tmp_path: Path, stop) -> None:
    platform = start_platform()
    platform.deploy(models.sleeper(tmp_path), "slow", sample=models.column_sample(tmp_path, "seconds", [0.01]))
    pids = platform.processes()
    with ThreadPoolExecutor(3) as threads:
        asked = [threads.submit(platform.call, "POST", "/predict/slow", json={"seconds": 0.6}) for _ in range(3)]
        time.sleep(0.3)
        stop(platform.pid)
        answers = [future.result() for future in asked]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert platform.process.wait(20) == 0
    processes.wait_until(lambda: not any(map(processes.alive, pids)), 5, "all its processes are gone")
    with pytest.raises(httpx.TransportError):
        platform.call("GET", "/healthz", timeout=1)
    assert not (platform.home / "addresses.json").exists()


def test_a_platform_that_cannot_start_says_why_and_leaves_nothing(start_platform, tmp_path: Path) -> None:
    home = tmp_path / "home-0"
    home.mkdir(mode=0o700)
    with sqlite3.connect(home / "inferry.db") as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        database.execute("INSERT INTO alembic_version VALUES ('9999')")
    database.close()
    with pytest.raises(AssertionError, match=r"did not start.*schema 9999.*newer Inferry"):
        start_platform()
    assert not (home / "run").exists()
