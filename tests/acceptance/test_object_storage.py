"""Bundles in object storage: a platform whose home is lost comes back on another machine with its database."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import inferry
from inferry.errors import Conflict, InferryError
from tests.acceptance.test_database import server  # noqa: F401 - a fixture
from tests.support import models, processes
from tests.support.objects import BUCKET, ObjectServer
from tests.support.platform import CommandFailed, Platform

WAIT_S = 60


@pytest.fixture(scope="module")
def objects():
    made = ObjectServer().start()
    yield made
    made.stop()


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    return models.column_sample(tmp_path, "x", [1, 2])


def check_of(platform: Platform, name: str) -> dict:
    report = platform.call("GET", "/v1/doctor", control=True).json()
    return next(check for check in report["checks"] if check["name"] == name)


def answers(platform: Platform, name: str) -> bool:
    return platform.call("POST", f"/predict/{name}", json={"x": 1}).status_code == 200


def test_a_platform_whose_home_is_lost_comes_back(start_platform, server, objects, tmp_path, sample) -> None:  # noqa: F811
    url, pepper = server.fresh(), tmp_path / "pepper"
    env = {"INFERRY_DATABASE_URL": url, "INFERRY_BLOBS": f"s3://{BUCKET}/lost", **objects.env}
    first = start_platform(env=env)
    first.deploy(models.constant(tmp_path, 1), "kept", sample=sample)
    first.deploy(models.constant(tmp_path, 2), "kept", sample=sample)
    key = first.cli("keys", "create", "shop")["key"]
    pepper.write_bytes((first.home / "pepper").read_bytes())
    secret = objects.env["AWS_SECRET_ACCESS_KEY"].encode()
    model_processes = set(first.replica_pids())
    assert all(secret not in Path(f"/proc/{pid}/environ").read_bytes() for pid in model_processes)
    assert first.cli("doctor")["ok"]
    assert "s3://models/lost at http://127.0.0.1" in check_of(first, "object storage")["detail"]
    first.stop()
    shutil.rmtree(first.home)
    second = start_platform(env=env | {"INFERRY_PEPPER_FILE": str(pepper)})
    processes.wait_until(lambda: answers(second, "kept"), WAIT_S, "it answers again")
    assert second.predict("kept", {"x": 1}, key=key)["predictions"] == [{"value": 2}]  # the key works as before
    assert second.cli("rollback", "kept")["version"] == 1  # its bundle is fetched now
    assert second.predict("kept", {"x": 1})["predictions"] == [{"value": 1}]
    assert second.cli("doctor")["ok"]
    second.cli("delete", "kept")
    second.cli("delete", "kept", "--model", "--yes")
    processes.wait_until(lambda: objects.keys("lost/") == ["lost/platform.json"], WAIT_S, "nothing is left there")


def test_a_home_that_begins_to_use_object_storage_sends_what_it_has(start_platform, objects, tmp_path, sample) -> None:
    platform = start_platform()
    platform.deploy(models.constant(tmp_path, 1), "moved", sample=sample)
    platform.stop()
    platform.env |= {"INFERRY_BLOBS": f"s3://{BUCKET}/moved", **objects.env}
    platform.start()
    assert len(objects.keys("moved/manifests/")) == 1
    assert platform.cli("doctor")["ok"]
    ports = ["--port", "0", "--grpc-port", "0", "--control-port", "0"]
    refused = platform.run("up", "--home", str(tmp_path / "other"), *ports)  # its database knows none of them
    assert refused.returncode == 1
    assert "are those of" in refused.stderr
    assert len(objects.keys("moved/manifests/")) == 1


def test_object_storage_that_goes_away_stops_deploys_and_nothing_else(start_platform, tmp_path, sample) -> None:
    objects = ObjectServer().start()
    try:
        platform = start_platform(env={"INFERRY_BLOBS": f"s3://{BUCKET}/away", **objects.env})
        platform.deploy(models.constant(tmp_path, 1), "kept", sample=sample)
        objects.stop()
        with pytest.raises(CommandFailed, match="does not answer"):
            platform.deploy(models.constant(tmp_path, 2), "kept", sample=sample)
        assert platform.predict("kept", {"x": 1})["predictions"] == [{"value": 1}]
        platform.cli("scale", "kept", "2")  # from the bundle that lies here
        assert not check_of(platform, "object storage")["ok"]
    finally:
        objects.stop()


def test_rows_are_scored_from_object_storage_into_object_storage(
    platform, objects, model_dir, tmp_path, monkeypatch
) -> None:
    platform.deploy(models.iris_onnx(model_dir), "batch-objects")
    for name, value in (objects.env | {"INFERRY_HOME": str(tmp_path / "client")}).items():
        monkeypatch.setenv(name, value)
    rows = "".join(f"5.{n % 10},3.5,1.4,0.{n % 7}\n" for n in range(300))
    for name in ("one.csv", "two.csv", "_notes.csv", "readme.txt"):
        objects.put(f"in/{name}", f"a,b,c,d\n{rows}".encode())
    with inferry.connect(platform.control, platform.key) as client:
        done = client.batch("batch-objects", f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out/")
        assert (done.files, done.rows, done.errors, done.resumed) == (2, 600, 0, 0)
        assert objects.keys("out/") == [
            "out/.one.csv.manifest.json", "out/.two.csv.manifest.json", "out/one.csv", "out/two.csv",
        ]  # fmt: skip
        assert len(objects.get("out/two.csv").splitlines()) == 301
        again = client.batch("batch-objects", f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out/")
        assert (again.rows, again.resumed) == (600, 600)
        objects.put("in/one.csv", f"a,b,c,d\n{rows * 2}".encode())
        with pytest.raises(Conflict, match="is there already"):  # it was made of something else
            client.batch("batch-objects", f"s3://{BUCKET}/in/", f"s3://{BUCKET}/out/")
        local = tmp_path / "scores.jsonl"
        assert client.batch("batch-objects", f"s3://{BUCKET}/in/one.csv", local).rows == 600
        assert len(local.read_text().splitlines()) == 600
        table = tmp_path / "table.csv"
        table.write_text(f"a,b,c,d\n{rows}")
        assert client.batch("batch-objects", table, f"s3://{BUCKET}/up/table.jsonl").rows == 300
        assert len(objects.get("up/table.jsonl").splitlines()) == 300
        for missing in ("nothing.csv", "nothing/"):
            with pytest.raises(InferryError):
                client.batch("batch-objects", f"s3://{BUCKET}/{missing}", local)
    assert list((tmp_path / "client" / "batch").iterdir()) == []


@pytest.mark.parametrize(
    ("blobs", "words"),
    [("s3://missing/x", "no bucket 'missing'"), ("s3://", "names no bucket"), ("/srv/models", "names no bucket")],
)
def test_up_says_why_bundles_cannot_be_kept(start_platform, objects, blobs, words) -> None:
    with pytest.raises(AssertionError, match=words) as caught:
        start_platform("--blobs", blobs, env=objects.env)
    assert "Traceback" not in str(caught.value)
