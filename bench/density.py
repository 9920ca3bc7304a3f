"""`make bench-density`: 1,000 models on memory for 20, against LRU and against what nobody can beat.

    python -m bench.density [--models N] [--room N] [--seconds S] [--rate R] [--write docs/tasks/density.md]

Endpoints on a few dozen bundles of different size and load time -> requests whose models are as popular as Zipf says,
at a real platform with a memory budget, all replicas sampled from outside -> the same requests in virtual time, with
the sizes and times measured, under our rule, LRU, Belady's, and a bound from linear programming -> a table.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array

import inferry
from bench.conversion import put
from inferry.simulation.density import Asked, Belady, Lru, Ours, Replayed, Weight, replay
from tests.support import density
from tests.support.platform import Platform

BEGIN, END = "<!-- bench.density -->", "<!-- /bench.density -->"
EXPONENT = 1.1
ONNX_MB = (0.1, 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40, 44, 48)
PYTHON_MB = (1, 2, 4, 8, 16, 24)
PASSES = (1, 3)
TINY_MB = 12.0
"""What the process of a model holds beside the model."""
MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Lived:
    """What a run on the platform led to: answers, samples of all replicas, sizes and times of each bundle."""

    answers: list[density.Answered]
    samples: density.Samples
    weights: dict[str, Weight]
    deploy_ms: dict[str, float]
    idle: dict[str, float]


def main() -> None:
    """Measure, replay, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000)
    parser.add_argument("--room", type=int, default=20, help="models of average size that fit")
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--rate", type=float, default=12.0, help="requests a second")
    parser.add_argument("--write", type=Path, help="Put the table into this page, between its marks.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        kinds = make_kinds(Path(folder))
        budget_mb = asked.room * average_mb()
        platform = Platform(Path(folder) / "home", "--memory-budget", f"{budget_mb:.0f}MB").start()
        try:
            names = [f"dense-{number}" for number in range(asked.models)]
            trace = density.zipf(names, EXPONENT, round(asked.seconds * asked.rate), asked.rate, seed=3)
            lived = live(platform, kinds, asked.models, trace)
        finally:
            platform.close()
    text = report(asked, int(budget_mb * MB), trace, lived)
    print(text)
    if asked.write:
        put(asked.write, text, BEGIN, END)


def make_kinds(folder: Path) -> list[density.Kind]:
    """The bundles."""
    return [
        *(density.lookup_onnx(folder, size) for size in ONNX_MB),
        *(density.sorted_python(folder, size, passes) for size in PYTHON_MB for passes in PASSES),
    ]


def average_mb() -> float:
    """What a model holds on average, its process included."""
    sizes = [*ONNX_MB, *(size for size in PYTHON_MB for _ in PASSES)]
    return TINY_MB + statistics.mean(sizes)


def live(platform: Platform, kinds: Sequence[density.Kind], count: int, trace: list[tuple[float, str]]) -> Lived:
    """Deploy, ask, and look on."""
    with inferry.connect(platform.control, key=platform.key) as client:
        took: list[float] = []
        endpoints: dict[str, density.Kind] = {}
        for part in density.deploy(kinds, count, client):
            endpoints[part.name] = part.kind
            took.append(part.ms)
        print(f"{count} endpoints deployed, {statistics.median(took):.0f} ms each", flush=True)
        deploys = {
            "the 41st to 90th": statistics.median(took[40:90]),
            "the last 50": statistics.median(took[-50:]),
        }
        idle = at_rest(platform, 15.0)
        sizes: dict[str, list[float]] = defaultdict(list)
        over = threading.Event()
        poller = threading.Thread(target=poll, args=(client, endpoints, sizes, over))
        poller.start()
        try:
            with density.sampled(platform, 0.25) as samples:
                answers = asyncio.run(density.ask(platform, endpoints, trace))
        finally:
            over.set()
            poller.join()
    costs: dict[str, list[float]] = defaultdict(list)
    for one in answers:
        if one.cold_ms:
            costs[endpoints[one.name].name].append(one.cold_ms / 1000)
    usual_cost = statistics.median([cost for found in costs.values() for cost in found])
    usual_size = statistics.median([size for found in sizes.values() for size in found])
    weights = {
        name: Weight(
            int(statistics.median(sizes.get(kind.name) or [usual_size]) * MB),
            statistics.median(costs.get(kind.name) or [usual_cost]),
        )
        for name, kind in endpoints.items()
    }
    return Lived(answers=answers, samples=samples, weights=weights, deploy_ms=deploys, idle=idle)


def poll(
    client: inferry.Client, endpoints: Mapping[str, density.Kind], sizes: dict[str, list[float]], over: threading.Event
) -> None:
    """Note what each bundle holds, as the platform says."""
    while not over.wait(2.0):
        for row in client.status().memory.loaded:
            sizes[endpoints[row.endpoint].name].append(row.memory_mb)


def at_rest(platform: Platform, seconds: float) -> dict[str, float]:
    """What control and gateway use of a processor while nobody asks (percent), and what they hold (MB)."""
    pids = {"control": platform.control_pid(), "gateway": platform.gateway_pid()}
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    found = {f"{name}, % of a core": 100 * (cpu_s(pid) - before[name]) / seconds for name, pid in pids.items()}
    return found | {f"{name}, MB": density.held_by(pid).private / MB for name, pid in pids.items()}


def cpu_s(pid: int) -> float:
    """Processor seconds of a process."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def bound_s(trace: Sequence[Asked], weights: Mapping[str, Weight], budget: int) -> float:
    """The fewest seconds of loading that any rule could reach: a linear program.

    A variable for each two requests of one model that follow each other: the part of the model that is kept between
    them, which saves that part of a load. What is kept at a request, and the model that is asked for, fit the budget.
    What is kept is a sum that each request changes, so that the matrix is sparse.
    """
    last: dict[str, int] = {}
    starts, ends, saves, sizes = [], [], [], []
    for place, asked in enumerate(trace):
        if asked.name in last:
            weight = weights[asked.name]
            starts.append(last[asked.name])
            ends.append(place)
            saves.append(weight.cost_s)
            sizes.append(weight.size / MB)
        last[asked.name] = place
    kept, steps = len(starts), len(trace)
    # occupied[t] = occupied[t-1] + what begins at t-1 - what ends at t
    rows = [*(start + 1 for start in starts), *ends, *range(steps), *range(1, steps)]
    columns = [
        *range(kept),
        *range(kept),
        *(kept + step for step in range(steps)),
        *(kept + step for step in range(steps - 1)),
    ]
    values = [*(-size for size in sizes), *sizes, *([1.0] * steps), *([-1.0] * (steps - 1))]
    matrix = coo_array((values, (rows, columns)), shape=(steps, kept + steps)).tocsr()
    room = [(budget - weights[asked.name].size) / MB for asked in trace]
    found = linprog(
        np.array([*(-saved for saved in saves), *([0.0] * steps)]),
        A_eq=matrix,
        b_eq=np.zeros(steps),
        bounds=[*([(0.0, 1.0)] * kept), *((0.0, max(0.0, one)) for one in room)],
        method="highs",
    )
    assert found.success, found.message
    return sum(weights[asked.name].cost_s for asked in trace) + float(found.fun)


def report(asked: argparse.Namespace, budget: int, trace: list[tuple[float, str]], lived: Lived) -> str:
    """The table, and what goes with it."""
    answers, samples = lived.answers, lived.samples
    failed = [one for one in answers if one.status != 200]
    for one in failed[:5]:
        print(one)
    cold = sorted(one.cold_ms / 1000 for one in answers if one.cold_ms)
    over = sum(held > budget for held in samples.held)
    virtual = [Asked(at, name) for at, name in trace]
    rules = {"ours": Ours(lived.weights), "LRU": Lru(), "Belady's, by size and cost": Belady(virtual, lived.weights)}
    rows = {name: replay(virtual, lived.weights, budget, rule) for name, rule in rules.items()}
    bound = bound_s(virtual, lived.weights, budget)
    per_model = sorted({(weight.size, weight.cost_s) for weight in lived.weights.values()})
    sizes, costs = [size / MB for size, _ in per_model], [1000 * cost for _, cost in per_model]
    head = (
        f"{asked.models:,} endpoints on {len(ONNX_MB) + len(PYTHON_MB) * len(PASSES)} bundles that hold "
        f"{min(sizes):.0f} to {max(sizes):.0f} MB and take {min(costs):.0f} to {max(costs):.0f} ms to start; a budget "
        f"of {budget / MB:.0f} MB; {len(answers):,} requests in {asked.seconds:.0f} s, Zipf {EXPONENT}: "
        f"**{len(failed)} failed**. Of {len(samples.held):,} samples of the memory {over} were over the budget; the "
        f"highest was {100 * max(samples.held) / budget:.0f} % of it, with up to {max(samples.replicas)} replicas."
    )
    measured = (
        f"| **measured on the platform** | {hits(len(answers) - len(cold), len(answers))} | {len(cold):,} "
        f"| {sum(cold):.1f} | {ms(cold, 0.5)} | {ms(cold, 0.99)} |"
    )
    deploys = ", ".join(f"{took:.0f} ms ({which})" for which, took in lived.deploy_ms.items())
    idle = ", ".join(f"{what} {value:.1f}" for what, value in lived.idle.items())
    lines = [
        head,
        "",
        "| | hits | requests that waited for a load | seconds of that | p50 | p99 |",
        "|---|--:|--:|--:|--:|--:|",
        measured,
        *(virtual_row(name, one) for name, one in rows.items()),
        f"| the bound: no rule loads for less | | | {bound:.1f} | | |",
        "",
        f"A deploy of one of these endpoints takes {deploys}. While nobody asks: {idle}.",
    ]
    return "\n".join(lines)


def virtual_row(name: str, one: Replayed) -> str:
    """A rule in virtual time."""
    found = sorted(one.reloads)
    return (
        f"| {name}, in virtual time | {hits(one.hits, one.requests)} | {len(found):,} | {one.reload_s:.1f} | "
        f"{ms(found, 0.5)} | {ms(found, 0.99)} |"
    )


def hits(count: int, of: int) -> str:
    """A share."""
    return f"{100 * count / max(1, of):.1f} %"


def ms(ordered: Sequence[float], quantile: float) -> str:
    """A quantile of seconds, in milliseconds."""
    return f"{1000 * ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]:.0f} ms"


if __name__ == "__main__":
    main()
