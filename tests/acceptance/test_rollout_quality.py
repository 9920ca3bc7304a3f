"""Rollouts that only feedback and scores can judge: a swapped and a drifted canary go back, a good one arrives."""

from __future__ import annotations

import contextlib
import time

import pytest

from tests.support import models
from tests.support.feeder import Feeder

WATCHED = """
steps:
  - weight: 50
    bake_s: {bake}
checks:
  - check: errors
    enough: 20
  - check: feedback
    enough: 10
  - check: scores
    enough: 20
    differ: 0.2
"""


def model(folder, name, chance):
    return models.python_file(
        folder,
        name,
        f"class Model:\n    def predict(self, inputs):\n        return {{'chance': [{chance} for x in inputs['x']]}}\n",
    )


CANARIES = {
    "swapped": "1 - x",  # each score stays as likely as it was: only the truth shows it
    "drifted": "(0.5 * x if x < 0.5 else 0.75 + 0.25 * x)",  # right all the same, but surer of it
    "alike": "x",
}


@pytest.mark.slow
def test_only_feedback_sees_swapped_classes_and_only_scores_see_drift(platform, tmp_path) -> None:
    sample = models.column_sample(tmp_path, "x", [0.25, 0.75])
    good = model(tmp_path, "good", "x")
    with contextlib.ExitStack() as stack:
        for name in CANARIES:
            platform.deploy(good, name, sample=sample)
        feeders = {
            name: stack.enter_context(Feeder(platform, name, None if name == "drifted" else lambda x: x >= 0.5))
            for name in CANARIES
        }
        time.sleep(3)  # the stable revisions are known by their answers before
        for name, chance in CANARIES.items():
            strategy = tmp_path / f"{name}.yaml"
            strategy.write_text(WATCHED.format(bake=25 if name == "alike" else 120))
            canary = model(tmp_path, f"{name}_canary", chance)
            platform.deploy(canary, name, "--strategy", str(strategy), sample=sample)
        ends = {name: ended(platform, name) for name in CANARIES}
    assert not [feeder.failures for feeder in feeders.values() if feeder.failures]
    assert {name: found["phase"] for name, found in ends.items()} == {
        "swapped": "aborted", "drifted": "aborted", "alike": "promoted",
    }  # fmt: skip
    assert ends["swapped"]["reason"].startswith("feedback-accuracy: accuracy is 0 over")
    assert ends["drifted"]["reason"].startswith("scores: ")
    evidence = platform.cli("rollout", "history", "alike")["decisions"][-1]["evidence"]
    assert {one["check"]: one["verdict"] for one in evidence} == {
        "errors": "pass", "feedback-accuracy": "pass", "scores": "pass",
    }  # fmt: skip
    versions = {version["version"]: version for version in platform.cli("quality", "swapped")["versions"]}
    accuracy = {number: version["metrics"][0]["value"] for number, version in versions.items()}
    assert accuracy[1] > 0.99
    assert accuracy[2] < 0.01


def ended(platform, name, seconds=150.0):
    end = time.monotonic() + seconds
    while True:
        found = platform.cli("rollout", "status", name)
        if found["phase"] in ("promoted", "aborted"):
            return found
        assert time.monotonic() < end, found
        time.sleep(1)
