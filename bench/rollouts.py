"""`make bench-rollouts`: how often the default analysis is wrong, and how soon it is right.

    python -m bench.rollouts [--rollouts N] [--faulty N] [--experiments N] [--write docs/tasks/rollouts.md]

Data flow: a world (traffic, latencies, labels, incidents that hit both revisions) and a fault of the canary, from a
seed -> windows of counts on a clock of its own -> `policy.rollout.decide` at each window, its state through JSON each
time as after a restart -> aborted or promoted, when, and how many requests the canary had answered by then.
Experiments are judged after each batch of units, which is what somebody does who looks all the time.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np

from inferry.policy.experiment import judge, plan
from inferry.policy.rollout import begin, decide
from inferry.policy.strategy import DEFAULT_STRATEGY
from inferry.telemetry.metrics import BUCKETS, upper_bound
from inferry.types.analysis import Arm, Finding, Health, Moments, Observation, Window
from inferry.types.experiment import Experiment, Report, Seen, Variant
from inferry.types.rollout import Rollout, Strategy

BEGIN, END = "<!-- bench.rollouts -->", "<!-- /bench.rollouts -->"
BOUNDS = tuple(upper_bound(bucket) / 1e6 for bucket in range(BUCKETS) if upper_bound(bucket) > 0)
WINDOW_S = 5.0
LABELLED = 0.5
HORIZON_S = 4 * 3600.0


@dataclass(frozen=True)
class World:
    """What both revisions meet. `rate`: requests a second. `burst`: the coefficient of variation of the rate from
    window to window. `tail`: the shape of a Pareto tail of the latency (0: lognormal only). `drift`: how many times
    the latency and the error rate grow for both over ten minutes. `incidents`: chance per window that for half a
    minute a fifth of both revisions' requests fail and all are three times slower."""

    rate: float = 40.0
    burst: float = 0.1
    tail: float = 0.0
    drift: float = 1.0
    incidents: float = 0.0
    errors: float = 0.001


@dataclass(frozen=True)
class Canary:
    """How the canary differs from the stable revision; by default it does not, but for what any fresh process does:
    it takes up memory at first and its first requests are slow. `shift`: share of answers in other bins."""

    errors: float = 0.0
    latency: float = 1.0
    accuracy: float = 0.9
    shift: float = 0.0
    leak: float = 0.0
    memory: float = 1.0
    crash: bool = False
    disagree: float = 0.01


@dataclass
class Run:
    """How a rollout ended: `met` are the requests that the canary answered, `seconds` since its first."""

    phase: str
    seconds: float
    met: int
    reason: str
    highest: int
    paused: bool


WORLDS = {
    "steady, 40 requests a second": World(),
    "bursts, and incidents that hit both": World(burst=1.0, incidents=0.01),
    "heavy-tailed latency": World(tail=1.2, burst=0.3),
    "3 times slower and more errors within ten minutes, both": World(drift=3.0, errors=0.01),
    "little traffic, one request in two seconds": World(rate=0.5, burst=0.5),
}
GOOD = {
    "the same": Canary(),
    "5 % slower, 4 % other answers, 20 % more memory": Canary(latency=1.05, shift=0.04, memory=1.2, accuracy=0.89),
}
FAULTS = {
    "5 % of requests fail (5xx)": Canary(errors=0.05),
    "latency + 50 %": Canary(latency=1.5),
    "swapped classes, seen by feedback only": Canary(accuracy=0.1),
    "a fifth of the scores drifted": Canary(shift=0.4),
    "memory leak of 3 % a minute": Canary(leak=0.03),
    "crash on load": Canary(crash=True),
}
SHARES = np.array([0.02, 0.05, 0.1, 0.15, 0.18, 0.18, 0.15, 0.1, 0.05, 0.02])
FEW = 8


