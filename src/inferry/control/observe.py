"""Observe: what control sees of a rollout's two revisions, cut into windows.

Data flow: the gateway's counters, the replicas' memory and deaths, answers that were kept and truths that met them,
answers of outside queries -> the difference to the last look -> one Window. The first look only remembers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from inferry.control.fleet import Fleet
from inferry.control.reconciler import group_of
from inferry.policy import bins as binning
from inferry.policy import quality
from inferry.telemetry.metrics import BUCKETS, upper_bound
from inferry.types.analysis import Arm, Bins, Health, Moments, Observation, Window
from inferry.types.feedback import Capture, Joined
from inferry.types.registry import Revision
from inferry.types.rollout import Rollout
from inferry.types.traffic import MirrorReport, RevisionCounters

LATENCY_BOUNDS = tuple(upper_bound(bucket) / 1e6 for bucket in range(BUCKETS))
ERROR = 500
TRIES = 3
"""A canary of which no copy came up in so many tries does not load."""

Values = Mapping[int, Mapping[str, float]]
"""Answers of outside queries, by revision and query."""


class Heard(Protocol):
    """What comes of answers and of their truth; `number` is that of the last."""

    @property
    def number(self) -> int:
        """Of the last that came."""
        ...

    def since(self, endpoint: str, number: int) -> tuple[list[Capture], list[Joined]]:
        """Answers and truths of an endpoint that came behind a number."""
        ...


class Look(NamedTuple):
    """What had been counted of both revisions at one moment, and the number of the last answer or truth."""

    at: float
    counters: dict[int, RevisionCounters]
    deaths: dict[int, int]
    number: int


class Observer:
    """Remembers the last look at each rollout."""

    def __init__(self, fleet: Fleet, heard: Heard, clock: Callable[[], float]) -> None:
        self._fleet = fleet
        self._heard = heard
        self._clock = clock
        self._looks: dict[str, Look] = {}

    def observe(
        self,
        rollout: Rollout,
        revisions: Mapping[int, Revision],
        counters: tuple[RevisionCounters, ...],
        values: Values,
    ) -> Observation:
        """What is known now; a window since the last look, from the second look on."""
        now = self._clock()
        pair = rollout.stable, rollout.canary
        counted = {c.revision: c for c in counters if c.endpoint == rollout.endpoint and c.revision in pair}
        deaths = {number: self._fleet.deaths[group_of(revisions[number])] for number in pair}
        last, look = self._looks.get(rollout.id), Look(now, counted, deaths, self._heard.number)
        self._looks[rollout.id] = look
        windows: tuple[Window, ...] = ()
        if last is not None and now > last.at:
            answers, truths = self._heard.since(rollout.endpoint, last.number)
            arms = [
                replace(
                    self._arm(number, revisions[number], last, look, values.get(number, {})),
                    scores=scores_of(answers, number, rollout.bins),
                    feedback=feedback_of(truths, number),
                )
                for number in pair
            ]
            windows = (Window(start=last.at, end=now, stable=arms[0], canary=arms[1]),)
        health = self._health(revisions[rollout.canary])
        return Observation(windows=windows, latency_bounds=LATENCY_BOUNDS, health=health)

    def running(self, revision: Revision) -> bool:
        """Whether a replica of a revision can answer."""
        return bool(self._fleet.of(group_of(revision)))

    def forget(self, kept: set[str]) -> None:
        """Keep only what belongs to these rollouts."""
        self._looks = {id: look for id, look in self._looks.items() if id in kept}

    def _health(self, canary: Revision) -> Health:
        group = group_of(canary)
        there = len(self._fleet.of(group))
        failures = self._fleet.failures.get(group)
        failed = ""
        if not there and failures is not None and failures.deaths >= TRIES:
            failed = self._fleet.problems.get(group, "") or "no copy of it came up."
        return Health(ready=there >= canary.config.least, failed=failed)

    def _arm(self, number: int, revision: Revision, last: Look, look: Look, values: Mapping[str, float]) -> Arm:
        now = look.counters.get(number)
        before = last.counters.get(number)
        if now is None:
            return Arm(crashes=look.deaths[number] - last.deaths[number], values=dict(values))
        statuses = {
            status: count - (before.statuses.get(status, 0) if before else 0) for status, count in now.statuses.items()
        }
        compared, disagreed = mirrored(now.mirror, before.mirror if before else None)
        found = (replica.held() for replica in self._fleet.of(group_of(revision)))
        memory = [held.private / 1e6 for held in found if held is not None]
        return Arm(
            requests=sum(statuses.values()),
            errors=sum(count for status, count in statuses.items() if status >= ERROR),
            latency=tuple(
                count - (before.latency[bucket] if before and before.latency else 0)
                for bucket, count in enumerate(now.latency or (0,) * BUCKETS)
            ),
            compared=compared,
            disagreed=disagreed,
            memory_mb=sum(memory) / len(memory) if memory else None,
            crashes=look.deaths[number] - last.deaths[number],
            values=dict(values),
        )


def scores_of(answers: Iterable[Capture], revision: int, bins: Bins | None) -> tuple[int, ...]:
    """A revision's answers by bin. One row of each request: rows of one request are often alike."""
    if bins is None:
        return ()
    return binning.count(bins, (a.predictions[0] for a in answers if a.revision == revision and a.predictions))


def feedback_of(truths: Iterable[Joined], revision: int) -> dict[str, Moments]:
    """What a revision's truths add up to, by metric."""
    values: defaultdict[str, list[float]] = defaultdict(list)
    for one in truths:
        if one.capture.revision == revision:
            for metric, found in quality.outcomes(one).items():
                values[metric] += found
    return {
        metric: Moments(count=len(all_), total=sum(all_), squares=sum(value * value for value in all_))
        for metric, all_ in values.items()
    }


def mirrored(now: MirrorReport | None, before: MirrorReport | None) -> tuple[int, int]:
    """Of a shadow since the last look: answers compared (or failed alone), and those that disagreed."""
    if now is None:
        return 0, 0
    if before is None or before.compared > now.compared:
        before = MirrorReport()
    compared = now.compared + now.failed - before.compared - before.failed
    equal = now.equal - before.equal
    return compared, compared - equal
