"""Scaling rules with their defaults: ours, which is the very code that runs, and others after their documents.

Data flow: a View of an endpoint at a moment -> how many replicas are wanted from then on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from math import ceil, floor, inf
from typing import NamedTuple, Protocol

from inferry.policy import scale
from inferry.types.scaling import Scaling, Snapshot


class View(NamedTuple):
    """What a rule may look at. `arrived` and `busy_s` (time that requests spent at the endpoint) count from the
    begin; `waiting`: for a first replica; `in_flight`: at replicas; `wanted`: replicas by the last decision; `late`:
    answers that took longer than a target, from the begin."""

    now: float
    arrived: int
    busy_s: float
    waiting: int
    in_flight: int
    ready: int
    wanted: int
    service_s: float
    cold_start_s: float
    late: int = 0


class Rule(Protocol):
    """`period_s`: how often it decides; `wakes`: whether a request at zero makes it decide at once; `target_s`:
    answers that take longer are counted for it."""

    period_s: float
    wakes: bool
    target_s: float

    def decide(self, view: View) -> int:
        """Replicas from now on."""
        ...


class Ours:
    """`policy.scale`, as control runs it."""

    period_s, wakes = scale.LOOK_S, True

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        self.target_s = scaling.target_latency_s or inf
        self.state = scale.begin(scaling, scaling.min_replicas, 0.0)
        self.last: scale.Decision | None = None

    def decide(self, view: View) -> int:
        """Replicas from now on."""
        snapshot = Snapshot(
            busy_s=view.busy_s, arrived=view.arrived, waiting=view.waiting, in_flight=view.in_flight, ready=view.ready,
            service_s=view.service_s if view.busy_s else 0.0, cold_start_s=view.cold_start_s, late=view.late,
        )  # fmt: skip
        decision = scale.decide(snapshot, self.scaling, self.state, view.now)
        self.state, self.last = decision.state, decision
        return decision.replicas


class Window:
    """Sums over the last seconds of what counts up."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.marks = deque([(0.0, 0.0)])

    def mean(self, now: float, total: float) -> float:
        """The mean rate of growth; over less when less has passed."""
        self.marks.append((now, total))
        while len(self.marks) > 2 and self.marks[1][0] <= now - self.seconds:
            self.marks.popleft()
        then, before = self.marks[0]
        return (total - before) / max(min(self.seconds, now), 1e-9) if now > then else 0.0


class Knative:
    """Knative's pod autoscaler with the defaults of its config-autoscaler: concurrency over 60 s, and over 6 s in
    panic, against a target of 70; to zero 30 s after a stable window without requests.
    https://knative.dev/docs/serving/autoscaling/"""

    period_s, wakes, target_s = 2.0, True, inf
    grace_s, panic_at, up, down = 30.0, 2.0, 1000.0, 2.0

    def __init__(self, scaling: Scaling, target: float = 70.0) -> None:
        self.scaling, self.target = scaling, target
        self.stable, self.panic = Window(60.0), Window(6.0)
        self.surged: float | None = None
        self.latch = 0
        self.quiet: float | None = None

    def decide(self, view: View) -> int:
        """Replicas from now on."""
        low, high = floor(view.ready / self.down), max(1, ceil(view.ready * self.up))
        stable, panic = self.stable.mean(view.now, view.busy_s), self.panic.mean(view.now, view.busy_s)
        calm = min(high, max(low, ceil(stable / self.target)))
        urgent = min(high, max(low, ceil(panic / self.target)))
        if ceil(panic / self.target) >= self.panic_at * max(1, view.ready):
            self.surged = view.now
        elif self.surged is not None and view.now - self.surged >= 60:
            self.surged, self.latch = None, 0
        if self.surged is not None:
            self.latch = calm = max(self.latch, calm, urgent)
        if view.waiting:
            calm = max(1, calm)
        if stable > 1e-9 or view.waiting or view.in_flight:
            self.quiet = None
        elif self.quiet is None:
            self.quiet = view.now
        kept = 1 if view.wanted and (self.quiet is None or view.now - self.quiet < self.grace_s) else 0
        return max(self.scaling.min_replicas, min(self.scaling.max_replicas, max(calm, kept)))


class RayServe:
    """Ray Serve's default policy: requests over 30 s, pushed every 10 s, 2 for each replica; up when that was decided
    for 30 s, down when for 600 s. https://docs.ray.io/en/latest/serve/autoscaling-guide.html"""

    period_s, wakes, target_s = 10.0, True, inf
    target, up_s, down_s = 2.0, 30.0, 600.0

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        self.window = Window(30.0)
        self.since: tuple[int, float] = (0, 0.0)

    def decide(self, view: View) -> int:
        """Replicas from now on."""
        mean = self.window.mean(view.now, view.busy_s)
        most, least = self.scaling.max_replicas, self.scaling.min_replicas
        if view.wanted == 0:
            return min(most, max(least, 1 if view.waiting else 0))
        want = max(least, min(most, ceil(mean / self.target)))
        way = (want > view.wanted) - (want < view.wanted)
        if way != self.since[0]:
            self.since = (way, view.now)
        waited = view.now - self.since[1]
        if (way > 0 and waited >= self.up_s) or (way < 0 and waited >= self.down_s):
            self.since = (0, view.now)
            return want if want or view.wanted == 1 else 1
        return view.wanted


class SageMaker:
    """Target tracking on invocations of an instance: out after three minutes above the target, in after fifteen below
    nine tenths of it, 300 s between two. The target is half of what an instance can answer, as its load testing guide
    says; an instance always runs. https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling.html"""

    period_s, wakes, target_s = 60.0, False, inf
    cooldown_s, out_after, in_after = 300.0, 3, 15

    def __init__(self, scaling: Scaling) -> None:
        self.scaling = scaling
        self.arrived = self.above = self.below = 0
        self.acted = -1e9

    def decide(self, view: View) -> int:
        """Replicas from now on."""
        wanted = max(1, view.wanted)
        target = 60 * 0.5 / view.service_s
        each = (view.arrived - self.arrived) / wanted
        self.arrived = view.arrived
        self.above = self.above + 1 if each > target else 0
        self.below = self.below + 1 if each < 0.9 * target else 0
        act = self.above >= self.out_after or (self.below >= self.in_after and wanted > 1)
        if not act or view.now - self.acted < self.cooldown_s:
            return wanted
        self.acted = view.now
        least = max(1, self.scaling.min_replicas)
        return max(least, min(self.scaling.max_replicas, ceil(wanted * each / target)))


RULES: dict[str, Callable[[Scaling], Rule]] = {
    "inferry": Ours, "knative": Knative, "ray-serve": RayServe, "sagemaker": SageMaker,
}  # fmt: skip
