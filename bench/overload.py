"""`make bench-overload`: ten times more requests than a model can answer, for a minute, each with a deadline.

capacity (a closed queue that never empties) -> open-loop load at ten times that -> what was answered, refused,
late; memory; then a quarter of the capacity -> whether the first second is enough to recover.
The generator runs in a process of its own and shares the cores with the server.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support import openloop, processes
from tests.support.openloop import quantile
from tests.support.platform import Platform

ROOT = Path(__file__).resolve().parent.parent
CALM_S = 3.0
SLEEPING = """
import time

class Model:
    def predict(self, inputs):
        time.sleep(0.004)
        return inputs
"""
WORKING = """
import numpy as np

class Model:
    def load(self):
        self.w = np.random.default_rng(0).random((1000, 1000))

    def predict(self, inputs):
        for _ in range(20):
            self.w @ self.w[0]
        return inputs
"""

PAUSING = """
import time

class Model:
    def __init__(self):
        self.next = time.monotonic() + 1.5

    def predict(self, inputs):
        time.sleep(0.004)
        if time.monotonic() > self.next:
            time.sleep(0.25)
            self.next = time.monotonic() + 1.5
        return inputs
"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What happened. Rates in requests a second, times in milliseconds, memory in MB."""

    capacity: float
    offered: float
    goodput: float
    accepted_p50: float
    accepted_p99: float
    late: int
    refused: int
    refused_p50: float
    refused_p99: float
    others: tuple[int, ...]
    memory_grown: float
    after_failed: int
    after_p50: float


def measure(platform: Platform, wire: bytes, guess: float, seconds: float) -> Outcome:
    """Load one endpoint. `guess`: about how many requests a second it can answer; `wire` carries the deadline."""
    samples = openloop.run(platform.http, wire, [(2 * guess, 3.0)])
    good = [sample for sample in samples if sample.status == 200]
    capacity = len(good) / max(sample.due + sample.latency for sample in good)
    pids = [platform.gateway_pid(), *platform.replica_pids()]
    before = processes.pss_mb(pids)
    samples = openloop.run(platform.http, wire, [(10 * capacity, seconds), (capacity / 4, CALM_S)])
    grown = processes.pss_mb(pids) - before
    under = [sample for sample in samples if sample.due < seconds]
    good = [sample.latency * 1e3 for sample in under if sample.status == 200]
    refused = [sample.latency * 1e3 for sample in under if sample.status == 429]
    after = [sample for sample in samples if sample.due >= seconds + 1.0]
    return Outcome(
        capacity=capacity,
        offered=10 * capacity,
        goodput=len(good) / seconds,
        accepted_p50=quantile(good, 0.5),
        accepted_p99=quantile(good, 0.99),
        late=sum(sample.status == 504 for sample in under),
        refused=len(refused),
        refused_p50=quantile(refused, 0.5),
        refused_p99=quantile(refused, 0.99),
        others=tuple(sorted({sample.status for sample in under} - {200, 429, 504})),
        memory_grown=grown,
        after_failed=sum(sample.status != 200 for sample in after),
        after_p50=quantile([sample.latency * 1e3 for sample in after], 0.5),
    )


def serve(platform: Platform, folder: Path, name: str, source: str, deadline_s: float) -> bytes:
    """Deploy a Python model; the request to it, with a deadline."""
    path = folder / f"{name}.py"
    path.write_text(source)
    platform.deploy(path, name)
    for _ in range(50):
        platform.predict(name, {"inputs": 1})
    headers = {"authorization": f"Bearer {platform.key}", "inferry-timeout": str(deadline_s)}
    return openloop.post(f"{platform.http}/predict/{name}", json.dumps({"inputs": 1}).encode(), headers)


def main() -> int:
    """Measure a model that waits, one that computes and one that pauses now and then, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--deadline", type=float, default=0.5)
    options = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="inferry-overload-") as name:
        for model, source, guess in (
            ("waits", SLEEPING, 250.0),
            ("computes", WORKING, 600.0),
            ("pauses", PAUSING, 250.0),
        ):
            platform = Platform(Path(name) / model)
            try:
                platform.start()
                wire = serve(platform, Path(name), model, source, options.deadline)
                found[model] = asdict(measure(platform, wire, guess, options.seconds))
            finally:
                platform.close()
            print(json.dumps({model: found[model]}, indent=2), flush=True)
    results = ROOT / "bench/results/overload.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(
        json.dumps({"deadline_s": options.deadline, "seconds": options.seconds, **found}, indent=2) + "\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
