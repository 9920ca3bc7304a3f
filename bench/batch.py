"""What `inferry batch` gets through, against the bare model: a row of docs/benchmarks.md.

    python -m bench.batch [--rows 1000000] [--rounds 3]

Data flow: a model -> deployed to a platform of its own -> in turns, so that the machine's moods meet both: all rows by
the bare model in one process (the replica's runtime, its threads or all, calls of the size that is quickest, no
transport, no file), and all rows by `inferry batch`, file to file -> rows a second of each, and their ratios. With
pyarrow the files are Parquet; without it they are CSV, and reading and writing those is most of what is measured.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import httpx
import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper, save

from tests.support.platform import Platform

FEATURES = 32
SIZES = (256, 1024, 4096, 16384)


def network(path: Path, width: int) -> Path:
    """A network of three layers, `width` wide."""
    chance = np.random.default_rng(0)
    sizes = (FEATURES, width, width, 1)
    nodes, weights, name = [], [], "x"
    for layer, (rows, columns) in enumerate(itertools.pairwise(sizes)):
        values = (chance.normal(size=(rows, columns)) / rows**0.5).astype("float32")
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        last = layer == len(sizes) - 2
        nodes.append(helper.make_node("MatMul", [name, f"w{layer}"], ["y" if last else f"m{layer}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"m{layer}"], [f"r{layer}"]))
            name = f"r{layer}"
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", c]) for n, c in (("x", FEATURES), ("y", 1))]
    graph = helper.make_graph(nodes, "network", ends[:1], ends[1:], weights)
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def bare(model: Path, rows: np.ndarray, threads: int) -> float:
    """Rows a second of the model alone, at its best size of a call."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    best = 0.0
    for size in SIZES:
        session.run(None, {"x": rows[:size]})
        begun = time.perf_counter()
        for at in range(0, len(rows), size):
            session.run(None, {"x": rows[at : at + size]})
        best = max(best, len(rows) / (time.perf_counter() - begun))
    return best


def posted(platform: Platform, name: str, rows: np.ndarray) -> float:
    """Rows a second of the endpoint, sent bodies that are ready: what its replica does with batches, without a file.
    The best of some sizes, and of one, two or four requests at once."""
    url, best = f"{platform.http}/v2/models/{name}/infer", 0.0
    limits = httpx.Limits(max_connections=4)
    with httpx.Client(headers={"authorization": f"Bearer {platform.key}"}, timeout=60, limits=limits) as client:
        for size, clients in itertools.product(SIZES[1:], (1, 2, 4)):
            requests = [body(rows[at : at + size]) for at in range(0, min(len(rows), 16 * size), size)]

            def post(one: tuple[dict[str, str], bytes]) -> None:
                answer = client.post(url, headers=one[0], content=one[1])
                assert answer.status_code == 200, answer.text

            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(post, requests[:4]))
                begun = time.perf_counter()
                list(pool.map(post, requests))
                best = max(best, min(len(rows), 16 * size) / (time.perf_counter() - begun))
    return best


def body(rows: np.ndarray) -> tuple[dict[str, str], bytes]:
    x = {"name": "x", "datatype": "FP32", "shape": rows.shape, "parameters": {"binary_data_size": rows.nbytes}}
    head = json.dumps({"inputs": [x], "outputs": [{"name": "y", "parameters": {"binary_data": True}}]}).encode()
    return {"inference-header-content-length": str(len(head))}, head + rows.tobytes()


def write(rows: np.ndarray, folder: Path) -> Path:
    if find_spec("pyarrow") is None:
        path = folder / "rows.csv"
        np.savetxt(path, rows, "%.4f", ",", header=",".join(f"c{n}" for n in range(FEATURES)), comments="")
        return path
    import pyarrow as arrow
    from pyarrow import parquet

    path = folder / "rows.parquet"
    parquet.write_table(arrow.table({f"c{n}": rows[:, n] for n in range(FEATURES)}), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 512, 1024])
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        platform = Platform(folder / "home").start()
        try:
            for width in asked.widths:
                count = asked.rows * 64 // max(width, 64)
                rows = np.random.default_rng(1).normal(size=(count, FEATURES)).astype("float32")
                source = write(rows, folder)
                model = network(folder / f"w{width}.onnx", width)
                platform.deploy(model, f"w{width}")
                round_(platform, folder, model, rows, source, asked.rounds)
        finally:
            platform.close()


def round_(platform: Platform, folder: Path, model: Path, rows: np.ndarray, source: Path, rounds: int) -> None:
    cores = len(os.sched_getaffinity(0))
    alone: dict[str, list[float]] = {"the model with 1 thread": [], f"with {cores} threads": [], "the replica": []}
    through = []
    for _ in range(rounds):
        found = bare(model, rows, 1), bare(model, rows, cores), posted(platform, model.stem, rows)
        for kept, one in zip(alone.values(), found, strict=True):
            kept.append(one)
        target = folder / f"out{source.suffix}"
        said = subprocess.run(
            [*platform.command, "batch", model.stem, str(source), str(target), "--overwrite", "--json"],
            env=platform.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said.returncode == 0, said.stdout + said.stderr
        done = json.loads(said.stdout)
        assert (done["rows"], done["errors"]) == (len(rows), 0)
        through.append(done["rows_per_s"])
    print(f"{model.stem} {source.suffix} {len(rows)} rows: batch {statistics.median(through):,.0f} rows/s", end="")
    for name, kept in alone.items():
        ratio = statistics.median(t / a for t, a in zip(through, kept, strict=True))
        print(f"; {name} {statistics.median(kept):,.0f} rows/s, ratio {ratio:.2f}", end="")
    print(flush=True)


if __name__ == "__main__":
    main()
