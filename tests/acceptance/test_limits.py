"""Limits of a replica, kept by the kernel: what happens to one that takes too much, and what is told of it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.support import models
from tests.support.platform import CommandFailed, Platform
from tests.support.processes import wait_until

GREEDY = """
class Greedy:
    def __init__(self):
        self.kept = []

    def predict(self, inputs):
        megabytes = int(inputs["x"][0])
        if megabytes:
            self.kept.append(b"x" * (megabytes * 1_000_000))
        return {"y": [float(len(self.kept))]}
"""


@pytest.fixture(scope="module")
def limited(platform: Platform) -> Platform:
    """A platform that may make cgroups."""
    (found,) = [check for check in platform.cli("doctor")["checks"] if check["name"] == "limits"]
    if "by cgroups" not in found["detail"] or "memory" not in found["detail"]:
        pytest.skip(f"here limits are kept {found['detail']}")
    return platform


def deploy(platform: Platform, folder: Path, name: str, body: str, *arguments: str, row: float = 0) -> None:
    file = models.python_file(folder / name, name.replace("-", "_"), body)
    platform.deploy(file, name, *arguments, sample=models.column_sample(folder / name, "x", [row]))


def ask(platform: Platform, name: str, value: float):
    return platform.call("POST", f"/predict/{name}", json={"x": value})


def endpoint(platform: Platform, name: str):
    return platform.call("GET", f"/v1/endpoints/{name}", control=True).json()


def pid_of(platform: Platform, name: str) -> int:
    (pid,) = endpoint(platform, name)["replicas"]["pids"]
    return int(pid)


def group_of(pid: int, controller: str) -> Path:
    lines = [line.split(":", 2) for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    root = Path("/sys/fs/cgroup")
    for _, controllers, path in lines:
        if controller in controllers.split(","):
            return root / controller / path.lstrip("/")
    return root / next(path for _, controllers, path in lines if not controllers).lstrip("/")


def test_a_replica_killed_for_its_memory_is_named_so_and_replaced(limited, model_dir) -> None:
    deploy(limited, model_dir, "greedy", GREEDY, "--memory", "150")
    assert ask(limited, "greedy", 20).status_code == 200
    answer = ask(limited, "greedy", 400)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "replica_lost")
    assert "killed: used more than memory_mb = 150" in answer.json()["error"]["message"]
    wait_until(lambda: endpoint(limited, "greedy")["last_end"], 60, "its end is known")
    found = endpoint(limited, "greedy")
    assert (found["last_end"]["why"], found["deaths"]) == ("killed: used more than memory_mb = 150", 1)
    assert "killed: used more than memory_mb = 150" in limited.run("describe", "greedy").stdout
    assert any("was killed: used more than memory_mb = 150" in line for line in limited.cli("logs", "greedy")["lines"])
    assert ask(limited, "greedy", 0).status_code == 200


def test_a_model_that_does_not_fit_into_its_limit_is_told_so_at_deploy(limited, model_dir) -> None:
    body = (
        "class Large:\n    def __init__(self):\n        self.kept = b'x' * 300_000_000\n\n"
        "    def predict(self, inputs):\n        return {'y': [1.0]}\n"
    )
    with pytest.raises(CommandFailed, match="MemoryError"):
        deploy(limited, model_dir, "does-not-fit", body, "--memory", "100")


def test_processor_time_and_processes_are_limited(limited, model_dir) -> None:
    body = (
        "import threading, time\n\n"
        "class Busy:\n    def predict(self, inputs):\n"
        "        until = time.monotonic() + float(inputs['x'][0])\n"
        "        while time.monotonic() < until:\n            pass\n"
        "        return {'y': [1.0]}\n"
    )
    deploy(limited, model_dir, "half-a-core", body, "--cpus", "0.25", row=0.5)
    assert ask(limited, "half-a-core", 1.5).status_code == 200
    pid = pid_of(limited, "half-a-core")
    quota = {"cpu.cfs_quota_us": "25000", "cpu.max": "25000 100000"}
    told = {file: path.read_text().strip() for file in quota if (path := group_of(pid, "cpu") / file).exists()}
    assert told, "one of the two versions"
    assert told == {file: quota[file] for file in told}
    assert (group_of(pid, "pids") / "pids.max").read_text().strip() == "512"
    folder = group_of(pid, "pids")
    limited.cli("scale", "half-a-core", "--min", "0", "--idle-timeout", "1s")
    wait_until(lambda: not folder.exists(), 60, "its groups go with it")


def test_one_that_leaks_is_replaced_before_it_is_killed_and_no_request_is_lost(limited, model_dir) -> None:
    deploy(limited, model_dir, "leaks", GREEDY, "--memory", "150")
    first, statuses, over = pid_of(limited, "leaks"), [], threading.Event()
    time.sleep(11)  # until it has settled

    def ask_on() -> None:
        while not over.is_set():
            statuses.append(ask(limited, "leaks", 1 if len(statuses) < 128 else 0).status_code)
            time.sleep(0.05)

    thread = threading.Thread(target=ask_on)
    thread.start()
    try:
        wait_until(lambda: endpoint(limited, "leaks")["replicas"]["pids"] not in ([first], []), 60, "it is replaced")
        wait_until(lambda: first not in endpoint(limited, "leaks")["replicas"]["pids"], 60, "the first one has ended")
    finally:
        over.set()
        thread.join()
    assert set(statuses) == {200}
    found = endpoint(limited, "leaks")
    assert found["last_end"]["why"].startswith("replaced: it grew from ")
    assert found["deaths"] == 0