@dataclass
class Stream:
    """Both revisions' windows, one after the other."""

    world: World
    canary: Canary
    rng: np.random.Generator
    labels: dict[int, list[list[float]]] = field(default_factory=dict)
    noise: float = 0.0
    trouble_until: float = 0.0
    served: int = 0

    def window(self, start: float, weight: int, age: float) -> Window:
        """The next window, with so much weight on a canary that is so old."""
        rng, world = self.rng, self.world
        rate = world.rate * rng.gamma(1 / world.burst**2, world.burst**2)
        requests = rng.poisson(rate * WINDOW_S)
        mine = int(rng.binomial(requests, weight / 100))
        grown = world.drift ** min(1.0, start / 600)
        if rng.random() < world.incidents:
            self.trouble_until = start + 30
        trouble = start < self.trouble_until
        self.noise = 0.8 * self.noise + rng.normal(0, 0.03)
        canary, slow = self.canary, grown * (3.0 if trouble else 1.0)
        errors = min(1.0, world.errors * grown + (0.2 if trouble else 0.0))
        number = round(start / WINDOW_S)
        cold = 4.0 if age < 10 else 1.0
        shares = (1 - canary.shift) * SHARES + canary.shift * np.roll(SHARES, 5)
        memory = 400 * canary.memory * (1 + 0.15 * (1 - math.exp(-age / 60)) + canary.leak * age / 60)
        other = self._arm(number, 0, requests - mine, errors, slow, 0.9, SHARES, 460 * (1 + rng.normal(0, 0.004)))
        own = self._arm(
            number, 1, mine, min(1.0, errors + canary.errors), slow * canary.latency * cold * math.exp(self.noise),
            canary.accuracy, shares, memory * (1 + rng.normal(0, 0.004)),
        )  # fmt: skip
        compared = rng.binomial(mine, 0.2)
        own = msgspec.structs.replace(
            own, compared=int(compared), disagreed=int(rng.binomial(compared, canary.disagree))
        )
        if number % 12 == 0:
            findings = (Finding(subject="amount", severity="alarm"),) if world.drift > 1 else ()
            own, other = (msgspec.structs.replace(arm, findings=findings) for arm in (own, other))
        self.served += mine
        return Window(start=start, end=start + WINDOW_S, stable=other, canary=own)

    def _arm(self, number, which, requests, errors, slow, accuracy, shares, memory) -> Arm:
        rng = self.rng
        seconds = 0.02 * slow * rng.lognormal(0, 0.5, requests)
        if self.world.tail:
            seconds += 0.005 * slow * rng.pareto(self.world.tail, requests) * (rng.random(requests) < 0.2)
        places = np.searchsorted(BOUNDS, np.minimum(seconds, BOUNDS[-1]))
        for late in rng.integers(2, 13, rng.binomial(requests, LABELLED)):
            right = float(rng.random() < accuracy)
            label = self.labels.setdefault(number + int(late), [[0, 0.0], [0, 0.0]])[which]
            label[0] += 1
            label[1] += right
        count, right = self.labels.get(number, [[0, 0.0], [0, 0.0]])[which]
        feedback = {"accuracy": Moments(count=int(count), total=right, squares=right)} if count else {}
        return Arm(
            requests=requests,
            errors=int(rng.binomial(requests, errors)),
            latency=tuple(np.bincount(places, minlength=len(BOUNDS)).tolist()),
            scores=tuple(rng.multinomial(requests, shares / shares.sum()).tolist()),
            feedback=feedback,
            memory_mb=memory,
        )


def simulate(world: World, canary: Canary, seed: Sequence[int], strategy: Strategy = DEFAULT_STRATEGY) -> Run:
    """One rollout from its begin to its end; InvalidInput and the like would be errors of the bench."""
    rng = np.random.default_rng(seed)
    stream = Stream(world, canary, rng)
    load_s = float(rng.uniform(5, 60))
    rollout = begin("r", "fraud", 1, 2, 0.0)
    now, highest, paused, windows = 0.0, 0, False, ()
    while True:
        loaded = now >= load_s
        health = Health(ready=loaded and not canary.crash, failed="exit status 1" if loaded and canary.crash else "")
        seen = Observation(windows=windows, latency_bounds=BOUNDS, health=health)
        decision = decide(rollout, strategy, seen, now)
        rollout = msgspec.json.decode(msgspec.json.encode(decision.rollout), type=Rollout)
        highest, paused = max(highest, rollout.weight), paused or rollout.phase == "paused"
        if rollout.ended or now > HORIZON_S:
            began = rollout.began or 0.0
            return Run(rollout.phase, now - began, stream.served, rollout.reason, highest, paused)
        windows = (stream.window(now, rollout.weight, max(0.0, now - (rollout.began or now))),)
        now += WINDOW_S


