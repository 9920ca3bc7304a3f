"""Traffic: shares, keys, pins, warm revisions, copies and rollback in one move, on a real platform."""

from __future__ import annotations

import json
import statistics
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from inferry.client import Client
from inferry.client.settings import resolve
from tests.support import models
from tests.support.steady import Steady, describe

BODY = {"x": 1}


@pytest.fixture(scope="session")  # as its platform: tests of other modules may come in between
def split(platform, tmp_path_factory):
    """The endpoint `split`: version 1 in revision 1 with 80 %, version 2 in revision 2 with 20 %."""
    folder = tmp_path_factory.mktemp("split")
    sample = models.column_sample(folder, "x", [1, 2])
    platform.deploy(models.constant(folder, 1), "split", sample=sample)
    made = platform.deploy(models.constant(folder, 2), "split", "--traffic", "20", sample=sample)
    assert made["revision"] == 2
    platform.cli("traffic", "split", "--key", "header:X-User")
    return platform


def answer(platform, **headers):
    found = platform.call("POST", "/predict/split", json=BODY, headers=headers)
    assert found.status_code == 200, found.text
    assert found.json()["predictions"][0]["value"] == int(found.headers["inferry-version"])
    return found.headers


def test_a_deploy_with_a_share_is_a_canary_that_users_stick_to(split) -> None:
    first = [answer(split, **{"x-user": f"u{user}"})["inferry-revision"] for user in range(100)]
    assert 8 <= first.count("2") <= 35
    split.cli("traffic", "split", "1=50", "2=50")
    second = [answer(split, **{"x-user": f"u{user}"})["inferry-revision"] for user in range(100)]
    assert all(now == "2" for before, now in zip(first, second, strict=True) if before == "2")
    split.cli("traffic", "split", "1=80", "2=20")
    third = [answer(split, **{"x-user": f"u{user}"})["inferry-revision"] for user in range(100)]
    assert all(then == "2" for then, now in zip(second, third, strict=True) if now == "2")


def test_what_was_counted_is_told_by_revision(split) -> None:
    before = {row["revision"]: row["requests"] for row in split.cli("traffic", "split")["revisions"]}
    for _ in range(5):
        answer(split, **{"inferry-revision": "2"})
    after = {row["revision"]: row for row in split.cli("traffic", "split")["revisions"]}
    assert after[2]["requests"] == before[2] + 5
    assert after[2]["errors"] == 0
    assert 0 < after[2]["p50_s"] <= after[2]["p99_s"]
    text = split.run("traffic", "split").stdout
    assert "header:X-User" in text
    assert "80%" in text


def test_a_pin_holds_until_it_is_taken_away(split) -> None:
    split.cli("traffic", "split", "--pin", "qa=2")
    assert {answer(split, **{"x-user": "qa"})["inferry-revision"] for _ in range(5)} == {"2"}
    assert split.cli("traffic", "split", "--unpin", "qa")["pins"] == {}


def test_answers_carry_the_request_id_of_the_client_or_one_of_their_own(split) -> None:
    assert answer(split, **{"x-request-id": "mine-1"})["inferry-request-id"] == "mine-1"
    own = [answer(split)["inferry-request-id"] for _ in range(3)]
    assert len(set(own)) == 3
    refused = split.call("POST", "/predict/split", json=BODY, headers={"x-request-id": "a b"})
    assert (refused.status_code, "x-request-id" in refused.text) == (400, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("1=50", "2=40"), "sum to 90"),
        (("1=100", "9=0", "--warm", "9"), "no revision 9"),
        (("--key", "cookie:x"), "header:NAME"),
        (("--mirror", "2:0"), "1 to 100"),
        (("--mirror", "7"), "no revision 7"),
        (("--pin", "qa=7"), "no revision 7"),
    ],
)
def test_a_plan_that_cannot_be_is_refused_and_changes_nothing(split, arguments, words) -> None:
    before = split.cli("traffic", "split")
    result = split.run("traffic", "split", *arguments)
    assert result.returncode == 1
    assert words in result.stderr
    after = split.cli("traffic", "split")
    assert [(row["revision"], row["percent"]) for row in after["revisions"]] == [
        (row["revision"], row["percent"]) for row in before["revisions"]
    ]
    assert after["pins"] == before["pins"]


