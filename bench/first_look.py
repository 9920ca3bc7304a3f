"""`make bench`: one tiny scikit-learn model through Inferry and through FastAPI, then memory.

train -> start both -> their answers must agree -> interleaved rounds under one load generator ->
medians and ratios; then PSS of an idle platform with one ONNX endpoint and of each further replica.
Prints Markdown, writes bench/results/first_look.json, leaves nothing running.
"""

from __future__ import annotations

import json
import os
import platform as machine
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx

from bench.connection import Post
from bench.load import Load, generator, run
from tests.support import processes
from tests.support.platform import Platform

ROOT = Path(__file__).resolve().parent.parent
ROUNDS, SECONDS, WARM_UP = 5, 4.0, 1.0
CONNECTIONS = (1, 64)
ROW = [5.1, 3.5, 1.4, 0.2]


@dataclass(frozen=True, kw_only=True)
class Target:
    """A server under load, by its door: `pids` gives its processes."""

    name: str
    post: Post
    pids: Callable[[], list[int]]
    probabilities: Callable[[Any], list[float]]


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One target at one number of connections: medians over the rounds."""

    name: str
    connections: int
    rate: float
    p50: float
    p99: float
    cpu_us: float
    ratio: float
    errors: int
    rates: tuple[float, ...]


@contextmanager
def fastapi(model: Path) -> Iterator[tuple[str, int]]:
    """FastAPI under uvicorn with one worker, uvloop and httptools; its address and process id."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    options = ["--port", str(port), "--loop", "uvloop", "--http", "httptools", "--no-access-log"]
    server = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "bench.fastapi_app:app", "--log-level", "warning", *options],
        cwd=ROOT, env={**os.environ, "BENCH_MODEL": str(model)}, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        processes.wait_until(lambda: processes.tcp_listeners(port), 60, "FastAPI listens")
        yield f"http://127.0.0.1:{port}", server.pid
    finally:
        server.terminate()
        server.wait(30)


def oip_probabilities(answer: Any) -> list[float]:
    """The probabilities in an Open Inference Protocol answer."""
    return next(list(output["data"]) for output in answer["outputs"] if len(output["data"]) == 3)


def plain_probabilities(answer: Any) -> list[float]:
    """The probabilities in a plain answer."""
    return list(answer["predictions"][0]["probabilities"].values())


def targets(platform: Platform, peer: str, peer_pid: int) -> list[Target]:
    """The peer first, then both of our doors."""
    json_type = {"content-type": "application/json"}
    keyed = {**json_type, "authorization": f"Bearer {platform.key}"}
    plain = json.dumps({"inputs": [ROW]}).encode()
    metadata = platform.call("GET", "/v2/models/iris").json()["inputs"][0]
    tensor = {"name": metadata["name"], "datatype": metadata["datatype"], "shape": [1, 4], "data": ROW}
    oip = json.dumps({"inputs": [tensor]}).encode()

    def ours() -> list[int]:
        return processes.tree(platform.pid)

    return [
        Target(
            name="FastAPI + uvicorn", post=Post(url=f"{peer}/predict", body=plain, headers=json_type),
            pids=lambda: processes.tree(peer_pid), probabilities=plain_probabilities,
        ),
        Target(
            name="Inferry, plain JSON", post=Post(url=f"{platform.http}/predict/iris", body=plain, headers=keyed),
            pids=ours, probabilities=plain_probabilities,
        ),
        Target(
            name="Inferry, Open Inference Protocol",
            post=Post(url=f"{platform.http}/v2/models/iris/infer", body=oip, headers=keyed),
            pids=ours, probabilities=oip_probabilities,
        ),
    ]  # fmt: skip


def check_answers(all_targets: list[Target]) -> None:
    """All must say the same to the same row before any is timed."""
    said = []
    for target in all_targets:
        answer = httpx.post(target.post.url, content=target.post.body, headers=target.post.headers)
        answer.raise_for_status()
        said.append(target.probabilities(answer.json()))
    for target, probabilities in zip(all_targets, said, strict=True):
        if any(abs(a - b) > 1e-9 for a, b in zip(said[0], probabilities, strict=True)):
            raise SystemExit(f"{target.name} answers {probabilities}, {all_targets[0].name} {said[0]}")
    print(f"All answers agree: {[round(p, 6) for p in said[0]]}", flush=True)


def race(all_targets: list[Target]) -> list[Measured]:
    """Rounds in which every target runs once at each number of connections, in turn."""
    loads: dict[tuple[str, int], list[tuple[Load, float]]] = {}
    for number in range(ROUNDS):
        for connections in CONNECTIONS:
            for target in all_targets:
                run(target.post, connections, WARM_UP)
                before = processes.cpu_seconds(target.pids())
                load = run(target.post, connections, SECONDS)
                used = (processes.cpu_seconds(target.pids()) - before) / max(1, load.requests) * 1e6
                loads.setdefault((target.name, connections), []).append((load, used))
                print(f"round {number + 1}, c={connections}: {target.name} {load.rate:,.0f}/s", flush=True)
    return [summary(loads, name, connections, all_targets[0].name) for name, connections in loads]


