"""More models than memory: they come when asked for and leave for others, and nobody loses a request by it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import inferry
from inferry.backends.memory import shared_by
from tests.support import density, models
from tests.support.platform import CommandFailed, Platform
from tests.support.processes import wait_until

BUDGET_MB = 150


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A platform with little memory for models, and sixty of them."""
    folder = tmp_path_factory.mktemp("small")
    platform = Platform(folder / "home", "--memory-budget", f"{BUDGET_MB}MB").start()
    try:
        yield platform
    finally:
        platform.close()


@pytest.fixture(scope="module")
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kinds")
    return [
        *(density.lookup_onnx(folder, size) for size in (0.1, 4, 12, 24)), density.sorted_python(folder, 8, 2),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def endpoints(small, kinds):
    with inferry.connect(small.control, key=small.key) as client:
        return {one.name: one.kind for one in density.deploy(kinds, 60, client)}


def status(platform: Platform):
    return platform.cli("status")["memory"]


def test_sixty_models_share_memory_for_six_and_no_request_is_lost(small, endpoints) -> None:
    trace = density.zipf(list(endpoints), 1.1, 160, 8.0, seed=1)
    with density.sampled(small, 0.2) as seen:
        answers = asyncio.run(density.ask(small, endpoints, trace))
    assert Counter(one.status for one in answers) == {200: len(trace)}, [one for one in answers if one.status != 200]
    # Measured from outside, starting ones included: what grows is known to the platform a second later.
    assert max(seen.held) <= BUDGET_MB * 1.05e6
    assert sum(held > BUDGET_MB * 1e6 for held in seen.held) <= len(seen.held) / 50
    assert max(seen.replicas) >= 3
    told = status(small)
    assert told["left"] > 10
    assert told["counted_mb"] <= BUDGET_MB
    assert 0 < sum(one.cold_ms > 0 for one in answers) < len(answers)
    reasons = explained(small, endpoints)
    assert any(reason.startswith("made room for dense-") for reason in reasons), reasons


def explained(platform: Platform, endpoints) -> list[str]:
    with inferry.connect(platform.control, key=platform.key) as client:
        found = [client.scaling(name).revisions[0] for name in list(endpoints)[:30]]
    return [change.reason for one in found for change in one.changes]


def test_a_model_that_is_larger_than_the_budget_is_refused_and_says_why(small, tmp_path) -> None:
    with pytest.raises(CommandFailed, match="all models together may take 150 MB") as refused:
        small.deploy(density.lookup_onnx(tmp_path, 155).path, "too-large")
    assert "--memory-budget" in refused.value.stderr + refused.value.stdout
    assert "too-large" not in [one["name"] for one in small.cli("endpoints")["endpoints"]]


def test_one_that_computes_stays_and_who_needs_its_memory_is_told_when_to_come_again(small, tmp_path) -> None:
    slow, large = (holder(tmp_path, "slow", 88), holder(tmp_path, "large", 72))
    sample = models.column_sample(tmp_path, "x", [0.0])
    elastic = ("--min-replicas", "0", "--idle-timeout", "600s")
    small.deploy(slow, "at-work", *elastic, sample=sample)
    small.deploy(large, "large", *elastic, sample=sample)
    asked: list[int] = []

    def ask() -> None:
        asked.append(small.call("POST", "/predict/at-work", json={"x": 15.0}).status_code)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        wait_until(lambda: busy(small, "at-work"), 60, "it computes")
        wait_until(lambda: not loaded(small, "large"), 10, "what it takes is measured, and the other one leaves")
        hasty = {"inferry-timeout": "2"}
        answer = small.call("POST", "/predict/large", json={"x": 0.0}, headers=hasty)
        assert answer.status_code == 503, (answer.text, asked, status(small))
        assert int(answer.headers["retry-after"]) >= 1
        assert "at work" in str(status(small)["waiting"])
        found = small.call("GET", "/v1/endpoints/large", control=True).json()
        assert (found["state"], "waits for memory" in found["problem"]) == ("waiting", True)
        patient = small.call("POST", "/predict/large", json={"x": 0.0})
        assert patient.status_code == 200, "it was held until the other one had answered"
    finally:
        thread.join()
    assert asked == [200], "nobody leaves in the middle of a request"
    assert any(reason == "made room for large" for reason in explained(small, ["at-work"]))


def holder(folder: Path, name: str, megabytes: int) -> Path:
    """A class that holds so much, and takes as many seconds as it is asked for."""
    return models.python_file(
        folder / name, name,
        "import time\nimport numpy as np\n\n"
        "class Holder:\n"
        "    def load(self):\n"
        f"        self.held = np.ones({megabytes * 125_000})\n\n"
        "    def predict(self, inputs):\n"
        "        time.sleep(float(inputs['x'][0]))\n"
        "        return {'y': [float(self.held[0])]}\n",
    )  # fmt: skip


def loaded(platform: Platform, name: str) -> bool:
    return any(row["endpoint"] == name for row in status(platform)["loaded"])


def busy(platform: Platform, name: str) -> bool:
    return any(row["endpoint"] == name and row["stays"] == "at work" for row in status(platform)["loaded"])


def test_what_always_runs_is_never_asked_to_leave(small, endpoints) -> None:
    small.cli("scale", "dense-0", "--min", "1")
    for name in list(endpoints)[1:12]:
        small.predict(name, endpoints[name].body)
    assert small.call("GET", "/v1/endpoints/dense-0", control=True).json()["state"] == "ready"
    time.sleep(0.1)
    rows = {row["endpoint"]: row["stays"] for row in status(small)["loaded"]}
    assert rows["dense-0"] == "it always runs"


def held(platform: Platform, name: str) -> list[float]:
    return [row["memory_mb"] for row in status(platform)["loaded"] if row["endpoint"] == name]


@pytest.mark.parametrize(
    ("make", "arguments"),
    [(density.external_onnx, ()), (density.mapped_numpy, ()), (density.neighbours, ("--native",))],
    ids=["onnx", "numpy", "sklearn"],
)
def test_replicas_of_one_bundle_share_its_weights(platform, tmp_path, make, arguments) -> None:
    kind = make(tmp_path, 30)
    name = f"shares-{kind.name}"
    platform.deploy(kind.path, name, "--replicas", "2", *arguments, sample=kind.sample)
    for _ in range(20):
        platform.predict(name, kind.body)
    wait_until(lambda: shared_mb(platform, name) > 20, 60, "what is common is counted once")
    wait_until(lambda: max(held(platform, name)) < 28, 60, "the weights are in none of them alone")
    assert len(held(platform, name)) == 2


def shared_mb(platform: Platform, name: str) -> float:
    pids = platform.call("GET", f"/v1/endpoints/{name}", control=True).json()["replicas"]["pids"]
    bundle = next(row["bundle"] for row in status(platform)["loaded"] if row["endpoint"] == name)
    return min(shared_by(pid, bundle) for pid in pids) / 1e6