@pytest.mark.parametrize("words", [("3:90",), ("--pin", "qa"), ("--mirror", "x"), ("--warm", "2", "--no-warm")])
def test_words_that_are_not_understood_are_wrong_usage(split, words) -> None:
    assert split.run("traffic", "split", *words).returncode == 2


def test_a_shadow_gets_copies_and_its_answers_are_compared(platform, tmp_path: Path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    platform.deploy(models.constant(tmp_path, 1), "shadowed", sample=sample)
    platform.deploy(models.constant(tmp_path, 2), "shadowed", "--traffic", "0", sample=sample)
    platform.cli("traffic", "shadowed", "--mirror", "2")
    for _ in range(20):
        assert platform.predict("shadowed", BODY)["predictions"] == [{"value": 1}]
    end = time.monotonic() + 10
    while True:
        report = platform.cli("traffic", "shadowed")["revisions"][1]["mirror"]
        if report["compared"] + report["dropped"] == 20 or time.monotonic() > end:
            break
        time.sleep(0.05)
    assert report["compared"] >= 10
    assert report["equal"] == 0
    assert report["fields"]["predictions[].value"]["largest"] == 1.0
    assert "predictions[].value" in platform.run("traffic", "shadowed").stdout
    after = platform.cli("traffic", "shadowed", "2=100")
    assert after["mirror"] is None
    assert [row["revision"] for row in after["revisions"]] == [2]


@pytest.mark.slow
def test_fifty_rollbacks_in_one_move_under_load(start_platform, tmp_path: Path) -> None:
    """From the command to all new requests on the old revision, which is warm: p99 under 100 ms, nothing fails."""
    platform = start_platform()
    sample = models.column_sample(tmp_path, "x", [1, 2])
    platform.deploy(models.constant(tmp_path, 1), "moved", sample=sample)
    platform.deploy(models.constant(tmp_path, 2), "moved", "--keep-warm", sample=sample)
    spent: list[float] = []
    back: list[float] = []
    with (
        Steady(f"{platform.http}/predict/moved", json.dumps(BODY).encode(), platform.key, rate=500) as load,
        Client(resolve(platform.control, platform.key, None)) as client,
    ):
        time.sleep(0.3)
        for _ in range(50):
            begun = time.monotonic()
            client.rollback("moved")
            back.append(time.monotonic())
            spent.append(back[-1] - begun)
            time.sleep(0.04)
            client.share_out("moved", {2: 100}, warm=[1])
            time.sleep(0.02)
    assert not load.failures, f"{len(load.failures)} of {len(load.outcomes)} failed: {describe(load.failures)}"
    assert Counter(outcome.status for outcome in load.outcomes)[200] > 1000
    for moment in back:  # sent after the rollback returned and before the next move could begin
        versions = {o.version for o in load.outcomes if moment <= o.sent < moment + 0.04}
        assert versions <= {"1"}
    print(f"rollback: median {statistics.median(spent) * 1000:.1f} ms, largest {max(spent) * 1000:.1f} ms")
    assert max(spent) < 1.0  # the figure itself is for a quiet machine


@pytest.mark.both_databases
def test_traffic_changes_beside_each_other_leave_one_whole_state(split) -> None:
    plans = [("1=60", "2=40"), ("1=30", "2=70"), ("1=80", "2=20")]
    threads = [threading.Thread(target=split.cli, args=("traffic", "split", *plan)) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shares = {row["revision"]: row["percent"] for row in split.cli("traffic", "split")["revisions"]}
    assert tuple(f"{number}={percent}" for number, percent in shares.items()) in plans
    split.cli("traffic", "split", "1=80", "2=20")  # as the others expect it, in whatever order they run