TWO = (Variant(name="old", weight=50), Variant(name="new", weight=50))
THREE = (Variant(name="old", weight=50), Variant(name="new", weight=25), Variant(name="other", weight=25))
EXPERIMENTS = {
    "share of 10 %, halves": Experiment(name="a", metric="bought", variants=TWO, min_effect=0.02, expected=0.1),
    "share of 3 %, 90 to 10": Experiment(
        name="b", metric="bought", min_effect=0.01, expected=0.03,
        variants=(Variant(name="old", weight=90), Variant(name="new", weight=10)),
    ),
    "heavy-tailed mean, halves": Experiment(
        name="c", metric="spent", kind="mean", variants=TWO, min_effect=0.2, expected=1.649, deviation=2.161
    ),
    "share of 40 %, two challengers": Experiment(
        name="d", metric="was right", variants=THREE, min_effect=0.03, expected=0.4
    ),
}  # fmt: skip
LOOKS = 100


@dataclass
class Peek:
    """One experiment: whether anything was ever significant, who won within the plan, whether units seemed lost."""

    significant: bool
    winner: str
    mismatch: bool


def experiment(asked: Experiment, effect: float, seed: Sequence[int], lost: float = 0.0, plans: int = 1) -> Peek:
    """An experiment of `plans` times the planned units, whose last variant is better by `effect`, looked at LOOKS times
    a plan. `lost`: the share of that variant's units that never show up."""
    rng = np.random.default_rng(seed)
    names = [variant.name for variant in asked.variants]
    weights = np.array([variant.weight / 100 for variant in asked.variants])
    sums = np.zeros((len(names), 4))
    batch = math.ceil(plan(asked) / LOOKS)
    report: Report | None = None
    significant, winner = False, ""
    for look in range(LOOKS * plans):
        for place, units in enumerate(rng.multinomial(batch, weights)):
            last = place == len(names) - 1
            shown = int(rng.binomial(units, 1 - lost)) if last else int(units)
            more = effect if last else 0.0
            if asked.kind == "share":
                total = squares = float(rng.binomial(shown, (asked.expected or 0) + more))
            else:
                values = rng.lognormal(0, 1, shown) + more
                total, squares = float(values.sum()), float((values**2).sum())
            sums[place] += (shown, shown, total, squares)
        seen = [
            Seen(variant=name, exposed=int(row[0]), outcome=Moments(count=int(row[1]), total=row[2], squares=row[3]))
            for name, row in zip(names, sums.tolist(), strict=True)
        ]
        report = judge(asked, seen, float(look), report)
        significant = significant or any(one.significant for one in report.comparisons)
        winner = winner or report.winner
    assert report is not None
    return Peek(significant, winner, report.mismatch_p <= asked.mismatch_alpha)


def good_table(rollouts: int) -> tuple[list[str], int]:
    """Rollouts of good canaries, by world; and how many were aborted."""
    lines = ["| traffic | good canaries | aborted | median time to promotion |", "|---|---|---|---|"]
    aborted = 0
    each = max(1, round(rollouts / len(WORLDS) / len(GOOD)))
    for world_name, world in WORLDS.items():
        runs = [simulate(world, canary, (seed, 1)) for canary in GOOD.values() for seed in range(each)]
        wrong = [run for run in runs if run.phase != "promoted"]
        for run in wrong:
            print(f"  {world_name}: {run.phase} after {run.seconds:.0f} s: {run.reason}", flush=True)
        aborted += len(wrong)
        minutes = statistics.median(run.seconds for run in runs) / 60
        lines.append(f"| {world_name} | {len(runs)} | {len(wrong)} | {minutes:.0f} min |")
    summary = (
        f"Aborted in all: {aborted} of {each * len(WORLDS) * len(GOOD)}. Half of them are the same model as the stable "
        "revision; the others are 5 % slower, answer 4 % otherwise, are right 1 % less often and take 20 % more memory."
    )
    lines += ["", summary]
    return lines, aborted


