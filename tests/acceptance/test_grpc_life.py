"""Calls by gRPC while things go wrong: stops, deaths, deadlines, cancellations, a client that does not read."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inferry.gateway import http2_frames as h2
from inferry.gateway.hpack import block_of
from tests.support import models, processes
from tests.support.platform import Platform, inferry_command

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the clients' own dependencies warn when imported
    import grpc
    import tritonclient.grpc as triton
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from tritonclient.utils import InferenceServerException


def sleep_for(seconds: float) -> list[triton.InferInput]:
    tensor = triton.InferInput("seconds", [1], "FP64")
    tensor.set_data_from_numpy(np.array([seconds], np.float64))
    return [tensor]


def deploy_sleeper(platform: Platform, folder: Path, name: str) -> None:
    platform.deploy(models.sleeper(folder), name, sample=models.column_sample(folder, "seconds", [0.01]))


@pytest.fixture(scope="module")
def slow(platform: Platform, model_dir: Path) -> str:
    deploy_sleeper(platform, model_dir / "grpc-slow", "grpc-slow")
    return "grpc-slow"


class Call(threading.Thread):
    """One call in a thread of its own."""

    def __init__(self, platform: Platform, name: str, seconds: float, **more: Any) -> None:
        super().__init__()
        self.error: InferenceServerException | None = None
        self.answer: Any = None
        headers = {"authorization": f"Bearer {platform.key}"}
        self.target, self.arguments = platform.grpc, (name, sleep_for(seconds))
        self.options = {"headers": headers, **more}
        self.start()

    def run(self) -> None:
        with triton.InferenceServerClient(self.target) as client:
            try:
                self.answer = client.infer(*self.arguments, **self.options)
            except InferenceServerException as error:
                self.error = error


def test_calls_under_way_are_answered_before_the_platform_ends(start_platform, tmp_path: Path) -> None:
    platform = start_platform()
    deploy_sleeper(platform, tmp_path, "slow")
    calls = [Call(platform, "slow", 0.5) for _ in range(3)]
    with grpc.insecure_channel(platform.grpc) as channel:
        watched = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watched).status == 1
        time.sleep(0.4)
        os.kill(platform.pid, signal.SIGTERM)
        assert next(watched).status == 2
        with pytest.raises(grpc.RpcError) as ended:
            next(watched)
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
    for call in calls:
        call.join(20)
    assert [call.error for call in calls] == [None, None, None]
    start = time.monotonic()
    assert platform.process.wait(20) == 0
    assert time.monotonic() - start < 10
    late = Call(platform, "slow", 0.01, client_timeout=2)
    late.join(20)
    assert late.error is not None
    assert late.error.status() in ("StatusCode.UNAVAILABLE", "StatusCode.DEADLINE_EXCEEDED")


def test_a_call_whose_replica_dies_fails_and_the_next_does_not(start_platform, tmp_path: Path) -> None:
    platform = start_platform()
    deploy_sleeper(platform, tmp_path, "slow")
    call = Call(platform, "slow", 5)
    time.sleep(0.5)
    (replica,) = platform.replica_pids()
    os.kill(replica, signal.SIGKILL)
    call.join(20)
    assert call.error is not None
    assert call.error.status() == "StatusCode.UNAVAILABLE"
    assert "died" in call.error.message()
    again = Call(platform, "slow", 0.01)
    again.join(30)
    assert again.error is None


def test_a_deadline_holds_on_both_sides(platform: Platform, slow: str) -> None:
    start = time.monotonic()
    late = Call(platform, slow, 2, client_timeout=0.3)
    late.join(20)
    assert late.error is not None
    assert late.error.status() == "StatusCode.DEADLINE_EXCEEDED"
    assert time.monotonic() - start < 1.5


def test_cancelled_calls_are_not_computed(platform: Platform, slow: str) -> None:
    """Ten calls of half a second, all but the first cancelled: the next does not wait for them."""
    headers = {"authorization": f"Bearer {platform.key}"}
    with triton.InferenceServerClient(platform.grpc) as client:
        calls = [
            client.async_infer(slow, sleep_for(0.5), lambda result, error: None, headers=headers) for _ in range(10)
        ]
        time.sleep(0.2)
        for call in calls:
            call.cancel()
        start = time.monotonic()
        client.infer(slow, sleep_for(0.01), headers=headers)
        assert time.monotonic() - start < 2


def test_a_client_that_dies_leaves_no_work(platform: Platform, slow: str) -> None:
    """Ten calls of half a second from a process that is killed: the next does not wait for them."""
    program = f"""
