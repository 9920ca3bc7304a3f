"""Large bodies, on a real platform: through shared memory, many at once, cut off, and with a replica killed."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper, save

from tests.support import processes
from tests.support.platform import Platform

WIDTH = 150_000


@pytest.fixture(scope="module")
def doubling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """X -> 2x over rows of 600 KB."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", WIDTH])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("doubling") / "doubling.onnx"
    save(model, path)
    return path


@pytest.fixture(scope="module")
def endpoint(platform: Platform, doubling: Path) -> str:
    platform.deploy(doubling, "doubling")
    return "doubling"


def head_and_body(row: np.ndarray) -> tuple[dict[str, str], bytes]:
    """A request with binary tensors both ways."""
    head = (
        b'{"inputs":[{"name":"x","datatype":"FP32","shape":[%d,%d],"parameters":{"binary_data_size":%d}}],'
        b'"parameters":{"binary_data_output":true}}' % (*row.shape, row.nbytes)
    )
    return {"inference-header-content-length": str(len(head))}, head + row.tobytes()


def ask(platform: Platform, endpoint: str, row: np.ndarray, client: httpx.Client | None = None) -> np.ndarray:
    headers, body = head_and_body(row)
    headers["authorization"] = f"Bearer {platform.key}"
    post = client.post if client else httpx.post
    answer = post(f"{platform.http}/v2/models/{endpoint}/infer", content=body, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    return np.frombuffer(answer.content[int(answer.headers["inference-header-content-length"]) :], np.float32)


def test_many_at_once_each_get_their_own_answer(platform: Platform, endpoint: str) -> None:
    def client(number: int) -> bool:
        random = np.random.default_rng(number)
        with httpx.Client() as session:
            for _ in range(12):
                row = random.random((int(random.integers(1, 3)), WIDTH), np.float32)
                if not np.array_equal(ask(platform, endpoint, row, session), 2 * row.ravel()):
                    return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(client, range(8)))


def held(pid: int) -> tuple[float, int]:
    """Memory in MB and open descriptors."""
    return processes.pss_mb([pid]), sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def test_neither_side_gathers_memory_or_descriptors(platform: Platform, endpoint: str) -> None:
    pids = [platform.gateway_pid(), *platform.replica_pids()]
    row = np.ones((1, WIDTH), np.float32)
    with httpx.Client() as session:
        for _ in range(10):
            ask(platform, endpoint, row, session)
        before = [held(pid) for pid in pids]
        for _ in range(60):
            ask(platform, endpoint, row, session)
        after = [held(pid) for pid in pids]
    for (old_mb, old_files), (new_mb, new_files) in zip(before, after, strict=True):
        assert new_mb < old_mb + 8
        assert new_files <= old_files + 1


def raw(platform: Platform) -> socket.socket:
    target = urlsplit(platform.http)
    return socket.create_connection((target.hostname, target.port), timeout=20)


def test_clients_that_leave_amid_a_large_body_cost_nobody_anything(platform: Platform, endpoint: str) -> None:
    row = np.full((1, WIDTH), 3, np.float32)
    headers, body = head_and_body(row)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST /v2/models/{endpoint}/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {platform.key}\r\n"
        f"{lines}content-length: {len(body)}\r\n\r\n"
    ).encode()
    for cut in (0, 1, 1000, 300_000, len(body) - 1):
        with raw(platform) as leaving:
            leaving.sendall(head + body[:cut])
    with raw(platform) as pipelining:  # a small request may follow a large one on its heels
        pipelining.sendall(head + body + b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        said = b""
        while data := pipelining.recv(1 << 20):
            said += data
    assert said.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert np.array_equal(ask(platform, endpoint, row), 2 * row.ravel())


def test_whatever_follows_a_large_body_on_its_connection_is_answered_too(platform: Platform, endpoint: str) -> None:
    row = np.full((1, WIDTH), 3, np.float32)
    headers, body = head_and_body(row)
    front = f"POST /v2/models/{endpoint}/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {platform.key}\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    large = f"{front}{lines}content-length: {len(body)}\r\n\r\n".encode() + body
    broken = f"{front}content-length: 3\r\n\r\n{{!}}".encode()
    middling = f"{front}content-length: 50000\r\n\r\n".encode() + b"{" * 50_000
    long_head = f"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: {'y' * 9000}\r\n\r\n".encode()
    health = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    chunked = f"{front}transfer-encoding: chunked\r\n\r\n3\r\n{{!}}\r\n0\r\n\r\n".encode()
    ways = ((large, 200), (broken, 400), (middling, 400), (long_head, 200), (health, 200), (chunked, 400))
    for following, status in ways:
        for parts in ((following,), (following[:10], following[10:]), (following[:-1], following[-1:])):
            with raw(platform) as client:
                for sent, expected in ((large,), 200), (parts, status), ((large,), 200), ((b"\r\n", health), 200):
                    for part in sent:
                        client.sendall(part)
                        time.sleep(0.01)
                    assert answered(client) == expected
    with raw(platform) as client:  # and an end
        client.sendall(large)
        assert answered(client) == 200
        client.sendall(b"nonsense\r\n\r\n")
        assert answered(client) == 400
        assert client.recv(1) == b""


def answered(client: socket.socket) -> int:
    """The status of the next answer, all of which is read."""
    said = client.makefile("rb", buffering=0)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = said.read(1)
        assert byte, head
        head += byte
    (length,) = (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while length:
        length -= len(said.read(length))
    return int(head[9:12])


def test_a_body_too_large_or_without_a_key_is_refused_before_it_is_sent(platform: Platform, endpoint: str) -> None:
    for key, size, status in ((platform.key, 65 << 20, b"413"), ("wrong", 1 << 20, b"401")):
        with raw(platform) as client:
            client.sendall(
                f"POST /v2/models/{endpoint}/infer HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
                f"content-length: {size}\r\n\r\n".encode()
            )
            assert client.recv(12) == b"HTTP/1.1 " + status


def test_large_requests_survive_a_killed_replica(start_platform, doubling: Path) -> None:
    platform = start_platform()
    platform.deploy(doubling, "doubling", "--replicas", "2")
    row = np.arange(WIDTH, dtype=np.float32).reshape(1, -1)
    headers, body = head_and_body(row)
    headers["authorization"] = f"Bearer {platform.key}"
    stop, statuses, wrong = threading.Event(), [], []

    def client() -> None:
        with httpx.Client(timeout=30) as session:
            while not stop.is_set():
                answer = session.post(f"{platform.http}/v2/models/doubling/infer", content=body, headers=headers)
                statuses.append(answer.status_code)
                if answer.status_code == 200:
                    size = int(answer.headers["inference-header-content-length"])
                    if not np.array_equal(np.frombuffer(answer.content[size:], np.float32), 2 * row.ravel()):
                        wrong.append(answer)

    threads = [threading.Thread(target=client) for _ in range(4)]
    for thread in threads:
        thread.start()
    processes.wait_until(lambda: len(statuses) > 20, 30, "requests flow")
    for _ in range(2):
        seen = len(statuses)
        os.kill(platform.replica_pids()[0], signal.SIGKILL)
        processes.wait_until(lambda seen=seen: len(statuses) > seen + 40, 30, "requests flow again")
        processes.wait_until(lambda: len(platform.replica_pids()) == 2, 30, "the replica is replaced")
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    failed = [status for status in statuses if status != 200]
    assert set(failed) <= {503}
    assert len(failed) <= 8  # at most what the killed ones had begun
