"""Experiments on a real platform: units are exposed once, outcomes counted once, and a winner is found and kept."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.support import models
from tests.support.feeder import Feeder

pytestmark = pytest.mark.both_databases


def shop(platform, folder, name):
    """Two versions of a shop: the second sells three times as often."""
    sample = models.column_sample(folder, "x", [0.25, 0.75])
    for number in (1, 2):
        file = models.python_file(
            folder,
            f"shop_{number}",
            f"class Shop:\n    def predict(self, inputs):\n        return {{'price': [{number}.5 for _ in inputs['x']]}}\n",
        )
        platform.deploy(file, name, *(() if number == 1 else ("--traffic", "0")), sample=sample)


def bought(id, x, answer):
    chance = {"1": 0.2, "2": 0.6}[answer.headers["inferry-version"]]
    return {"request_id": id, "values": {"bought": float(x < chance)}}


def start(platform, name, *more, variants="1=50,2=50", effect="0.1"):
    words = ("experiment", "start", name, "--variants", variants, "--metric", "bought", "--min-effect", effect, *more)
    return platform.cli(*words)


@pytest.mark.slow
def test_a_better_variant_wins_though_control_dies_meanwhile(start_platform, tmp_path) -> None:
    platform = start_platform()
    shop(platform, tmp_path, "shop")
    platform.cli("traffic", "shop", "--key", "header:x-user")
    made = start(platform, "shop", "--expected", "0.2")
    assert made["planned"] > 100
    with Feeder(platform, "shop", None, rate=60, users=3000, item=bought) as feeder:
        time.sleep(4)
        os.kill(platform.control_pid(), signal.SIGKILL)
        end = time.monotonic() + 90
        while True:
            done = platform.run("experiment", "status", "shop", "--json")
            if done.returncode == 0 and '"verdict":"winner"' in done.stdout:
                break
            assert time.monotonic() < end, done.stdout
            time.sleep(1)
        for refused in (("traffic", "shop", "2=100"), ("scale", "shop", "2"), ("experiment", "start", "shop", "--variants",
                        "1=50,2=50", "--metric", "m", "--min-effect", "1")):  # fmt: skip
            result = platform.run(*refused)
            assert result.returncode == 1
            assert "experiment at 'shop' is under way" in result.stderr
    assert not feeder.failures
    found = platform.cli("experiment", "report", "shop")
    (comparison,) = found["report"]["comparisons"]
    assert (found["report"]["winner"], comparison["variant"], comparison["significant"]) == ("2", "2", True)
    assert comparison["low"] < 0.4 < comparison["high"]
    assert comparison["lift"] > 0.5
    assert found["report"]["mismatch_p"] > 0.001
    seen = {one["variant"]: one for one in found["seen"]}
    units = sum(one["exposed"] for one in seen.values())
    assert units < feeder.sent  # a user counts once
    assert all(one["outcome"]["count"] <= one["exposed"] for one in seen.values())
    assert 0.35 < seen["1"]["exposed"] / units < 0.65
    shown = platform.run("experiment", "report", "shop").stdout
    assert "interval at all times" in shown
    ended = platform.cli("experiment", "stop", "shop", "--winner", "2", "--reason", "sells more")
    assert (ended["ended_by"], ended["reason"], ended["report"]["winner"]) == ("admin", "sells more", "2")
    rows = platform.cli("traffic", "shop")["revisions"]
    assert [(row["revision"], row["percent"]) for row in rows] == [(2, 100)]
    assert platform.run("experiment", "stop", "shop").returncode == 1
    (listed,) = platform.cli("experiment", "list", "shop")["experiments"]
    assert listed["id"] == made["id"]
    assert platform.cli("doctor")["ok"]


def test_a_rollback_ends_an_experiment(platform, tmp_path) -> None:
    shop(platform, tmp_path, "shop-back")
    platform.cli("traffic", "shop-back", "2=100", "--warm", "1")
    start(platform, "shop-back", variants="2=90,1=10")
    rows = platform.cli("traffic", "shop-back")["revisions"]
    assert [(row["revision"], row["percent"]) for row in rows] == [(1, 10), (2, 90)]
    platform.cli("rollback", "shop-back", "--revision", "1")
    (found,) = platform.cli("experiment", "list", "shop-back")["experiments"]
    assert found["reason"] == "a rollback was asked for"
    platform.cli("delete", "shop-back", "--yes")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--variants", "1=50,2=40"), 1, "sum to 100"),
        (("--variants", "1=100"), 1, "two or more"),
        (("--variants", "1=50,7=50"), 1, "no revision 7"),
        (("--variants", "1=50,1=50"), 2, "not understood"),
        (("--variants", "one"), 2, "not understood"),
        (("--alpha", "2"), 1, "alpha"),
        (("--min-effect", "0"), 1, "min_effect"),
        (("--expected", "3"), 1, "expected"),
        (("--at-least", "long"), 2, "not understood"),
    ],
)
def test_an_experiment_that_cannot_be_judged_is_refused(platform, tmp_path, words, code, said) -> None:
    name = "shop-bad"
    if name not in {one["name"] for one in platform.cli("endpoints")["endpoints"]}:
        shop(platform, tmp_path, name)
    given = {"--variants": "1=50,2=50", "--metric": "bought", "--min-effect": "0.1"} | dict([words])
    result = platform.run("experiment", "start", name, *(word for pair in given.items() for word in pair))
    assert result.returncode == code, result.stderr
    assert said in result.stderr
