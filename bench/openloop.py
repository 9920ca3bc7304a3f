"""Open-loop load: requests fall due at random times of a given rate, whether or not earlier ones are answered.

rate -> Poisson arrivals -> each is sent on an idle connection as soon as one is free -> latency counted
from the moment it was due to the end of its answer, so that a slow server cannot slow its own clock
down. It runs in one Python thread beside the server: its own delays are in the figures.
"""

from __future__ import annotations

import random
import select
import time
from collections import deque

from bench.connection import Connection, Post
from bench.load import Load, percentile

CONNECTIONS = 128
DRAIN_SECONDS = 5.0


def run_open(post: Post, rate: float, seconds: float, connections: int = CONNECTIONS) -> Load:
    """Send about `rate` requests a second for `seconds`; unanswered ones count as errors."""
    arrivals = random.Random(1)
    wire = post.wire()
    idle = [Connection(post.address()) for _ in range(connections)]
    busy: dict[int, Connection] = {}
    waiting: deque[float] = deque()
    latencies: list[float] = []
    errors = 0
    started = now = time.perf_counter()
    due, end = started, started + seconds
    while (now < end or waiting or busy) and now < end + DRAIN_SECONDS:
        while due <= now and due < end:
            waiting.append(due)
            due += arrivals.expovariate(rate)
        while waiting and idle:
            one = idle.pop()
            one.send(wire, waiting.popleft())
            busy[one.fileno()] = one
        pause = max(0.0, min(due, end) - now) if now < end else 0.1
        for descriptor in select.select(busy, (), (), pause)[0]:
            one = busy[descriptor]
            status = one.receive()
            if status is None:
                continue
            del busy[descriptor]
            latencies.append(time.perf_counter() - one.due)
            errors += status != 200
            if status == 0:
                one.close()
                one.open()
            idle.append(one)
        now = time.perf_counter()
    for one in [*idle, *busy.values()]:
        one.close()
    latencies.sort()
    return Load(
        requests=len(latencies), seconds=seconds, errors=errors + len(waiting) + len(busy),
        p50=percentile(latencies, 0.5) * 1e3, p99=percentile(latencies, 0.99) * 1e3,
    )  # fmt: skip