import threading, numpy as np, tritonclient.grpc as triton
from tests.acceptance.test_grpc_life import sleep_for
client = triton.InferenceServerClient({platform.grpc!r})
headers = {{"authorization": "Bearer {platform.key}"}}
for _ in range(10):
    client.async_infer({slow!r}, sleep_for(0.5), lambda result, error: None, headers=headers)
print("asked", flush=True)
threading.Event().wait()
"""
    root = str(Path(__file__).parents[2])
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", program], stdout=subprocess.PIPE, cwd=root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"asked\n"
        time.sleep(0.3)
        process.kill()
    time.sleep(0.1)
    start = time.monotonic()
    again = Call(platform, slow, 0.01)
    again.join(20)
    assert again.error is None
    assert time.monotonic() - start < 2


def test_a_client_that_does_not_read_holds_up_nobody(platform: Platform, model_dir: Path) -> None:
    platform.deploy(models.doubler(model_dir), "grpc-unread")
    headers = {"authorization": f"Bearer {platform.key}"}
    rows = triton.InferInput("x", [1, 200_000], "FP32")
    rows.set_data_from_numpy(np.zeros((1, 200_000), np.float32))
    request = triton.service_pb2.ModelInferRequest(
        model_name="grpc-unread",
        inputs=[{"name": "x", "datatype": "FP32", "shape": [1, 200_000]}],
        raw_input_contents=[bytes(800_000)],
    ).SerializeToString()
    fields = [
        (b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/inference.GRPCInferenceService/ModelInfer"),
        (b":authority", b"x"), (b"te", b"trailers"), (b"content-type", b"application/grpc"),
        (b"authorization", f"Bearer {platform.key}".encode()),
    ]  # fmt: skip
    host, _, port = platform.grpc.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        window = h2.settings({h2.INITIAL_WINDOW_SIZE: h2.MAX_WINDOW}) + h2.window_update(0, 1 << 30)
        sock.sendall(h2.PREFACE + window)
        message = b"\0" + len(request).to_bytes(4, "big") + request
        for number in range(1, 20, 2):
            sock.sendall(h2.frame(h2.HEADERS, h2.END_HEADERS, number, block_of(*fields)))
            sock.sendall(h2.frame(h2.DATA, h2.END_STREAM, number, message))
        with triton.InferenceServerClient(platform.grpc) as client:
            start = time.monotonic()
            for _ in range(5):
                client.infer("grpc-unread", [rows], headers=headers)
            assert time.monotonic() - start < 5


def test_serve_has_a_grpc_port_too(tmp_path: Path, model_dir: Path) -> None:
    ready = tmp_path / "ready.json"
    command = [*inferry_command(), "serve", str(models.iris_onnx(model_dir)), "--name", "iris"]
    ports = ["--port", "0", "--grpc-port", "0", "--ready-file", str(ready)]
    env = {**os.environ, "INFERRY_HOME": str(tmp_path / "home")}
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([*command, *ports], stdout=log, stderr=log, env=env)
    try:
        processes.wait_until(ready.exists, 60, "it serves")
        told = json.loads(ready.read_text())
        tensor = triton.InferInput("x", [2, 4], "FP32")
        tensor.set_data_from_numpy(np.array(models.IRIS_ROWS, np.float32))
        with triton.InferenceServerClient(told["grpc"]) as client:
            answer = client.infer("iris", [tensor], headers={"authorization": f"Bearer {told['key']}"})
            assert answer.as_numpy("label").tolist() == models.IRIS_KINDS
    finally:
        process.terminate()
        process.wait(20)
