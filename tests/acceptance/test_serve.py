"""`inferry serve`: one model, one gateway, no control and no database."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import models, processes
from tests.support.platform import inferry_command


class Served:
    """A running `inferry serve`."""

    def __init__(self, home: Path, path: Path, *arguments: str) -> None:
        ready = home.with_name("serve.ready")
        ready.unlink(missing_ok=True)
        self.env = {**os.environ, "INFERRY_HOME": str(home)}
        self.process = subprocess.Popen(
            [*inferry_command(), "serve", str(path), "--port", "0", "--grpc-port", "0", "--ready-file", str(ready), *arguments],
            env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        processes.wait_until(lambda: ready.exists() or self.process.poll() is not None, 240, "serve is ready")
        assert self.process.poll() is None, self.process.stdout.read().decode()
        self.facts = json.loads(ready.read_text())

    def predict(self, body: object) -> httpx.Response:
        url = f"{self.facts['http']}/predict/{self.facts['endpoint']}"
        return httpx.post(url, json=body, headers={"authorization": f"Bearer {self.facts['key']}"}, timeout=20)

    def stop(self) -> int:
        children = processes.tree(self.process.pid)
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.process.stdout.close()
        processes.wait_until(lambda: not any(map(processes.alive, children)), 5, "all its processes are gone")
        return code


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def start(path: Path, *arguments: str) -> Served:
        made.append(Served(tmp_path / "home", path, *arguments))
        return made[-1]

    yield start
    for one in made:
        if one.process.poll() is None:
            one.stop()


def test_a_file_is_served_and_its_replica_is_replaced_when_it_dies(serve, tmp_path: Path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    served = serve(models.constant(tmp_path, 7), "--name", "seven", "--sample", str(sample))
    assert served.predict({"x": 1}).json()["predictions"] == [{"value": 7}]
    assert httpx.post(f"{served.facts['http']}/predict/seven", json={"x": 1}).status_code == 401
    replica = processes.tree(served.process.pid)[-1]
    os.kill(replica, signal.SIGKILL)
    assert served.predict({"x": 1}).json()["predictions"] == [{"value": 7}]
    assert served.stop() in (0, -signal.SIGTERM)


def test_the_one_model_answers_where_mlflows_server_would(serve, tmp_path: Path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    served = serve(models.constant(tmp_path, 7), "--sample", str(sample))
    client = httpx.Client(base_url=served.facts["http"], headers={"authorization": f"Bearer {served.facts['key']}"})
    with client:
        assert client.get("/ping").status_code == 200
        assert client.post("/invocations", json={"inputs": {"x": [1, 2]}}).json() == {"predictions": [7, 7]}
        csv = client.post("/invocations", content="x\n1\n", headers={"content-type": "text/csv"})
        assert csv.json() == {"predictions": [7]}
        untold = client.post("/feedback", json={"request_id": "a", "truth": 7})
        assert untold.status_code == 501
        assert "inferry up" in untold.json()["error"]["help"]
        client.headers.pop("authorization")
        assert client.post("/invocations", json={"inputs": {"x": [1, 2]}}).status_code == 401


def test_a_bundle_of_a_platform_is_served_as_it_is(serve, platform, tmp_path: Path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    deployed = platform.deploy(models.constant(tmp_path, 5), "bundled", sample=sample)
    served = serve(platform.home / "bundles" / deployed["bundle"], "--name", "five")
    assert served.predict({"x": 1}).json()["predictions"] == [{"value": 5}]


def test_a_key_of_ones_own_is_taken(serve, platform, tmp_path: Path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    served = serve(models.constant(tmp_path, 1), "--sample", str(sample), "--key", platform.key)
    assert served.facts["key"] == platform.key
    assert served.predict({"x": 1}).status_code == 200


def refused(home: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*inferry_command(), "serve", *arguments, "--port", "0", "--grpc-port", "0"],
        cwd=folder, env={**os.environ, "INFERRY_HOME": str(home)},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.slow
def test_a_model_is_converted_as_by_a_deploy_unless_asked_not_to(serve, tmp_path: Path) -> None:
    trained = models.jobs(tmp_path)
    arguments = ("--sample", str(trained.with_suffix(".csv")))
    row = {"age": 41, "income": 3.5, "job": "nurse", "member": True}
    answers = []
    for more, said in (((), "times faster"), (("--native",), "native: as it was asked")):
        served = serve(trained, *arguments, *more)
        answers.append(served.predict([row]).json()["predictions"][0]["label"])
        served.process.send_signal(signal.SIGTERM)
        assert said in served.process.communicate()[0].decode()
    assert answers[0] == answers[1]


def test_what_cannot_serve_as_onnx_is_refused_where_that_is_required(platform, tmp_path: Path) -> None:
    sample = models.column_sample(tmp_path, "x", [1, 2])
    model = models.constant(tmp_path, 9)
    done = refused(tmp_path / "home", tmp_path, str(model), "--sample", str(sample), "--convert=require")
    assert done.returncode == 1
    assert "there is no converter for the runtime python" in done.stderr
    bundle = platform.home / "bundles" / platform.deploy(model, "native-bundle", sample=sample)["bundle"]
    done = refused(tmp_path / "home", tmp_path, str(bundle), "--name", "x", "--convert=require")
    assert done.returncode == 1
    assert "The bundle serves natively, by the runtime python" in done.stderr
    assert refused(tmp_path / "home", tmp_path, str(model), "--native", "--convert=auto").returncode == 2


@pytest.mark.parametrize("arguments", [["nothing-here.onnx"], ["model.bin"], ["model.bin", "--key", "short"]])
def test_what_cannot_be_served_is_refused_with_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "model.bin").write_bytes(b"no model at all")
    done = refused(tmp_path / "home", tmp_path, *arguments)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "error: " in done.stderr.lower()
