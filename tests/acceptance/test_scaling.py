"""Scaling on a real platform: to zero and back for whoever asks, up for a crowd, and what is told about it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support import models, openloop
from tests.support.platform import CommandFailed, Platform
from tests.support.processes import wait_until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the client's own dependencies warn when imported
    import tritonclient.grpc as triton

COLD = "x-inferry-cold-start"
ELASTIC = ("--min-replicas", "0", "--max-replicas", "3", "--idle-timeout", "1s")


def loud(folder: Path, name: str, seconds: float = 0.0) -> Path:
    """A model that doubles, says when it is loaded, and takes its time for that."""
    return models.python_file(
        folder, name,
        "import time\n\n"
        "class Doubler:\n"
        "    def __init__(self):\n"
        f"        time.sleep({seconds})\n"
        "        print('loaded', flush=True)\n"
        "    def predict(self, inputs):\n"
        "        return {'y': [2 * float(x) for x in inputs['x']]}\n",
    )  # fmt: skip


def deploy(platform: Platform, folder: Path, name: str, *arguments: str, seconds: float = 0.0) -> None:
    sample = models.column_sample(folder, "x", [1.0, 2.5])
    platform.deploy(loud(folder, name.replace("-", "_"), seconds), name, *(arguments or ELASTIC), sample=sample)


def sleeps(platform: Platform, name: str) -> None:
    wait_until(lambda: state(platform, name) == "asleep", 20, f"{name} goes to sleep")


def state(platform: Platform, name: str) -> str:
    return platform.call("GET", f"/v1/endpoints/{name}", control=True).json()["state"]


def loads(platform: Platform, name: str) -> int:
    return platform.cli("logs", name)["lines"].count("loaded")


def ask(platform: Platform, name: str, value: float = 1.0, **headers: str) -> httpx.Response:
    return platform.call("POST", f"/predict/{name}", json={"x": value}, headers=headers)


def at_once(platform: Platform, name: str, count: int) -> list[httpx.Response]:
    async def all_of_them() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=count)
        key = {"authorization": f"Bearer {platform.key}"}
        async with httpx.AsyncClient(limits=limits, headers=key, timeout=30) as client:
            asked = [client.post(f"{platform.http}/predict/{name}", json={"x": x}) for x in range(count)]
            return list(await asyncio.gather(*asked))

    return asyncio.run(all_of_them())


def test_two_hundred_requests_at_zero_are_one_start_and_two_hundred_answers(platform, model_dir) -> None:
    deploy(platform, model_dir / "zero", "zero", *ELASTIC[:4], "--idle-timeout", "3s", seconds=0.3)
    sleeps(platform, "zero")
    before = loads(platform, "zero")
    answers = at_once(platform, "zero", 200)
    assert [answer.status_code for answer in answers] == [200] * 200
    assert [answer.json()["predictions"][0]["y"] for answer in answers] == [2.0 * x for x in range(200)]
    assert sum(COLD in answer.headers for answer in answers) > 0
    assert all(int(answer.headers[COLD]) > 0 for answer in answers if COLD in answer.headers)
    assert COLD not in ask(platform, "zero").headers
    assert loads(platform, "zero") == before + 1
    told = platform.cli("scale", "explain", "zero")["revisions"][0]
    assert (told["changes"][0]["before"], told["changes"][0]["replicas"]) == (0, 1)
    assert told["cold_start_s"] > 0
    assert "nobody asked for 3 s" in [change["reason"] for change in told["changes"]]


def test_a_client_of_grpc_wakes_it_too_and_is_told_so(platform, model_dir) -> None:
    platform.deploy(models.iris_onnx(model_dir), "zero-grpc", *ELASTIC)
    sleeps(platform, "zero-grpc")
    with contextlib.closing(triton.InferenceServerClient(platform.grpc)) as client:
        headers = {"authorization": f"Bearer {platform.key}"}
        assert client.is_model_ready("zero-grpc", headers=headers)
        rows = np.array(models.IRIS_ROWS, np.float32)
        name = platform.call("GET", "/v2/models/zero-grpc").json()["inputs"][0]["name"]
        tensor = triton.InferInput(name, list(rows.shape), "FP32")
        tensor.set_data_from_numpy(rows)
        answer = client.infer("zero-grpc", [tensor], headers=headers)
        assert answer.as_numpy("label").ravel().tolist() == models.IRIS_KINDS


def test_it_can_be_warmed_ahead_and_kept_awake(platform, model_dir) -> None:
    deploy(platform, model_dir / "warmed", "warmed")
    sleeps(platform, "warmed")
    done = platform.cli("warm", "warmed")
    assert done["ready"] == 1
    assert COLD not in ask(platform, "warmed").headers
    platform.cli("scale", "warmed", "--min", "1")
    told = platform.cli("scale", "explain", "warmed")["revisions"][0]
    assert told["scaling"] == {"max_replicas": 3, "idle_timeout_s": 1.0}, "what is not told is as always"
    time.sleep(2.5)
    assert state(platform, "warmed") == "ready"
    platform.cli("scale", "warmed", "2")
    told = platform.cli("scale", "explain", "warmed")["revisions"][0]
    assert (told["scaling"], told["ready"], told["wanted"]) == (None, 2, 2)


def test_limits_that_cannot_be_are_refused(platform, model_dir) -> None:
    deploy(platform, model_dir / "limits", "limits")
    for arguments, word in (
        (("--min", "4", "--max", "2"), "min_replicas is 4"),
        (("--min", "300"), "no min_replicas"),
        (("--target-concurrency", "20000"), "no target_concurrency"),
    ):
        with pytest.raises(CommandFailed, match=word):
            platform.cli("scale", "limits", *arguments)
    with pytest.raises(CommandFailed, match="Give a number of replicas"):
        platform.cli("scale", "limits")
    body = {"replicas": 2, "max_replicas": 3}
    answer = platform.call("POST", "/v1/endpoints/limits/scale", control=True, json=body)
    assert answer.status_code == 400


def test_a_schedule_starts_replicas_without_a_request_and_is_removed(platform, model_dir) -> None:
    deploy(platform, model_dir / "scheduled", "scheduled")
    sleeps(platform, "scheduled")
    entry = "* * * * * Europe/Berlin min=2 for=1h"
    platform.cli("scale", "scheduled", "--schedule", entry)

    def row() -> dict[str, Any]:
        found: dict[str, Any] = platform.cli("scale", "explain", "scheduled")["revisions"][0]
        return found

    wait_until(lambda: row()["ready"] == 2 and row()["last"], 60, "two run by the schedule")
    told = row()
    held = "at least 2 by the schedule * * * * * Europe/Berlin until "
    assert told["last"]["schedule"].startswith(held)
    assert told["scaling"]["schedule"] == [
        {"cron": "* * * * *", "zone": "Europe/Berlin", "min_replicas": 2, "for_s": 3600.0}
    ]
    for words in (("scale", "explain"), ("describe",)):
        assert entry in platform.run(*words, "scheduled").stdout
    with pytest.raises(CommandFailed, match="Nothing ends what the schedule"):
        platform.cli("scale", "scheduled", "--schedule", "0 8 * * * min=2")
    platform.cli("scale", "scheduled", "--no-schedule")
    sleeps(platform, "scheduled")
    assert "schedule" not in row()["scaling"]


def test_how_long_it_stays_may_be_chosen_from_the_cost_of_its_start(platform, model_dir) -> None:
    deploy(platform, model_dir / "chosen", "chosen", *ELASTIC[:4], "--idle-timeout", "auto")
    assert ask(platform, "chosen").status_code == 200

    def figures() -> dict[str, Any]:
        last: dict[str, Any] | None = explained(platform, "chosen")[0]["last"]
        return last["figures"] if last is not None else {}

    wait_until(lambda: figures().get("keep_why"), 60, "it is chosen")
    found = figures()
    assert found["keep_why"].startswith("a start of ")
    assert 10 <= found["keep_s"] <= 3600
    platform.cli("scale", "chosen", "--wait-price", "1000000")
    wait_until(lambda: figures().get("keep_s") == 3600, 60, "a wait that costs more keeps it for as long as may be")
    assert "60 min without a request: a start of " in platform.run("scale", "explain", "chosen").stdout


def late(platform: Platform, name: str) -> bool:
    told = explained(platform, name)[0]
    looked = [one for one in (told["last"], *told["changes"]) if one is not None]
    return any(one["figures"]["late"] > 0 for one in looked)


def test_replicas_follow_a_target_latency_and_late_answers_are_counted(platform, model_dir) -> None:
    folder = model_dir / "latency"
    sample = models.column_sample(folder, "seconds", [0.01])
    platform.deploy(
        models.sleeper(folder), "latency", "--min-replicas", "1", "--max-replicas", "4", "--target-latency", "80ms",
        sample=sample,
    )  # fmt: skip
    headers = {"authorization": f"Bearer {platform.key}", "content-type": "application/json"}
    wire = openloop.post(f"{platform.http}/predict/latency", b'{"seconds": 0.05}', headers)
    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(openloop.run, platform.http, wire, [(40.0, 6.0)])
        wait_until(lambda: late(platform, "latency"), 60, "with one replica, all but the first waited for long")
        samples = asking.result()
    assert {sample.status for sample in samples} == {200}
    told = explained(platform, "latency")[0]
    assert told["scaling"]["target_latency_s"] == 0.08
    assert told["changes"], "one replica would be busy all the time"
    assert "95 % within 80 ms" in told["changes"][-1]["reason"] or "requests a second" in told["changes"][-1]["reason"]
    with pytest.raises(CommandFailed, match="excludes a target concurrency"):
        platform.cli("scale", "latency", "--target-latency", "50ms", "--target-concurrency", "4")
    platform.cli("scale", "latency", "--target-concurrency", "4")
    assert not explained(platform, "latency")[0]["scaling"].get("target_latency_s")


@pytest.fixture
def stopped(platform: Platform) -> Iterator[Any]:
    """Stops the control process for a while."""
    pid = platform.control_pid()
    yield lambda: os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)


def test_a_request_at_zero_is_told_when_nothing_can_start(platform, model_dir, stopped) -> None:
    deploy(platform, model_dir / "lost", "lost")
    sleeps(platform, "lost")
    stopped()
    answer = ask(platform, "lost", **{"inferry-timeout": "1.5"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.json()["error"]["message"] == "No replica of the endpoint had started within 1.5 s."


def test_a_request_that_cannot_wait_so_long_is_told_how_long_it_takes(platform, model_dir) -> None:
    deploy(platform, model_dir / "slow-start", "slow-start", seconds=1.5)
    sleeps(platform, "slow-start")
    answer = ask(platform, "slow-start", **{"inferry-timeout": "0.2"})
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "longer than the deadline allows" in answer.json()["error"]["message"]
    assert ask(platform, "slow-start").status_code == 200, "it was woken all the same"


def test_control_that_is_killed_while_it_wakes_loses_nobody_and_after_a_crash_it_sleeps(
    start_platform, model_dir
) -> None:
    platform = start_platform()
    deploy(platform, model_dir / "killed", "killed", seconds=1.0)
    sleeps(platform, "killed")
    answers: list[httpx.Response] = []
    asking = [
        threading.Thread(target=lambda: answers.append(ask(platform, "killed", 3.0))) for _ in range(20)
    ]  # fmt: skip
    for one in asking:
        one.start()
    time.sleep(0.3)
    os.kill(platform.control_pid(), signal.SIGKILL)
    for one in asking:
        one.join()
    said = Counter((answer.status_code, answer.text) for answer in answers)
    assert said == {(200, answers[0].text): 20}, said
    assert answers[0].json()["predictions"][0]["y"] == 6.0
    platform.kill9()
    platform.start()
    assert state(platform, "killed") == "asleep", "what nobody asks for need not come back"
    assert ask(platform, "killed", 4.0).json()["predictions"][0]["y"] == 8.0


def test_a_canary_that_sleeps_wakes_on_its_share(platform, model_dir) -> None:
    folder = model_dir / "shares"
    sample = models.column_sample(folder, "x", [1, 2])
    platform.deploy(models.constant(folder, 1), "shares", *ELASTIC, sample=sample)
    platform.deploy(models.constant(folder, 2), "shares", "--traffic", "30", sample=sample)
    wait_until(lambda: not any(row["ready"] for row in explained(platform, "shares")), 20, "both sleep")
    body = {"x": 1}
    seen = [platform.call("POST", "/predict/shares", json=body) for _ in range(60)]
    assert {answer.status_code for answer in seen} == {200}
    counts = [answer.headers["inferry-revision"] for answer in seen]
    assert 5 <= counts.count("2") <= 35
    assert sum(COLD in answer.headers for answer in seen) == 2, "each woke once"
    platform.cli("rollback", "shares")
    assert platform.call("POST", "/predict/shares", json=body).headers["inferry-revision"] == "1"


def explained(platform: Platform, name: str) -> list[dict[str, Any]]:
    return platform.call("GET", f"/v1/endpoints/{name}/scale", control=True).json()["revisions"]


@pytest.mark.slow
def test_a_crowd_from_nothing_is_answered_and_leaves_nothing_behind(platform, model_dir) -> None:
    folder = model_dir / "crowd"
    sample = models.column_sample(folder, "seconds", [0.01])
    platform.deploy(
        models.sleeper(folder), "crowd", "--min-replicas", "0", "--max-replicas", "6", "--idle-timeout", "3s",
        sample=sample,
    )  # fmt: skip
    sleeps(platform, "crowd")
    body = b'{"seconds": 0.03}'
    headers = {"authorization": f"Bearer {platform.key}", "content-type": "application/json"}
    wire = openloop.post(f"{platform.http}/predict/crowd", body, headers)
    replica_seconds, most, over = 0.0, 0, threading.Event()

    def count() -> None:
        nonlocal replica_seconds, most
        while not over.wait(0.25):
            ready = sum(row["ready"] for row in explained(platform, "crowd"))
            replica_seconds, most = replica_seconds + ready * 0.25, max(most, ready)

    counting = threading.Thread(target=count)
    counting.start()
    try:
        samples = openloop.run(platform.http, wire, [(4.0, 1.0), (80.0, 12.0)])
        quiet = time.monotonic()
        sleeps(platform, "crowd")
    finally:
        over.set()
        counting.join()
    assert {sample.status for sample in samples} == {200}
    late = [sample.latency for sample in samples if sample.due > 3]
    assert openloop.quantile(late, 0.99) < 30, "within the deadline"
    assert most >= 3, "80 requests a second of 30 ms are more than two replicas can do"
    assert time.monotonic() - quiet < 15
    print(f"{len(samples)} answers, {replica_seconds:.0f} replica-seconds, p99 {openloop.quantile(late, 0.99):.3f} s")
