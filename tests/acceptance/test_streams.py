"""A model that yields, deployed: its answer as events to clients of several kinds, whole to the others."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from tests.support import models, processes
from tests.support.platform import Platform

YIELDS = """
import time
from pathlib import Path

def predict(inputs):
    for number in range(inputs["to"]):
        if number == inputs.get("fail"):
            raise ValueError("it breaks")
        yield {"number": number}
        time.sleep(inputs.get("pause", 0))
"""


@pytest.fixture(scope="module")
def endpoint(platform: Platform, model_dir: Path) -> str:
    platform.deploy(models.python_file(model_dir, "counts", YIELDS), "counts")
    return "counts"


def events(platform: Platform, endpoint: str, body: object, **headers: str) -> list[tuple[float, str]]:
    """Each line that is not blank, with when it came."""
    sent = {"authorization": f"Bearer {platform.key}", "accept": "text/event-stream", **headers}
    start = time.monotonic()
    with httpx.stream("POST", f"{platform.http}/predict/{endpoint}", json=body, headers=sent, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream"
        return [(time.monotonic() - start, line) for line in answer.iter_lines() if line]


def number(line: str) -> int:
    return json.loads(line.removeprefix("data: "))["predictions"]["number"]


def test_parts_come_as_they_are_made(platform: Platform, endpoint: str) -> None:
    *parts, name, last = events(platform, endpoint, {"to": 4, "pause": 0.5})
    assert [number(line) for _, line in parts] == [0, 1, 2, 3]
    assert (name[1], last[1]) == ("event: end", "data: {}")
    before_the_last = [parts[-1][0] - moment for moment, _ in parts[:-1]]
    for measured, made in zip(before_the_last, (1.5, 1.0, 0.5), strict=True):
        assert measured > made - 0.3, before_the_last  # a busy machine may show one a little later


def test_who_asks_for_json_gets_all_parts_in_a_list(platform: Platform, endpoint: str) -> None:
    assert platform.predict(endpoint, {"to": 3})["predictions"] == [{"number": 0}, {"number": 1}, {"number": 2}]


def test_curl_shows_the_events(platform: Platform, endpoint: str) -> None:
    for more in ([], ["--http1.0"], ["-H", "Transfer-Encoding: chunked"]):
        key = f"Authorization: Bearer {platform.key}"
        done = subprocess.run(
            ["curl", "-sSN", f"{platform.http}/predict/{endpoint}", "-H", key, "-H", "Accept: text/event-stream",
             "-d", '{"to": 2}', *more],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        blocks = done.stdout.split("\n\n")
        assert [number(block) for block in blocks[:2]] == [0, 1]
        assert blocks[2:] == ["event: end\ndata: {}", ""]


def test_an_error_before_the_first_part_has_its_status_and_one_behind_it_is_an_event(platform, endpoint) -> None:
    answer = platform.call(
        "POST", f"/predict/{endpoint}", json={"to": 3, "fail": 0}, headers={"accept": "text/event-stream"}
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "model_failed")
    first, name, told = (line for _, line in events(platform, endpoint, {"to": 3, "fail": 1}))
    assert (number(first), name) == (0, "event: error")
    assert json.loads(told.removeprefix("data: "))["error"]["code"] == "model_failed"


def test_the_time_limit_is_the_longest_pause(platform: Platform, endpoint: str) -> None:
    limit = {"inferry-timeout": "0.6"}
    *parts, _, _ = events(platform, endpoint, {"to": 4, "pause": 0.25}, **limit)
    assert len(parts) == 4
    *_, name, told = events(platform, endpoint, {"to": 4, "pause": 1.5}, **limit)
    assert name[1] == "event: error"
    assert "deadline_exceeded" in told[1]
    processes.wait_until(lambda: platform.predict(endpoint, {"to": 1}), 10, "the replica serves again")


def test_others_are_served_between_two_parts(platform: Platform, endpoint: str) -> None:
    sent = {"authorization": f"Bearer {platform.key}", "accept": "text/event-stream"}
    url, long = f"{platform.http}/predict/{endpoint}", {"to": 100_000, "pause": 0.001}
    with httpx.stream("POST", url, json=long, headers=sent, timeout=30) as answer:
        lines = answer.iter_lines()
        assert number(next(lines)) == 0
        for _ in range(5):
            assert len(platform.predict(endpoint, {"to": 3})["predictions"]) == 3
        assert next(line for line in lines if line)
    start = time.monotonic()  # hanging up ends it: 100 s of work are not done
    assert platform.predict(endpoint, {"to": 1})["predictions"] == [{"number": 0}]
    assert time.monotonic() - start < 10


def test_a_model_that_does_not_yield_answers_with_one_event(platform: Platform, model_dir: Path) -> None:
    platform.deploy(models.iris_onnx(model_dir), "still")
    one, name, last = (line for _, line in events(platform, "still", models.IRIS_ROWS))
    answer = json.loads(one.removeprefix("data: "))
    assert [row["label"] for row in answer["predictions"]] == models.IRIS_KINDS
    assert (name, last) == ("event: end", "data: {}")
