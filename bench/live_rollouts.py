"""`make bench-live-rollouts`: good and bad canaries on a real platform, all at once, under the default strategy.

    python -m bench.live_rollouts [--good N] [--rate R] [--write docs/tasks/rollouts.md]

Data flow: endpoints with a model of some milliseconds, each with traffic and late feedback of its own -> a canary for
each by `deploy --rollout`, half of the good ones the same file and half a little slower and a little
different -> `rollout status` until all have ended -> a table of ends, times and requests that the canaries answered.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.conversion import put
from tests.support import models
from tests.support.feeder import Feeder
from tests.support.platform import Platform

BEGIN, END = "<!-- bench.live_rollouts -->", "<!-- /bench.live_rollouts -->"
PATIENCE_S = 2400.0
MODEL = """
import random, time
KEPT, BORN = [], time.time()

class Model:
    def __init__(self):
        if time.time() > {expires}:
            raise RuntimeError("the weights are gone")

    def predict(self, inputs):
        time.sleep({seconds} * random.lognormvariate(0, 0.2))
        if random.random() < {fails}:
            raise RuntimeError("no")
        while len(KEPT) < (time.time() - BORN) / 60 * {leaks}:
            KEPT.append(bytearray(b"x") * 1_000_000)
        return {{"chance": [{chance} for x in inputs["x"]]}}
"""


@dataclass(frozen=True)
class Kind:
    """What a canary does; by default what the stable revision does. `leaks`: MB a minute; `loads_for`: seconds from
    its deploy after which it does not load any more."""

    seconds: float = 0.004
    fails: float = 0.0
    leaks: float = 0.0
    chance: str = "x"
    loads_for: float = 1e9
    good: bool = True

    def file(self, into: Path, name: str) -> Path:
        text = MODEL.format(
            seconds=self.seconds, fails=self.fails, leaks=self.leaks, chance=self.chance,
            expires=time.time() + self.loads_for,
        )  # fmt: skip
        return models.python_file(into, name, text)


STABLE = Kind()
SAME, OTHER = "the same file", "5 % slower, 2 % other answers"
KINDS = {
    SAME: Kind(),
    OTHER: Kind(seconds=0.0042, chance="(x if random.random() < 0.98 else 1 - x)"),
    "5 % of requests fail": Kind(fails=0.05, good=False),
    "latency + 50 %": Kind(seconds=0.006, good=False),
    "swapped classes": Kind(chance="1 - x", good=False),
    "drifted scores": Kind(chance="(0.5 * x if x < 0.5 else 0.75 + 0.25 * x)", good=False),
    "leaks 3 MB a minute": Kind(leaks=3.0, good=False),
    "does not load any more": Kind(loads_for=20.0, good=False),
}


@dataclass(frozen=True)
class Run:
    """One rollout. `met`: what the canary answered; `seconds` since its first weight."""

    kind: str
    phase: str
    seconds: float
    met: int
    reason: str
    highest: int


def plan(good: int) -> Iterator[tuple[str, str]]:
    """The endpoints, each with the kind of its canary."""
    for number in range(good):
        yield f"good-{number + 1}", SAME if number % 2 == 0 else OTHER
    for number, kind in enumerate(kind for kind, what in KINDS.items() if not what.good):
        yield f"bad-{number + 1}", kind


def run(good: int, rate: float) -> list[Run]:
    """All at once, on a platform of their own."""
    endpoints = dict(plan(good))
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        folder = Path(temporary)
        platform = Platform(folder / "home")
        stack.callback(platform.close)
        platform.start()
        sample = models.column_sample(folder, "x", [0.25, 0.75])
        first = STABLE.file(folder, "stable")
        for name in endpoints:
            platform.deploy(first, name, sample=sample)
        feeders = {}
        for name, kind in endpoints.items():
            truth = None if kind == "drifted scores" else lambda x: x >= 0.5
            feeders[name] = stack.enter_context(Feeder(platform, name, truth, rate=rate))
        time.sleep(10)
        for name, kind in endpoints.items():
            canary = KINDS[kind].file(folder, name.replace("-", "_"))
            if KINDS[kind].loads_for < 1e6:
                platform.deploy(canary, name, "--traffic", "0", sample=sample)
                platform.cli("traffic", name, "--no-warm")
                time.sleep(KINDS[kind].loads_for)
                platform.cli("rollout", "start", name, "--revision", "2")
            else:
                platform.deploy(canary, name, "--rollout", sample=sample)
        return [_ended(platform, name, kind, feeders[name]) for name, kind in endpoints.items()]


def _ended(platform: Platform, name: str, kind: str, feeder: Feeder) -> Run:
    end = time.monotonic() + PATIENCE_S
    while (found := platform.cli("rollout", "status", name))["phase"] not in ("promoted", "aborted"):
        if time.monotonic() > end:
            break
        time.sleep(5)
    told = platform.cli("rollout", "history", name)["decisions"]
    began = found.get("began") or told[0]["at"]
    one = Run(
        kind,
        found["phase"],
        told[-1]["at"] - began,
        feeder.versions["2"],
        found["reason"],
        max(d["weight"] for d in told),
    )
    print(f"{name:8} {kind:32} {one.phase:9} {one.seconds:6.0f} s {one.met:6} requests  {one.reason}", flush=True)
    return one


def table(runs: list[Run]) -> str:
    """Good ones by kind, then each bad one."""
    lines = [
        "| canary | rollouts | promoted | aborted | median time | median requests met | why |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind in dict.fromkeys(one.kind for one in runs):
        mine = [one for one in runs if one.kind == kind]
        ends = [sum(one.phase == phase for one in mine) for phase in ("promoted", "aborted")]
        why = ", ".join(sorted({one.reason.split(":")[0] for one in mine if one.phase == "aborted"}))
        seconds, met = (statistics.median(one) for one in zip(*((run.seconds, run.met) for run in mine), strict=True))
        lines.append(f"| {kind} | {len(mine)} | {ends[0]} | {ends[1]} | {seconds:.0f} s | {met:.0f} | {why} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--good", type=int, default=20, help="How many good canaries.")
    parser.add_argument("--rate", type=float, default=10.0, help="Requests a second of each endpoint.")
    parser.add_argument("--write", type=Path, help="Put the table into this page, between its marks.")
    asked = parser.parse_args()
    runs = run(asked.good, asked.rate)
    print(table(runs))
    if asked.write:
        put(asked.write, table(runs), BEGIN, END)
    wrong = [one for one in runs if (one.phase == "promoted") != KINDS[one.kind].good]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
