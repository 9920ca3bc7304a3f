"""`make bench-soak`: half an hour of mixed traffic; memory and descriptors must not grow.

plain JSON at a steady rate, large binary bodies, gRPC, refused and cut-off requests, all at once -> every
few seconds PSS and open descriptors of each process -> the last quarter against the second one.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import numpy as np
import tritonclient.grpc as triton

from tests.support import openloop, processes
from tests.support.platform import Platform

ROOT = Path(__file__).resolve().parent.parent
ROW = [5.1, 3.5, 1.4, 0.2]
RATE = 300.0
PHASE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class Growth:
    """One process: PSS in MB and open descriptors, medians of the second and of the last quarter."""

    process: str
    mb_early: float
    mb_late: float
    files_early: float
    files_late: float


class Traffic:
    """All kinds of clients at once, until stopped. `statuses` counts what the steady ones were answered."""

    def __init__(self, platform: Platform, endpoint: str) -> None:
        self.platform = platform
        self.endpoint = endpoint
        self.stop = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.others = Counter[str]()
        self.headers = {"authorization": f"Bearer {platform.key}"}
        kinds = (self.large, self.grpc, self.refused, self.cut_off)
        self.threads = [threading.Thread(target=self.again_and_again, args=(kind,)) for kind in kinds]

    def run(self, seconds: float, sample: Callable[[], None]) -> None:
        """The steady rate here, the others in threads; `sample` is called between phases."""
        for thread in self.threads:
            thread.start()
        url = f"{self.platform.http}/predict/{self.endpoint}"
        wire = openloop.post(url, json.dumps({"inputs": [ROW]}).encode(), self.headers)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.statuses.update(sample.status for sample in openloop.run(url, wire, [(RATE, PHASE_S)]))
            sample()
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def again_and_again(self, kind: Callable[[], None]) -> None:
        """One kind of client, with a pause between its calls."""
        while not self.stop.is_set():
            kind()
            self.others[kind.__name__] += 1
            time.sleep(0.02)

    def large(self) -> None:
        """A body of 800 KB."""
        rows = np.tile(np.array(ROW, np.float32), (50_000, 1))
        head = (
            b'{"inputs":[{"name":"%b","datatype":"FP32","shape":[50000,4],"parameters":{"binary_data_size":%d}}],'
            b'"parameters":{"binary_data_output":true}}' % (self.input().encode(), rows.nbytes)
        )
        answer = httpx.post(
            f"{self.platform.http}/v2/models/{self.endpoint}/infer",
            content=head + rows.tobytes(),
            headers={**self.headers, "inference-header-content-length": str(len(head))},
            timeout=60,
        )
        answer.raise_for_status()

    def grpc(self) -> None:
        """A connection with a few calls."""
        with triton.InferenceServerClient(self.platform.grpc) as client:
            tensor = triton.InferInput(self.input(), [1, 4], "FP32")
            tensor.set_data_from_numpy(np.array([ROW], np.float32))
            for _ in range(10):
                client.infer(self.endpoint, [tensor], headers=self.headers)

    def refused(self) -> None:
        """Requests that are wrong."""
        for body, headers in ((b"{", self.headers), (b'{"inputs": [[1]]}', self.headers), (b"{}", {})):
            httpx.post(f"{self.platform.http}/predict/{self.endpoint}", content=body, headers=headers)

    def cut_off(self) -> None:
        """A client that leaves amid its body."""
        target = urlsplit(self.platform.http)
        wire = openloop.post(f"{self.platform.http}/predict/{self.endpoint}", bytes(200_000), self.headers)
        with socket.create_connection((target.hostname, target.port)) as client:
            client.sendall(wire[:100_000])

    def input(self) -> str:
        """The model's input."""
        return self.platform.call("GET", f"/v2/models/{self.endpoint}").json()["inputs"][0]["name"]


def descriptors(pid: int) -> int:
    """How many a process has open."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def soak(platform: Platform, endpoint: str, seconds: float, say: Callable[[str], None]) -> tuple[list[Growth], Traffic]:
    """Run the traffic; what became of each process."""
    pids = {"gateway": platform.gateway_pid(), "control": platform.control_pid(), "replica": platform.replica_pids()[0]}
    seen: dict[str, list[tuple[float, int]]] = {name: [] for name in pids}

    def sample() -> None:
        for name, pid in pids.items():
            seen[name].append((processes.pss_mb([pid]), descriptors(pid)))
        if len(seen["gateway"]) % 12 == 0:
            say(", ".join(f"{name} {rows[-1][0]:.1f} MB {rows[-1][1]} files" for name, rows in seen.items()))

    traffic = Traffic(platform, endpoint)
    traffic.run(seconds, sample)
    return [growth(name, rows) for name, rows in seen.items()], traffic


def growth(name: str, rows: list[tuple[float, int]]) -> Growth:
    """Medians of the second quarter and of the last."""
    quarter = max(1, len(rows) // 4)
    early, late = rows[quarter : 2 * quarter] or rows[:1], rows[-quarter:]
    return Growth(
        process=name,
        mb_early=statistics.median(mb for mb, _ in early),
        mb_late=statistics.median(mb for mb, _ in late),
        files_early=statistics.median(files for _, files in early),
        files_late=statistics.median(files for _, files in late),
    )


def main() -> int:
    """Soak, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory(prefix="inferry-soak-") as name:
        train = [sys.executable, str(ROOT / "examples/train.py"), str(Path(name) / "models")]
        subprocess.run(train, check=True, stdout=subprocess.DEVNULL)
        platform = Platform(Path(name) / "home")
        try:
            platform.start()
            platform.deploy(Path(name) / "models/iris.onnx", "iris")
            grown, traffic = soak(platform, "iris", minutes * 60, lambda line: print(line, file=sys.stderr, flush=True))
        finally:
            platform.close()
    document = {
        "minutes": minutes, "steady_statuses": traffic.statuses, "others": traffic.others,
        "processes": [asdict(one) for one in grown],
    }  # fmt: skip
    results = ROOT / "bench/results/soak.json"
    results.parent.mkdir(exist_ok=True)
    results.write_text(json.dumps(document, indent=2) + "\n")
    print(json.dumps(document, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
