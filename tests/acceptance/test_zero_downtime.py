"""Traffic moves between versions without a failed request."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.support import models
from tests.support.steady import Steady, describe


@pytest.mark.slow
def test_ten_deploys_and_ten_rollbacks_under_load_fail_no_request(start_platform, tmp_path: Path) -> None:
    platform = start_platform()
    sample = models.column_sample(tmp_path, "x", [1, 2])
    platform.deploy(models.constant(tmp_path, 0), "busy", sample=sample)
    body = json.dumps({"x": 1}).encode()
    with Steady(f"{platform.http}/predict/busy", body, platform.key, rate=200) as load:
        time.sleep(0.5)
        for value in range(1, 11):
            deployed = platform.deploy(models.constant(tmp_path, value), "busy", sample=sample)
            moved = time.monotonic()
            assert deployed["version"] == value + 1
        for _ in range(10):
            platform.cli("rollback", "busy")
            moved = time.monotonic()
        time.sleep(0.5)
    assert not load.failures, f"{len(load.failures)} of {len(load.outcomes)} failed: {describe(load.failures)}"
    assert len(load.outcomes) > 1000
    for outcome in load.outcomes:  # a version answers only with its own value
        assert json.loads(outcome.body)["predictions"][0]["value"] == int(outcome.version) - 1
    assert {outcome.version for outcome in load.since(moved)} == {"1"}
    assert set(load.versions()) == {str(number) for number in range(1, 12)}
