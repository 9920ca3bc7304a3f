"""What converting networks to ONNX gains, and whether it ever answers wrongly: the second table of conversion.md.

    python -m bench.networks [--write docs/tasks/conversion.md]

Data flow: for each framework an environment with the converter's packages beside it, as a deploy makes them ->
there bench/networks_native.py trains each network on real data, opens its file with the runtime that would serve it,
and converts it -> here the candidates are checked, and what serves then answers the held-out rows.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np
import uv

from bench.conversion import Row, put, shown, table
from bench.networks_native import NETWORKS, Told
from examples.train import package_file
from inferry.bundles.converting import WORKBENCHES
from inferry.environments.builder import Environments
from inferry.environments.pip_settings import read_pip_settings
from inferry.errors import InferryError
from inferry.policy.equality import compare
from inferry.policy.speed import faster
from inferry.runtimes.conversion_check import check
from inferry.runtimes.onnx import OnnxRuntime
from inferry.types.conversion import ATOL, RTOL

BEGIN, END = "<!-- bench.networks -->", "<!-- /bench.networks -->"
PACKAGES = {"torch": ("torch", "safetensors", "scikit-learn"),
            "keras": ("tensorflow", "keras", "scikit-learn")}  # fmt: skip


def environments(folder: Path) -> Environments:
    """As the platform makes them."""
    settings = read_pip_settings(os.environ, Path.home(), prefix=Path(sys.base_prefix))
    cache = os.environ.get("UV_CACHE_DIR")
    return Environments(
        folder, uv.find_uv_bin(), sys.executable, settings, Path(cache) if cache else None, nvidia=False
    )


def measure(name: str, made: Environments, folder: Path) -> Row:
    network = NETWORKS[name]
    framework = "torch" if network.runtime == "torch" else "keras"
    lock = made.lock(PACKAGES[framework], lambda _: None)
    beside = made.beside(lock, WORKBENCHES[network.runtime], lambda _: None)
    python = made.ensure(lock, lambda _: None)
    made.ensure(beside, lambda _: None)
    started = time.perf_counter()
    quiet = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "ignore"}
    command = [
        str(python),
        "-m",
        "bench.networks_native",
        name,
        str(made.packages(beside.digest)),
        str(folder),
        str(package_file("afinn", "data/AFINN-111.txt")),
    ]
    subprocess.run(command, env={**os.environ, **quiet}, check=True, stderr=subprocess.DEVNULL)
    told = msgspec.json.decode((folder / "told.json").read_bytes(), type=Told)
    native = told.made.native_us or told.inspection.batch_us
    label = f"{name} ({network.form})"
    if told.made.reason:
        return Row(label, network.data, told.native_us, 0.0, 0.0, told.made.reason, 0, time.perf_counter() - started)
    signature = told.inspection.signature
    try:
        done = check(folder, told.made.drafts, signature)
    except InferryError as error:
        return Row(label, network.data, told.native_us, 0.0, 0.0, error.message, 0, time.perf_counter() - started)
    verdict = done.reason or faster(native, done.batch_us) or "onnx"
    wrong = 0
    if verdict == "onnx":
        draft = told.made.drafts[done.chosen]
        served = OnnxRuntime().load(folder, draft.file, {"plan": draft.plan}, signature)
        with np.load(folder / "held.npz") as rows, np.load(folder / "expected.npz") as wanted:
            for at in range(len(next(iter(wanted.values())))):
                got = served.predict({key: rows[key][at : at + 1] for key in rows.files})
                row = {key: wanted[key][at : at + 1] for key in wanted.files}
                wrong += bool(compare(row, got, RTOL, ATOL).difference)
    onnx_us = done.batch_us.get("1", 0.0)
    seconds = time.perf_counter() - started
    return Row(label, network.data, told.native_us, onnx_us, done.largest, verdict, wrong, seconds)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--write", type=Path, help="Put the table into this page, between its marks.")
    parser.add_argument("--only", default="", help="Only networks whose name has this in it.")
    parser.add_argument("--environments", type=Path, help="Keep the environments in this folder.")
    asked = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        made = environments(asked.environments or Path(scratch) / "envs")
        wanted = [name for name in NETWORKS if asked.only.lower() in name.lower()]
        for at, name in enumerate(wanted):
            folder = Path(scratch) / str(at)
            folder.mkdir()
            rows.append(measure(name, made, folder))
            print(shown(rows[-1]), flush=True)
    text = table(rows)
    print(text)
    if asked.write:
        put(asked.write, text, BEGIN, END)
    return 1 if any(row.wrong for row in rows) else 0


if __name__ == "__main__":
    raise SystemExit(main())
