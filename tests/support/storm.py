"""A storm over a platform: its processes are killed at random while clients submit jobs."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
import uuid
from collections import Counter
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from tests.support import processes
from tests.support.platform import Platform
from tests.support.receiver import Receiver

CLIENTS = 8
PATIENCE_S = 120.0
CLIENT = httpx.Client(trust_env=False)  # for all threads: to make one takes longer than a call


class Storm:
    """Kills processes of the platform one after the other, `most` of them."""

    def __init__(self, platform: Platform, seed: int, most: int, pause_s: float) -> None:
        self.platform = platform
        self.random = random.Random(seed)
        self.most = most
        self.pause_s = pause_s
        self.kills: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _run(self) -> None:
        for _ in range(self.most):
            time.sleep(self.random.uniform(0.5, 1.5) * self.pause_s)
            victim = self.random.choice(["jobs", "gateway", "control", "replica", "zygote"])
            for pid in self._pids(victim):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self.kills[victim] = self.kills.get(victim, 0) + 1

    def _pids(self, victim: str) -> list[int]:
        if victim == "replica":
            return self.platform.replica_pids()[:1]
        parents = [pid for pid in self.platform.processes() if processes.parent(pid) == self.platform.pid]
        named = {f"inferry.compose.{name}": name for name in ("jobs", "gateway", "control")}
        children = {pid: next((named[w] for w in command(pid) if w in named), "zygote") for pid in parents}
        replicas = self.platform.replica_pids()  # the supervisor's children too, when their zygote is gone
        return [pid for pid, name in children.items() if name == victim and pid not in replicas][:1]


def command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def call(platform: Platform, method: str, path: str, timeout: float, key: str = "", **options: Any) -> httpx.Response:
    headers = {"authorization": f"Bearer {platform.key}", **({"idempotency-key": key} if key else {})}
    return CLIENT.request(method, platform.http + path, headers=headers, timeout=timeout, **options)


def submitted(platform: Platform, row: float) -> str:
    """A job that was surely acknowledged, sent again under its key as long as it was not."""
    key = uuid.uuid4().hex
    while True:
        with contextlib.suppress(httpx.HTTPError):
            answer = call(platform, "POST", "/jobs/storm", 20, key, json=[[row, 3.5, 1.4, 0.2]])
            if answer.status_code == 202:
                return answer.json()["id"]
            assert answer.status_code in (429, 503), answer.text
        time.sleep(0.1)


def storm(
    platform: Platform, jobs: int, seed: int, kills: int, pause_s: float
) -> tuple[set[str], dict[str, int], dict[str, int]]:
    """Submit jobs while everything is killed at random; each must have one end that never changes. Their ids, their
    ends and the kills, counted."""
    between = kills * pause_s * CLIENTS / jobs

    def one(number: int) -> str:
        time.sleep(between)
        return submitted(platform, number / jobs)

    with Storm(platform, seed, kills, pause_s) as fury, ThreadPoolExecutor(CLIENTS) as pool:
        ids = list(pool.map(one, range(jobs)))
        early = ends(pool, platform, ids[: jobs // 2])
        assert len(set(ids)) == jobs
    with ThreadPoolExecutor(CLIENTS) as pool:
        first = ends(pool, platform, ids)
    assert {state for state, _ in first.values()} <= {"succeeded", "dead"}
    assert {id: first[id] for id in early} == early
    return set(ids), dict(Counter(state for state, _ in first.values())), fury.kills


def told(receiver: Receiver, secret: str, ids: set[str], patience_s: float) -> Counter[str]:
    """How often each job was told of, when all have been, or nothing more comes for `patience_s`."""
    until, seen, counts = time.monotonic() + patience_s, 0, Counter[str]()
    while time.monotonic() < until:
        if len(receiver.got) != seen:
            seen, until = len(receiver.got), time.monotonic() + patience_s
            counts = Counter(event.subject.rpartition("/")[2] for event in receiver.events(secret))
            if ids <= set(counts):
                return counts
        time.sleep(0.5)
    raise AssertionError(f"{len(ids - set(counts))} of {len(ids)} jobs were not told of")


def ends(pool: Executor, platform: Platform, ids: list[str]) -> dict[str, tuple[str, float]]:
    return dict(zip(ids, pool.map(partial(ended, platform), ids), strict=True))


def ended(platform: Platform, id: str) -> tuple[str, float]:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        with contextlib.suppress(httpx.HTTPError):
            answer = call(platform, "GET", f"/jobs/{id}?wait=5", 30)
            if answer.status_code == 200 and answer.json()["ended"]:
                return answer.json()["state"], answer.json()["ended"]
            assert answer.status_code in (200, 503), answer.text
        time.sleep(0.2)
    raise AssertionError(f"the job {id} has no end")
