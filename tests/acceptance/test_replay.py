"""Requests that an endpoint kept are sent again to a revision, and a pipeline's stage goes by what comes of it."""

from __future__ import annotations

import gzip
import json
import time

import pytest

from tests.support import models, processes
from tests.support.platform import CommandFailed

SECRET = "x-secret-of-mine"
DOUBLES = "def predict(inputs):\n    return {'value': [2 * x for x in inputs['x']], 'same': [1] * len(inputs['x'])}\n"
WRONG_ABOVE_7 = (
    "def predict(inputs):\n"
    "    return {'value': [2 * x + (x > 7) for x in inputs['x']], 'same': [1] * len(inputs['x'])}\n"
)
FAILS_ABOVE_7 = (
    "def predict(inputs):\n"
    "    assert max(inputs['x']) <= 7\n"
    "    return {'value': [2 * x for x in inputs['x']], 'same': [1] * len(inputs['x'])}\n"
)


@pytest.fixture
def make(tmp_path):
    sample = models.column_sample(tmp_path / "samples", "x", [2, 3])

    def make(name: str, body: str) -> list[str]:
        return [str(models.python_file(tmp_path / "repo", name, body)), "--sample", str(sample)]

    return make


def ask_all(platform, name: str, count: int = 10) -> None:
    """One request for each number, through three doors."""
    for x in range(count):
        platform.predict(name, [{"x": x}], headers={"cookie": SECRET})
    body = {"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [3]}]}
    assert platform.call("POST", f"/v2/models/{name}/infer", json=body).status_code == 200
    packed = gzip.compress(json.dumps([{"x": 4}]).encode())
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    assert platform.call("POST", f"/predict/{name}", content=packed, headers=headers).status_code == 200


def kept(platform, name: str, count: int) -> dict:
    """What is kept, once so many are."""
    processes.wait_until(lambda: platform.cli("replay", name)["requests"] >= count, 20, f"{count} requests are kept")
    return platform.cli("replay", name)


@pytest.mark.both_databases
def test_kept_requests_are_sent_again_and_answers_compared(platform, make) -> None:
    platform.cli("deploy", *make("one", DOUBLES), "--name", "again")
    platform.predict("again", [{"x": 1}])
    assert platform.cli("replay", "again")["requests"] == 0, "nothing is kept unless it is asked for"
    assert "are kept" in refused(platform, "replay", "again", "--to", "1")["message"]
    platform.cli("traffic", "again", "--keep-inputs", "100")
    ask_all(platform, "again")
    assert kept(platform, "again", 12)["requests"] == 12

    platform.cli("deploy", *make("two", WRONG_ABOVE_7), "--name", "again", "--traffic", "0")
    result = platform.run("replay", "again", "--to", "again:2", "--json")
    assert result.returncode == 1, "answers differ"
    found = json.loads(result.stdout)
    assert (found["revision"], found["version"], found["against"]) == (2, 2, 1)
    assert (found["sent"], found["compared"], found["equal"], found["failed"]) == (12, 12, 10, 0)
    differing = {name: field["differing"] for name, field in found["fields"].items() if field["differing"]}
    assert differing == {"predictions[].value": 2}
    assert found["p50_ms"] > 0 < found["against_p99_ms"]
    alone = platform.cli("replay", "again", "--to", "2", "--no-compare", "--most", "3")
    assert (alone["sent"], alone["against"], alone["compared"]) == (3, 0, 0)
    said = platform.run("replay", "again", "--to", "2").stdout
    assert "10 of 12 answers equal" in said

    platform.cli("deploy", *make("three", FAILS_ABOVE_7), "--name", "again", "--traffic", "0")
    broken = json.loads(platform.run("replay", "again", "--to", "3", "--json").stdout)
    assert (broken["compared"], broken["failed"], broken["errors"]) == (10, 2, {"500": 2})

    time.sleep(1.2)  # what the gateway notes of a second has come
    assert platform.cli("replay", "again")["requests"] == 12, "a replay is not kept in its turn"
    with_state = [path for path in platform.home.rglob("inferry.db*") if SECRET.encode() in path.read_bytes()]
    assert with_state == [], "no header but the content type is kept"
    assert refused(platform, "replay", "again", "--to", "9")["code"] == "conflict"
    assert platform.cli("replay", "again", "--forget") == {"forgotten": 12}
    assert platform.cli("replay", "again")["requests"] == 0


def test_a_replay_at_a_rate_takes_its_time(platform, make) -> None:
    platform.cli("deploy", *make("paced", DOUBLES), "--name", "paced")
    platform.cli("traffic", "paced", "--keep-inputs", "100")
    for x in (1, 2):
        platform.predict("paced", [{"x": x}])
        time.sleep(1.0)
    kept(platform, "paced", 2)
    start = time.monotonic()
    found = platform.cli("replay", "paced", "--to", "1", "--rate", "1x")
    assert (found["sent"], found["against"]) == (2, 0), "a revision is not compared with itself"
    assert time.monotonic() - start >= 1.0


PIPELINE = """
endpoints:
  ladders: {}
pipelines:
  ladders:
    gates: false
    stages:
      - endpoint: ladders
        replay: {last: 1h, compared: 10, differing: 5%}
        smoke: 1
"""


def test_a_stage_compares_a_version_on_kept_requests_before_it_gets_any(platform, make, tmp_path) -> None:
    (tmp_path / "inferry.yaml").write_text(PIPELINE)
    platform.cli("apply", "-f", str(tmp_path / "inferry.yaml"))
    first = platform.cli("push", *make("first", DOUBLES), "--name", "ladders", "--wait")
    assert first["run"]["phase"] == "done", "the first version has nothing to be compared with"
    platform.cli("traffic", "ladders", "--keep-inputs", "100")
    ask_all(platform, "ladders")
    kept(platform, "ladders", 12)
    wrong = platform.run("push", *make("wrong", WRONG_ABOVE_7), "--name", "ladders", "--wait", "--json")
    ended = json.loads(wrong.stdout)["run"]
    assert (wrong.returncode, ended["phase"]) == (1, "failed")
    assert ended["reason"] == "The replay's answers differ: 2 of 12 (16.7 %, at most 5 %)."
    assert platform.cli("describe", "ladders")["version"] == 1
    right = platform.cli("push", *make("right", DOUBLES + "# once more\n"), "--name", "ladders", "--wait")
    assert right["run"]["phase"] == "done"
    steps = platform.cli("pipeline", "status", "ladders")["events"]
    assert "The replay agreed: 12 answers compared." in [step["words"] for step in steps]
    assert platform.cli("describe", "ladders")["version"] == 3


def refused(platform, *arguments) -> dict[str, str]:
    with pytest.raises(CommandFailed) as failure:
        platform.cli(*arguments)
    return json.loads(failure.value.stdout)["error"]