def fault_table(each: int) -> tuple[list[str], int]:
    """Rollouts of bad canaries, by fault; and how many got all traffic."""
    heads = (
        "fault",
        "found by",
        "steady: median",
        "all but little traffic: 95 %",
        "little traffic: median",
        "got through",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    missed = 0
    steady, *others, quiet = WORLDS.values()
    for name, fault in FAULTS.items():
        calm = [simulate(steady, fault, (seed, 2)) for seed in range(each)]
        busy = [simulate(others[seed % len(others)], fault, (seed, 3)) for seed in range(each)]
        slow = [simulate(quiet, fault, (seed, 4)) for seed in range(each)]
        runs = [*calm, *busy, *slow]
        through = [run for run in runs if run.highest == 100 or run.phase != "aborted"]
        missed += len(through)
        found = Counter(run.reason.split(":")[0] for run in runs if run.phase == "aborted")
        by = ", ".join(check for check, _ in found.most_common(2))
        lines.append(
            f"| {name} | {by} | {told(calm, 0.5)} | {told([*calm, *busy], 0.95)} | {told(slow, 0.5)} "
            f"| {len(through)} of {len(runs)} |"
        )
        print(lines[-1], flush=True)
    note = (
        "Seconds count from the canary's first request (with a crash on load: from the begin); requests are those that "
        "it answered. Steady are 40 requests a second, of which it gets 10 % at first; little traffic is one request "
        f"in two seconds; busy is all other traffic. {each} rollouts at steady, at little, and at the rest."
    )
    return [*lines, "", note], missed


def told(runs: Sequence[Run], q: float) -> str:
    """A quantile of the time and of the requests."""
    return f"{np.quantile([r.seconds for r in runs], q):.0f} s, {np.quantile([r.met for r in runs], q):.0f} requests"


def experiment_table(experiments: int) -> tuple[list[str], bool]:
    """A/A and A/B experiments; and whether they keep what is promised."""
    lines = [
        "| experiment | planned units | false winners, A/A | found, A/B | units seem lost, none is | found, 10 % are |",
        "|---|---|---|---|---|---|",
    ]
    each = max(1, experiments // len(EXPERIMENTS))
    kept = True
    for name, asked in EXPERIMENTS.items():
        same = [experiment(asked, 0.0, (seed, 4), plans=2) for seed in range(each)]
        other = [experiment(asked, asked.min_effect, (seed, 5)) for seed in range(each)]
        lost = [experiment(asked, 0.0, (seed, 6), lost=0.1) for seed in range(max(1, each // 10))]
        false = sum(one.significant for one in same) / each
        power = sum(one.winner == asked.variants[-1].name for one in other) / each
        alarms = sum(one.mismatch for one in (*same, *other)) / (2 * each)
        found = sum(one.mismatch for one in lost) / len(lost)
        kept = kept and false <= asked.alpha and power >= asked.power
        lines.append(
            f"| {name} | {plan(asked)} | {false * 100:.2g} % | {power * 100:.1f} % "
            f"| {alarms * 100:.2g} % | {found * 100:.0f} % |"
        )
        print(lines[-1], flush=True)
    note = (
        f"{each} A/A and {each} A/B experiments a row, looked at {LOOKS} times a plan; A/A ones run for two plans. "
        "A false winner is any look at which an interval left out 0 (5 % are allowed); an A/B difference is the "
        "smallest one that matters, to be found within the plan (80 % are promised)."
    )
    lines += ["", note]
    return lines, kept


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rollouts", type=int, default=500, help="Good canaries.")
    parser.add_argument("--faulty", type=int, default=50, help="Bad canaries of each fault.")
    parser.add_argument("--experiments", type=int, default=2000, help="A/A experiments, and as many A/B ones.")
    parser.add_argument("--write", type=Path, help="Put the tables into this page, between its marks.")
    asked = parser.parse_args()
    started = time.perf_counter()
    good, aborted = good_table(asked.rollouts)
    print("\n".join(good), flush=True)
    faults, missed = fault_table(asked.faulty)
    experiments, kept = experiment_table(asked.experiments)
    text = "\n".join(
        ["### Good canaries", "", *good, "", "### Bad canaries", "", *faults, "", "### Experiments", "", *experiments]
    )
    print(f"{text}\n\n{time.perf_counter() - started:.0f} s")
    if asked.write:
        page = asked.write.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        asked.write.write_text(f"{before}{BEGIN}\n{text}\n{END}{rest.partition(END)[2]}", encoding="utf-8")
    return 1 if missed or aborted * 100 >= asked.rollouts or not kept else 0


if __name__ == "__main__":
    raise SystemExit(main())
