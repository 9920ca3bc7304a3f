"""The gRPC doors under load, by `perf_analyzer` (PyPI `perf-analyzer`), Triton's own load generator.

address -> perf_analyzer with a fixed number of requests in flight -> its CSV -> rate and latencies.
"""

from __future__ import annotations

import csv
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bench.peers.environments import Unavailable, environment

CONNECTIONS = 16


def analyse(address: str, options: list[str], seconds: float) -> dict[str, Any]:
    """One run. Raises Unavailable with perf_analyzer's own words when it fails."""
    program = environment("perf").folder / "bin/perf_analyzer"
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "table.csv"
        words = [
            str(program), "-m", "m", "-u", address, "-i", "grpc", "--concurrency-range", str(CONNECTIONS),
            "--measurement-interval", str(round(seconds * 1000)), "--stability-percentage", "1000", "--max-trials", "4",
            "-f", str(table), *options,
        ]  # fmt: skip
        try:
            done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=seconds * 6 + 30)
        except subprocess.TimeoutExpired as reason:
            raise Unavailable("perf_analyzer did not end in time") from reason
        if done.returncode or not table.exists():
            last = " ".join((done.stderr + done.stdout).split())[-300:]
            raise Unavailable(f"perf_analyzer ended with {done.returncode}: {last}")
        return read_table(table.read_text())


def read_table(text: str) -> dict[str, Any]:
    """The one row of perf_analyzer's CSV, which has its latencies in microseconds."""
    row = next(csv.DictReader(text.splitlines()))
    latencies = {name: float(row[f"{name} latency"]) / 1e3 for name in ("p50", "p99")}
    return {"rate": float(row["Inferences/Second"]), **latencies}