def summary(loads: dict[tuple[str, int], list[tuple[Load, float]]], name: str, connections: int, peer: str) -> Measured:
    """Medians of a target's rounds; the ratio is the median of the rounds' own ratios."""
    mine, peers = loads[name, connections], loads[peer, connections]
    return Measured(
        name=name,
        connections=connections,
        rate=statistics.median(load.rate for load, _ in mine),
        p50=statistics.median(load.p50 for load, _ in mine),
        p99=statistics.median(load.p99 for load, _ in mine),
        cpu_us=statistics.median(used for _, used in mine),
        ratio=statistics.median(load.rate / other.rate for (load, _), (other, _) in zip(mine, peers, strict=True)),
        errors=sum(load.errors for load, _ in mine),
        rates=tuple(round(load.rate, 1) for load, _ in mine),
    )


def memory(folder: Path, model: Path) -> list[float]:
    """PSS in MB of an idle platform with 1, 2, 3 and 4 replicas of a tiny ONNX endpoint."""
    platform = Platform(folder / "memory")
    try:
        platform.start()
        platform.deploy(model, "tiny")
        figures = []
        for replicas in range(1, 5):
            if replicas > 1:
                answer = platform.call("POST", "/v1/endpoints/tiny/scale", control=True, json={"replicas": replicas})
                answer.raise_for_status()
            for _ in range(20):
                platform.predict("tiny", [ROW])
            time.sleep(2)
            figures.append(processes.pss_mb(processes.tree(platform.pid)))
        return figures
    finally:
        platform.close()


def speed(folder: Path, model: Path) -> tuple[list[Measured], str]:
    """The race, and which scikit-learn served on our side."""
    platform = Platform(folder / "speed")
    try:
        platform.start()
        platform.deploy(model, "iris")
        manifest = platform.call("GET", "/v1/models/iris/versions/1", control=True).json()["manifest"]
        packages = " ".join(manifest.get("environment", {}).get("requirements", ["the platform's own packages"]))
        with fastapi(model) as (peer, pid):
            all_targets = targets(platform, peer, pid)
            check_answers(all_targets)
            return race(all_targets), packages
    finally:
        platform.close()


def report(measured: list[Measured], pss: list[float], packages: str) -> str:
    """The Markdown that docs/benchmarks.md keeps."""
    lines = [
        (
            f"{os.cpu_count()} cores, Python {machine.python_version()}, "
            f"load generator: {generator()} (shares the cores), "
            f"{ROUNDS} interleaved rounds of {SECONDS:g} s, medians. "
            f"FastAPI {version('fastapi')}, uvicorn {version('uvicorn')}, scikit-learn {version('scikit-learn')}; "
            f"Inferry's replica: {packages}."
        ),
        "",
        "| server | connections | requests/s | ratio | p50 ms | p99 ms | CPU µs/request | errors |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {m.name} | {m.connections} | {m.rate:,.0f} | {m.ratio:.2f}x | {m.p50:.2f} | {m.p99:.2f} "
        f"| {m.cpu_us:.0f} | {m.errors} |"
        for m in sorted(measured, key=lambda m: m.connections)
    ]
    steps = [f"{after - before:.1f}" for before, after in pairwise(pss)]
    lines += [
        "",
        "| memory (PSS of all processes) | MB |",
        "|---|--:|",
        f"| idle, one tiny ONNX endpoint with one replica | {pss[0]:.1f} |",
        f"| the 2nd, 3rd and 4th replica, each | {', '.join(steps)} |",
    ]
    return "\n".join(lines)


def main() -> int:
    """Measure, print, keep."""
    with tempfile.TemporaryDirectory(prefix="inferry-bench-") as name:
        folder = Path(name)
        train = [sys.executable, str(ROOT / "examples/train.py"), str(folder / "models")]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
        pss = memory(folder, folder / "models/iris.onnx")
        measured, packages = speed(folder, folder / "models/iris.joblib")
    results = ROOT / "bench/results/first_look.json"
    results.parent.mkdir(exist_ok=True)
    document = {"generator": generator(), "speed": [asdict(m) for m in measured], "pss_mb": pss, "packages": packages}
    results.write_text(json.dumps(document, indent=2) + "\n")
    print("\n" + report(measured, pss, packages))
    return 1 if any(m.errors for m in measured) else 0


if __name__ == "__main__":
    sys.exit(main())
