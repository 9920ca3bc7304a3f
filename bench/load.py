"""Load: the same POST again and again over a number of kept connections, as fast as they answer.

one request -> wrk when it is installed, else the small generator below -> rate, latencies, errors.
`users` is for latency below the limit: many connections that each think for a random time before they ask.
The generator shares the machine's cores with the server that it measures, whichever of the two it is.
"""

from __future__ import annotations

import json
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.connection import Connection, Post


@dataclass(frozen=True, kw_only=True)
class Load:
    """What a run measured. Latencies in milliseconds; `errors`: answers other than 200, and broken connections."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int

    @property
    def rate(self) -> float:
        """Answers in a second."""
        return self.requests / self.seconds


def generator() -> str:
    """Which load generator `run` uses here."""
    return "wrk" if shutil.which("wrk") else "bundled"


def run(post: Post, connections: int, seconds: float) -> Load:
    """Keep `connections` requests in flight for `seconds`."""
    return _wrk(post, connections, seconds) if generator() == "wrk" else bundled(post, connections, seconds)


def users(post: Post, rate: float, seconds: float, connections: int = 256) -> Load:
    """About `rate` requests a second from users who wait for each answer and then think for an exponentially
    distributed time (in steps of a millisecond). By wrk alone: a generator in Python takes more processor
    time than the servers it measures, and its own delays would be most of the tail."""
    return _wrk(post, connections, seconds, _THINK % (1e3 * connections / rate))


_SCRIPT = """
local body = io.open(%s, "rb")
wrk.method = "POST"
wrk.body = body:read("*a")
body:close()
%s
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%%d,"seconds":%%.6f,"p50":%%.4f,"p99":%%.4f,"errors":%%d}\\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


_THINK = """
math.randomseed(7)
function delay()
  return math.floor(0.5 - math.log(1 - math.random()) * %f)
end
"""


def _wrk(post: Post, connections: int, seconds: float, more: str = "") -> Load:
    headers = "\n".join(f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in post.headers.items())
    with tempfile.TemporaryDirectory() as folder:
        script, body = Path(folder) / "post.lua", Path(folder) / "body"
        body.write_bytes(post.body)
        script.write_text(_SCRIPT % (json.dumps(str(body)), headers) + more)
        command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        command += ["-s", str(script), post.url]
        return read_wrk(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def read_wrk(output: str) -> Load:
    """The figures that the script above printed last."""
    return Load(**json.loads(output.strip().splitlines()[-1]))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value at that share of an ordered sequence; 0 when it is empty."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def bundled(post: Post, connections: int, seconds: float) -> Load:
    """One thread, plain sockets, one selector."""
    wire = post.wire()
    selector = selectors.DefaultSelector()
    waiting = [Connection(post.address()) for _ in range(connections)]
    latencies: list[float] = []
    errors = 0
    started = now = time.perf_counter()
    for one in waiting:
        selector.register(one, selectors.EVENT_READ, one)
        one.send(wire)
    while now - started < seconds:
        for key, _ in selector.select(timeout=1.0):
            one = key.data
            status = one.receive()
            if status is None:
                continue
            latencies.append(time.perf_counter() - one.due)
            errors += status != 200
            if status == 0:
                selector.unregister(one)
                one.close()
                one.open()
                selector.register(one, selectors.EVENT_READ, one)
            one.send(wire)
        now = time.perf_counter()
    for one in waiting:
        one.close()
    latencies.sort()
    return Load(
        requests=len(latencies), seconds=now - started, errors=errors,
        p50=percentile(latencies, 0.5) * 1e3, p99=percentile(latencies, 0.99) * 1e3,
    )  # fmt: skip
