"""What each rule made of the same trace, side by side.

Data flow: a Question -> the trace of each endpoint, from one seed -> a world for each rule -> Results.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import msgspec
import numpy as np

from inferry.simulation.rules import RULES
from inferry.simulation.traces import Counts, generate, read
from inferry.simulation.world import Outcome, World, run
from inferry.types.scaling import Scaling

PARTS = 256
"""Into so many parts many endpoints are divided, each with popular ones and others."""
ZIPF = 1.1
"""How unequal endpoints are: the n-th gets 1/n**ZIPF of what the first gets."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to simulate. `trace`: a shape or a file; `rate`: requests a second at shape 1, over all `endpoints`;
    `seconds`: how long (a file: as long as it is); `price`: of an hour of a replica."""

    trace: str
    rules: tuple[str, ...] = tuple(RULES)
    rate: float = 20.0
    seconds: float = 1800.0
    cv: float = 1.0
    seed: int = 0
    endpoints: int = 1
    price: float = 0.05
    world: World = World()
    scaling: Scaling = Scaling(min_replicas=0, max_replicas=64)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule made of it. `good`: the share of requests answered within the deadline; times in ms of those
    answered; `cold`: requests that came when no replica was ready."""

    rule: str
    requests: int
    good: float
    lost: int
    p50_ms: float
    p99_ms: float
    cold: int
    starts: int
    highest: int
    replica_hours: float
    cost: float


def answer(question: Question, tell: Callable[[int], None] = lambda _done: None) -> list[Result]:
    """Each rule's Result, in their order. `tell` hears how many endpoints are done."""
    count = min(PARTS, question.endpoints)
    parts = [list(range(first, question.endpoints, count)) for first in range(count)]
    sums, done = {name: Outcome() for name in question.rules}, 0
    for part, outcomes in zip(parts, played(question, parts), strict=True):
        for name, outcome in outcomes.items():
            sums[name].add(outcome)
        done += len(part)
        tell(done)
    return [result(name, sums[name], question) for name in question.rules]


def played(question: Question, parts: list[list[int]]) -> Iterator[dict[str, Outcome]]:
    """What came of each part, in turn; several are at work."""
    if len(parts) == 1:
        yield endpoints(question, parts[0])
        return
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(endpoints, [question] * len(parts), parts)


def endpoints(question: Question, numbers: list[int]) -> dict[str, Outcome]:
    """These endpoints under each rule."""
    sums = {name: Outcome() for name in question.rules}
    for number in numbers:
        counts = arrivals(question, number)
        for name in question.rules:
            rule = RULES[name](question.scaling)
            sums[name].add(run(counts, rule, question.world, question.scaling.min_replicas))
    return sums


def arrivals(question: Question, number: int) -> Counts:
    """The requests of one endpoint."""
    if question.trace.endswith(".csv"):
        return read(Path(question.trace), question.world.tick)
    shares = np.arange(1, question.endpoints + 1) ** -ZIPF
    return generate(
        question.trace, rate=question.rate * shares[number] / shares.sum(), seconds=question.seconds, cv=question.cv,
        seed=question.seed * 1_000_003 + number, tick=question.world.tick,
    )  # fmt: skip


def result(name: str, outcome: Outcome, question: Question) -> Result:
    """An Outcome in figures for people."""
    world, hours = question.world, outcome.replica_s / 3600
    waited = sorted(outcome.latencies)
    reached = np.cumsum([outcome.latencies[ticks] for ticks in waited])
    p50, p99 = (
        (waited[int(np.searchsorted(reached, q * reached[-1]))] * world.tick + world.service_s) * 1e3 if waited else 0.0
        for q in (0.5, 0.99)
    )
    return Result(
        rule=name, requests=outcome.requests, good=outcome.good / max(1, outcome.requests), lost=outcome.lost,
        p50_ms=round(p50, 1), p99_ms=round(p99, 1), cold=outcome.cold, starts=outcome.starts, highest=outcome.highest,
        replica_hours=round(hours, 4), cost=round(hours * question.price, 4),
    )  # fmt: skip
