"""What keeping answers for feedback costs the gateway: the same load with and without, by turns, in one run.

a tiny model behind 64 connections -> rounds that keep none, up to 100 (also with what was asked) or 1,000 a second, in
changing order -> the gateway's processor time for each request, and the rate, as ratios of the medians.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from bench import load
from bench.connection import Post
from tests.support import models
from tests.support.platform import Platform

ROUNDS = 8
SECONDS = 3.0
CONNECTIONS = 64
KINDS = {
    "none": ("0", "100", "0"), "100 a second": ("100", "100", "0"), "with inputs": ("100", "100", "100"),
    "1000 a second": ("100", "1000", "0"),
}  # fmt: skip


def spent(pid: int) -> float:
    """Processor seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder) / "home").start()
        try:
            platform.deploy(models.iris_onnx(Path(folder)), "iris")
            measured = measure(platform)
        finally:
            platform.close()
    base = measured["none"]
    for kind, (cost, rate, p99) in measured.items():
        print(
            f"{kind:>14}: {cost:6.2f} us of the gateway's processor a request ({cost / base[0]:.3f} of none), "
            f"{rate:7.0f} requests/s ({rate / base[1]:.3f}), p99 {p99:.2f} ms ({p99 / base[2]:.3f})"
        )
    return 0


def measure(platform: Platform) -> dict[str, tuple[float, float, float]]:
    """Medians of cost (microseconds), rate and p99 by kind."""
    body = json.dumps([models.IRIS_ROWS[0]]).encode()
    headers = {"authorization": f"Bearer {platform.key}", "content-type": "application/json"}
    post = Post(url=f"{platform.http}/predict/iris", body=body, headers=headers)
    pid = platform.gateway_pid()
    load.run(post, CONNECTIONS, SECONDS)
    found: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in KINDS}
    for number in range(ROUNDS):
        order = list(KINDS) if number % 2 else list(reversed(KINDS))
        for kind in order:
            percent, most, inputs = KINDS[kind]
            platform.cli("traffic", "iris", "--keep", percent, "--keep-most", most, "--keep-inputs", inputs)
            time.sleep(1.5)
            before = spent(pid)
            ran = load.run(post, CONNECTIONS, SECONDS)
            cost = (spent(pid) - before) / ran.requests * 1e6
            assert not ran.errors
            found[kind].append((cost, ran.rate, ran.p99))
    return {
        kind: (
            statistics.median(one[0] for one in rows),
            statistics.median(one[1] for one in rows),
            statistics.median(one[2] for one in rows),
        )
        for kind, rows in found.items()
    }


if __name__ == "__main__":
    sys.exit(main())
