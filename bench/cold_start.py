"""From zero replicas: how long a request takes that finds nothing running, and a fresh Python process doing the same.

A model deployed with --min-replicas 0 -> its last replica goes -> one request, timed from its first byte to its answer
-> by turns, a new Python process that imports the framework, loads the file and predicts once. Medians, p99, ratio.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx

from tests.support import models
from tests.support.platform import Platform
from tests.support.processes import wait_until

IDLE_S = 1
ONNX = """
import onnxruntime, numpy
session = onnxruntime.InferenceSession({path!r})
session.run(None, {{session.get_inputs()[0].name: numpy.array({rows!r}, numpy.float32)}})
"""
SKLEARN = """
import joblib, numpy
joblib.load({path!r}).predict(numpy.array({rows!r}))
"""


class Kind(NamedTuple):
    """What is started: how its file is made, how it is deployed, and the script of a fresh process."""

    name: str
    make: Callable[[Path], Path]
    arguments: tuple[str, ...]
    script: str


KINDS = (
    Kind("tiny ONNX", models.iris_onnx, (), ONNX),
    Kind("scikit-learn, native", models.iris, ("--native",), SKLEARN),
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20, help="cold starts of each model")
    starts = parser.parse_args().starts
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "home").start()
        try:
            for kind in KINDS:
                print(line(kind, *measure(platform, kind, Path(folder), starts)), flush=True)
        finally:
            platform.close()
    return 0


def measure(platform: Platform, kind: Kind, folder: Path, starts: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each cold start, and of each fresh process."""
    path, name = kind.make(folder), kind.name.split()[0].lower().rstrip(",")
    platform.deploy(path, name, "--min-replicas", "0", "--idle-timeout", f"{IDLE_S}s", *kind.arguments)
    code = kind.script.format(path=str(path), rows=models.IRIS_ROWS)
    cold, fresh = [], []
    with httpx.Client(headers={"authorization": f"Bearer {platform.key}"}, timeout=60) as client:
        for _ in range(starts):
            before = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))
            fresh.append((time.perf_counter() - before) * 1000)
            wait_until(lambda: not platform.replica_pids(), 30, "it goes to sleep")
            time.sleep(IDLE_S + 0.2)  # who is asked for again sooner would stay longer the next time
            client.get(f"{platform.http}/healthz")  # the connection is there
            before = time.perf_counter()
            answer = client.post(f"{platform.http}/predict/{name}", json=models.IRIS_ROWS)
            cold.append((time.perf_counter() - before) * 1000)
            assert answer.status_code == 200, answer.text
            assert "x-inferry-cold-start" in answer.headers
    return cold, fresh


def line(kind: Kind, cold: list[float], fresh: list[float]) -> str:
    """One model's figures."""
    median, usual = statistics.median(cold), statistics.median(fresh)
    return (
        f"{kind.name:>20}: p50 {median:.0f} ms, p99 {worst(cold):.0f} ms, least {min(cold):.0f} ms "
        f"of {len(cold)} starts; a fresh Python process {usual:.0f} ms ({usual / median:.1f} times as long)"
    )


def worst(values: list[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[min(len(values) - 1, round(0.99 * len(values)))]


if __name__ == "__main__":
    sys.exit(main())
