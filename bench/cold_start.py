"""From zero replicas: how long a request takes that finds nothing running, and a fresh Python process doing the same.

A model deployed with --min-replicas 0 -> its last replica goes -> one request, timed from its first byte to its answer
-> by turns, a new Python process that imports the framework, loads the file and predicts once. Medians, p99, ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np

from bench.peers import models as peers
from tests.support import models
from tests.support.platform import Platform
from tests.support.processes import wait_until

IDLE_S = 1
LARGE, LAYERS = 4096, 6
ONNX = """
import onnxruntime, numpy
session = onnxruntime.InferenceSession({path!r})
rows = numpy.frombuffer(open({rows!r}, "rb").read(), numpy.float32).reshape({shape!r})
session.run(None, {{session.get_inputs()[0].name: rows}})
"""
SKLEARN = """
import joblib, numpy
joblib.load({path!r}).predict(numpy.frombuffer(open({rows!r}, "rb").read(), numpy.float32).reshape({shape!r}))
"""


class Kind(NamedTuple):
    """What is started: how its file is made, the shape of a request, how it is deployed (`folder`: with what lies
    beside its file), and the script of a fresh process."""

    name: str
    make: Callable[[Path], Path]
    shape: tuple[int, ...]
    arguments: tuple[str, ...] = ()
    folder: bool = False
    script: str = ONNX


def image(folder: Path) -> Path:
    """A convolutional network of some megabytes."""
    return Path(shutil.copy(peers.model_file("image"), folder))


def large(folder: Path) -> Path:
    """402 MB of weights in a file beside the graph."""
    from onnx import TensorProto, helper, numpy_helper, save

    home = folder / "large"
    home.mkdir()
    values = np.random.default_rng(0).normal(0, LARGE**-0.5, (LARGE, LARGE)).astype("float32")
    weights = [numpy_helper.from_array(values * (1 + n / 10), f"w{n}") for n in range(LAYERS)]
    names = ["x", *[f"m{n}" for n in range(LAYERS - 1)], "y"]
    nodes = [helper.make_node("MatMul", [names[n], f"w{n}"], [names[n + 1]]) for n in range(LAYERS)]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", LARGE]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "large", ends[:1], ends[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    save(model, home / "model.onnx", save_as_external_data=True, location="weights.bin")
    return home / "model.onnx"


KINDS = (
    Kind("tiny ONNX", models.iris_onnx, (3, 4)),
    Kind("image network, 9 MB", image, (1, 3, 224, 224)),
    Kind("large ONNX, 402 MB", large, (1, LARGE), folder=True),
    Kind("scikit-learn, native", models.iris, (3, 4), ("--native",), script=SKLEARN),
)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--starts", type=int, default=20, help="cold starts of each model")
    parser.add_argument("--only", default="", help="only models with this in their name")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "home").start()
        try:
            for kind in [kind for kind in KINDS if asked.only in kind.name]:
                print(line(kind, *measure(platform, kind, Path(folder), asked.starts)), flush=True)
        finally:
            platform.close()
    return 0


def measure(platform: Platform, kind: Kind, folder: Path, starts: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each cold start, and of each fresh process."""
    path, name = kind.make(folder), kind.name.split()[0].lower().rstrip(",")
    rows = np.random.default_rng(0).random(kind.shape, np.float32)
    (folder / f"{name}.f32").write_bytes(rows.tobytes())
    platform.deploy(
        path.parent if kind.folder else path,
        name,
        "--min-replicas",
        "0",
        "--idle-timeout",
        f"{IDLE_S}s",
        *kind.arguments,
    )
    code = kind.script.format(path=str(path), rows=str(folder / f"{name}.f32"), shape=kind.shape)
    head, body = request(rows)
    url = f"{platform.http}/v2/models/{name}/infer" if head else f"{platform.http}/predict/{name}"
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
            answer = client.post(url, headers=head, content=body)
            cold.append((time.perf_counter() - before) * 1000)
            assert answer.status_code == 200, answer.text
            assert "x-inferry-cold-start" in answer.headers
    return cold, fresh


def request(rows: np.ndarray) -> tuple[dict[str, str], bytes]:
    """A request's headers and body: JSON for a handful of numbers, else the binary tensor "x" of the Open Inference
    Protocol."""
    if rows.size < 100:
        return {}, json.dumps(rows.tolist()).encode()
    x = {"name": "x", "datatype": "FP32", "shape": rows.shape, "parameters": {"binary_data_size": rows.nbytes}}
    head = json.dumps({"inputs": [x], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    return {"inference-header-content-length": str(len(head))}, head + rows.tobytes()


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
