"""Jobs through the ports and the command line: accepted durably, answered later, one end each."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import inferry
from inferry.errors import Conflict, IdempotencyMismatch, JobFailed
from tests.support import models, processes
from tests.support.platform import Platform
from tests.support.receiver import Receiver
from tests.support.storm import command, ended, storm, submitted, told

pytestmark = pytest.mark.both_databases

ASYNC = {"prefer": "respond-async"}


@pytest.fixture(scope="module")
def iris(platform: Platform, model_dir: Path) -> str:
    platform.deploy(models.iris_onnx(model_dir), "job-iris")
    return "job-iris"


SLOW = """
import time


class Slow:
    def predict(self, rows):
        for row in rows:
            if row == "die":
                import os
                os._exit(1)
            if row == "fail":
                raise ValueError("no such row")
            time.sleep(float(row))
        return rows
"""


@pytest.fixture(scope="module")
def slow(platform: Platform, model_dir: Path) -> str:
    folder = model_dir / "job-slow"
    folder.mkdir()
    (folder / "model.py").write_text(SLOW)
    platform.deploy(folder, "job-slow")
    return "job-slow"


@pytest.fixture(scope="module")
def client(platform: Platform):
    with inferry.connect(platform.control, platform.key) as made:
        yield made


def accepted(platform: Platform, path: str, **options):
    answer = platform.call("POST", path, **options)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == answer.json()["url"]
    return answer.json()


def test_a_request_is_accepted_now_and_answered_later(platform, iris):
    job = accepted(platform, f"/jobs/{iris}", json=models.IRIS_ROWS)
    answer = platform.call("GET", f"{job['url']}/result?wait=30")
    assert answer.status_code == 200
    assert answer.json() == platform.predict(iris, models.IRIS_ROWS)
    assert answer.headers["inferry-request-id"] == job["id"]
    shown = platform.call("GET", job["url"]).json()
    assert (shown["state"], shown["begun"], shown["failures"]) == ("succeeded", 1, 0)
    assert shown["result"] == f"{job['url']}/result"


@pytest.mark.parametrize("chunked", [False, True])
def test_the_doors_themselves_answer_later_when_asked_to(platform, iris, chunked):
    def sent(body: bytes):
        return iter([body]) if chunked else body

    body = b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [5.1, 3.5, 1.4, 0.2]}]}'
    for path, content in ((f"/predict/{iris}", b"[[5.1, 3.5, 1.4, 0.2]]"), (f"/v2/models/{iris}/infer", body)):
        now = platform.call("POST", path, content=content)
        later = platform.call("POST", path, content=sent(content), headers=ASYNC)
        assert (later.status_code, later.headers["preference-applied"]) == (202, "respond-async")
        answer = platform.call("GET", f"{later.headers['location']}/result?wait=30")
        assert answer.status_code == 200
        assert set(answer.json()) == set(now.json())


def test_the_client_submits_waits_and_reads(client, iris):
    job = client.submit_job(iris, models.IRIS_ROWS, priority=9)
    answer = client.job_result(job.id, wait=30)
    assert [row["label"] for row in answer.predictions] == models.IRIS_KINDS
    assert client.job(job.id).over
    assert job.id in {one.id for one in client.jobs(endpoint=iris, state="succeeded")}


def test_the_command_line_submits_lists_and_reads(platform, iris):
    job = platform.cli("jobs", "submit", iris, "--wait", "30s")
    assert job["state"] == "succeeded"
    assert platform.cli("jobs", "result", job["id"])["predictions"]
    assert job["id"] in {one["id"] for one in platform.cli("jobs", "list")["jobs"]}
    assert platform.run("jobs", "show", job["id"]).stdout.startswith("id")


def test_an_idempotency_key_gives_one_job(client, iris):
    key = uuid.uuid4().hex
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: client.submit_job(iris, models.IRIS_ROWS, idempotency_key=key), range(8)))
    assert len({job.id for job in made}) == 1
    with pytest.raises(IdempotencyMismatch):
        client.submit_job(iris, models.IRIS_ROWS[:1], idempotency_key=key)


def test_a_body_of_several_megabytes_is_kept_and_answered(client, platform, iris):
    rows = models.IRIS_ROWS * 40_000
    job = client.submit_job(iris, rows)
    assert job.size > 1 << 20
    assert len(client.job_result(job.id, wait=60).predictions) == len(rows)
    assert [path.name.partition(".")[0] for path in (platform.home / "jobs").iterdir()].count(job.id) == 1


def test_a_request_that_is_wrong_becomes_a_dead_letter_with_the_reason(client, iris):
    job = client.job(client.submit_job(iris, [["x"]]).id, wait=30)
    assert (job.state, job.reason.status, job.failures) == ("dead", 400, 1)
    with pytest.raises(JobFailed, match="expected 4 values"):
        client.job_result(job.id)
    again = client.job(client.retry_job(job.id).id, wait=30)
    assert (again.state, again.begun) == ("dead", 2)


def test_what_fails_is_tried_again_and_then_given_up(client, slow):
    job = client.job(client.submit_job(slow, ["fail"], attempts=2).id, wait=60)
    assert (job.state, job.failures, job.begun, job.reason.code) == ("dead", 2, 2, "model_failed")


def test_a_job_that_kills_its_replica_does_not_go_on_for_ever(client, slow):
    job = client.job(client.submit_job(slow, ["die"], attempts=2).id, wait=60)
    assert (job.state, job.failures, job.reason.code) == ("dead", 2, "replica_lost")
    assert client.job_result(client.submit_job(slow, [0]).id, wait=60).predictions == [0]


def test_a_cancelled_job_ends_at_once_also_while_it_is_under_way(client, slow):
    under_way = client.submit_job(slow, [20])
    behind = [client.submit_job(slow, [0]) for _ in range(2)]
    assert [client.job(job.id).position for job in behind][-1] in (1, 2, 3)
    for job in (under_way, *behind):
        assert client.cancel_job(job.id).state == "cancelled"
    assert client.job(under_way.id, wait=5).state == "cancelled"
    with pytest.raises(JobFailed, match="cancelled"):
        client.job_result(under_way.id)
    done = client.job(client.submit_job(slow, [0]).id, wait=60)
    assert done.state == "succeeded"
    with pytest.raises(Conflict):
        client.cancel_job(done.id)


def test_a_key_sees_its_own_jobs_and_calls_its_own_endpoints(platform, client, iris, slow):
    mine = client.create_key("job-mine", endpoints=(iris,))
    other = client.create_key("job-other")
    viewer = client.create_key("job-viewer", role="viewer")
    job = accepted(platform, f"/jobs/{iris}", json=models.IRIS_ROWS, key=mine.key)

    def said(key: str, path: str, method: str = "GET") -> int:
        return platform.call(method, path, key=key, json=[0] if method == "POST" else None).status_code

    assert said(mine.key, job["url"]) == 200
    assert said(client_key := platform.key, job["url"]) == 200, client_key[:4]
    assert said(other.key, job["url"]) == 404
    assert said(other.key, f"{job['url']}/result") == 404
    assert said(other.key, job["url"], "DELETE") == 404
    assert platform.call("GET", "/jobs", key=other.key).json() == {"jobs": []}
    assert said(mine.key, f"/jobs/{slow}", "POST") == 403
    assert said(viewer.key, "/jobs") == 403
    assert said("", "/jobs") == 401
    assert said(mine.key, "/jobs/no-such-endpoint", "POST") == 403
    assert said(other.key, "/jobs/no-such-endpoint", "POST") == 404


def test_a_job_of_a_revoked_key_is_given_up(platform, client, slow):
    key = client.create_key("job-gone")
    blocking = client.submit_job(slow, [1.5])
    job = accepted(platform, f"/jobs/{slow}", json=[0], key=key.key, headers={"inferry-priority": "0"})
    client.revoke_key("job-gone")
    client.job(blocking.id, wait=30)
    found = client.job(job["id"], wait=30)
    ended = (found.state, found.reason and found.reason.code)
    assert ended in [("dead", "key_revoked"), ("succeeded", None)], "sent before the key was gone, or given up"
    with pytest.raises(Conflict, match="platform's own"):
        client.revoke_key("inferry-jobs")


@pytest.mark.parametrize(
    "headers",
    [
        {"idempotency-key": "a b"}, {"inferry-priority": "10"}, {"inferry-attempts": "0"}, {"inferry-keep": "x"},
        {"inferry-timeout": "-1"}, {"content-encoding": "br"},
    ],
)  # fmt: skip
def test_wrong_wishes_are_refused_before_anything_is_kept(platform, iris, headers):
    answer = platform.call("POST", f"/jobs/{iris}", json=models.IRIS_ROWS, headers=headers)
    assert answer.status_code in (400, 415), answer.text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/jobs/xyz", 404), ("GET", f"/jobs/{'0' * 32}", 404), ("DELETE", f"/jobs/{'0' * 32}", 404),
        ("PUT", f"/jobs/{'0' * 32}", 405), ("POST", f"/jobs/{'0' * 32}/retry", 404), ("GET", "/jobs/a/b/c", 404),
        ("GET", "/jobs?state=odd", 400), ("GET", "/jobs?limit=x", 400),
    ],
)  # fmt: skip
def test_wrong_routes_are_refused(platform, method, path, status):
    assert platform.call(method, path).status_code == status


def test_results_expire(platform, client, iris):
    job = client.submit_job(iris, models.IRIS_ROWS, keep_s=1)
    assert client.job(job.id, wait=30).state == "succeeded"
    processes.wait_until(lambda: platform.call("GET", job.url).status_code == 404, 40, "the job is forgotten")


def has_jobs_process(platform: Platform) -> bool:
    return any("inferry.compose.jobs" in command(pid) for pid in platform.processes())


@pytest.mark.slow
def test_the_jobs_process_is_there_while_there_are_jobs(start_platform, model_dir):
    platform = start_platform()
    platform.deploy(models.iris_onnx(model_dir), "sometimes")
    with inferry.connect(platform.control, platform.key) as client:
        for _ in range(2):
            assert not has_jobs_process(platform)
            job = client.submit_job("sometimes", models.IRIS_ROWS, keep_s=1)
            assert client.job(job.id, wait=30).state == "succeeded"
            assert has_jobs_process(platform)
            processes.wait_until(lambda: not has_jobs_process(platform), 120, "the jobs process sleeps")
        assert "died" not in platform.output()


def test_the_queue_is_bounded(start_platform, tmp_path, model_dir):
    small = start_platform(env={"INFERRY_JOBS_MAX": "6", "INFERRY_JOBS_MAX_BYTES": "4000"})
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "model.py").write_text(SLOW)
    small.deploy(folder, "slow")
    statuses = [small.call("POST", "/jobs/slow", json=[9]) for _ in range(4)]
    assert [answer.status_code for answer in statuses] == [202, 202, 202, 429]
    assert int(statuses[-1].headers["retry-after"]) >= 1
    assert small.call("POST", "/jobs/slow", content=b"[" + b" " * 3000 + b"0]").status_code == 413
    for answer in statuses[:3]:
        assert small.call("DELETE", answer.json()["url"]).status_code == 200
    assert small.call("POST", "/jobs/slow", json=[0]).status_code == 202


@pytest.mark.slow
def test_every_acknowledged_job_ends_once_whatever_is_killed(start_platform, model_dir):
    platform = start_platform()
    platform.deploy(models.iris_onnx(model_dir), "storm")
    with Receiver() as receiver:
        secret = platform.cli("webhooks", "add", receiver.url, "--name", "ends", "--events", "job.*")["secret"]
        ids, states, kills = storm(platform, 300, seed=7, kills=10, pause_s=1.5)
        assert sum(states.values()) == 300
        assert sum(kills.values()) >= 2
        told(receiver, secret, ids, patience_s=60)


def test_jobs_outlive_all_processes(start_platform, model_dir):
    platform = start_platform()
    platform.deploy(models.iris_onnx(model_dir), "storm")
    ids = [submitted(platform, 5.1) for _ in range(20)]
    platform.kill9()
    platform.start()
    assert {ended(platform, id)[0] for id in ids} == {"succeeded"}
