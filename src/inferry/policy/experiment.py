"""Experiment: whether one revision does better than another, decided while people watch. Pure.

Data flow: (experiment, running sums, now, the report before) -> `judge` -> a Report. Its tests are those of
`policy.sequential`, valid at every look at once; given the report before, intervals only narrow and p-values only
fall, which they may, as they hold at all times.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from msgspec.structs import replace

from inferry.errors import InvalidInput
from inferry.policy.evidence import p_value
from inferry.policy.sequential import half_width, log_mixture, log_shares, mean, samples_needed, variance
from inferry.types.analysis import Moments
from inferry.types.experiment import Comparison, Experiment, Report, Seen, Variant

BURN_IN = 100
"""Outcomes of each variant before a test says anything: its bounds are for means of many."""
Result = Literal["winner", "continue", "stop"]
FEW_EVENTS = 30
"""Of a share, both outcomes must have been seen as often in each variant."""


def check_experiment(experiment: Experiment) -> None:
    """Raise InvalidInput, with the field's name, when an experiment cannot be judged."""
    names = [variant.name for variant in experiment.variants]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InvalidInput("variants: two or more are compared.", help="Give the control first; each has its own name.")
    if any(variant.weight < 1 for variant in experiment.variants) or sum(v.weight for v in experiment.variants) != 100:
        raise InvalidInput("variants: weights are percents that sum to 100.", help="Give each variant 1 or more.")
    for field, low, high in (
        ("min_effect", 0.0, math.inf), ("alpha", 0.0, 0.5), ("power", 0.0, 1.0), ("mismatch_alpha", 0.0, 0.5),
    ):  # fmt: skip
        value = getattr(experiment, field)
        if not low < value < high:
            raise InvalidInput(
                f"{field}: {value:g} is not between {low:g} and {high:g}.", help="Leave out what has a default."
            )
    if experiment.kind == "share" and experiment.expected is not None and not 0 < experiment.expected < 1:
        raise InvalidInput(
            f"expected: {experiment.expected:g} is no share between 0 and 1.", help="Write 0.03 for 3 %."
        )


def plan(experiment: Experiment) -> int:
    """Units in all that the experiment needs, by what is expected; 0 when nothing is."""
    if experiment.kind == "share":
        before = after = 0.0
        if experiment.expected is not None:
            moved = experiment.expected + experiment.min_effect * (1 if experiment.better == "higher" else -1)
            before, after = (share * (1 - share) for share in (experiment.expected, min(1.0, max(0.0, moved))))
    else:
        before = after = (experiment.deviation or 0.0) ** 2
    control, *others = experiment.variants
    return max(_needed(experiment, (control, before), (other, after)) for other in others)


def judge(experiment: Experiment, seen: Sequence[Seen], now: float, before: Report | None = None) -> Report:
    """How the experiment stands. `before`: the last report, if there was one.

    InvalidInput: sums of a variant that the experiment does not have.
    """
    by_name = {one.variant: one for one in seen}
    names = [variant.name for variant in experiment.variants]
    for name in by_name:
        if name not in names:
            raise InvalidInput(f"The experiment has no variant {name}.", help=f"It has {', '.join(names)}.")
    sums = [by_name.get(name, Seen(variant=name)) for name in names]
    alpha = experiment.alpha / (len(names) - 1)
    earlier = {one.variant: one for one in before.comparisons} if before else {}
    comparisons = tuple(_compare(experiment, sums[0], one, alpha, earlier.get(one.variant)) for one in sums[1:])
    mismatch_p = p_value(log_shares([one.exposed for one in sums], [v.weight / 100 for v in experiment.variants]))
    verdict, winner, reason = _verdict(experiment, comparisons, now)
    mismatch_p = min(mismatch_p, before.mismatch_p) if before else mismatch_p
    if mismatch_p <= experiment.mismatch_alpha:
        shares = ", ".join(f"{one.variant} {one.exposed}" for one in sums)
        verdict, winner = "stop", ""
        reason = f"Units do not fall to the variants by their weights ({shares}; p {mismatch_p:.2g}): some are lost."
    spreads = [(variant, _spread2(experiment, one)) for variant, one in zip(experiment.variants, sums, strict=True)]
    needed = max(_needed(experiment, spreads[0], other) for other in spreads[1:])
    return Report(
        experiment=experiment.name, verdict=verdict, reason=reason, at=now, comparisons=comparisons, winner=winner,
        exposed=sum(one.exposed for one in sums), needed=needed or plan(experiment), mismatch_p=mismatch_p,
    )  # fmt: skip


def _compare(experiment: Experiment, control: Seen, other: Seen, alpha: float, before: Comparison | None) -> Comparison:
    mine, base = mean(other.outcome), mean(control.outcome)
    found = Comparison(
        variant=other.variant, mean=mine, control_mean=base, samples=other.outcome.count,
        control_samples=control.outcome.count, difference=mine - base, lift=_part(mine - base, base),
        p=before.p if before else 1.0,
    )  # fmt: skip
    if not (_ripe(experiment, control.outcome) and _ripe(experiment, other.outcome)):
        return found
    spread2 = variance(control.outcome) / control.outcome.count + variance(other.outcome) / other.outcome.count
    width = half_width(spread2, experiment.min_effect, alpha)
    low, high = found.difference - width, found.difference + width
    if before and before.low is not None and before.high is not None:
        narrow = max(low, before.low), min(high, before.high)
        # An empty meet says that the difference itself has moved; then only what holds now is said.
        low, high = narrow if narrow[0] <= narrow[1] else (low, high)
    p = min(found.p, p_value(log_mixture(found.difference, spread2, experiment.min_effect)))
    return replace(
        found, low=low, high=high, lift_low=_part(low, base), lift_high=_part(high, base), p=p,
        significant=low > 0 or high < 0,
    )  # fmt: skip


def _verdict(experiment: Experiment, comparisons: Sequence[Comparison], now: float) -> tuple[Result, str, str]:
    """Verdict, winner and reason, by the comparisons alone."""
    sign = 1 if experiment.better == "higher" else -1
    control = experiment.variants[0].name
    better = [one for one in comparisons if one.significant and sign * one.difference > 0]
    worse = [one for one in comparisons if one.significant and sign * one.difference < 0]
    inside = [
        one
        for one in comparisons
        if one.low is not None and one.high is not None and max(-one.low, one.high) < experiment.min_effect
    ]
    settled = better or len({one.variant for one in (*worse, *inside)}) == len(comparisons)
    if settled and now < experiment.started + experiment.min_s:
        return "continue", "", f"There is a result, but it runs for {experiment.min_s:g} s at least."
    if better:
        best = max(better, key=lambda one: sign * one.difference)
        return "winner", best.variant, f"{best.variant} is better: {words(best)}."
    if len(worse) == len(comparisons):
        said = "; ".join(f"{one.variant}: {words(one)}" for one in worse)
        return "winner", control, f"{control} is better than all others. {said}."
    if settled:
        return "stop", "", f"No variant is better than {control} by {experiment.min_effect:g} or more."
    return "continue", "", "Nothing is decided yet."


def words(comparison: Comparison) -> str:
    """A comparison in one line."""
    said = f"{comparison.mean:.4g} against {comparison.control_mean:.4g}"
    if comparison.low is None or comparison.high is None:
        return f"{said}, too few outcomes to say more"
    lift = "" if comparison.lift is None else f", lift {comparison.lift * 100:+.3g} %"
    return (
        f"{said}{lift}, difference {comparison.difference:+.3g} "
        f"(between {comparison.low:+.3g} and {comparison.high:+.3g}), p {comparison.p:.2g}"
    )


def _ripe(experiment: Experiment, outcome: Moments) -> bool:
    """Whether there are outcomes enough for bounds that hold for means of many."""
    if outcome.count < BURN_IN or variance(outcome) <= 0:
        return False
    return experiment.kind == "mean" or min(outcome.total, outcome.count - outcome.total) >= FEW_EVENTS


def _spread2(experiment: Experiment, seen: Seen) -> float:
    return variance(seen.outcome) if _ripe(experiment, seen.outcome) else 0.0


def _needed(experiment: Experiment, control: tuple[Variant, float], other: tuple[Variant, float]) -> int:
    """Units in all, from each one's variance of an outcome."""
    if not control[1] or not other[1]:
        return 0
    of_one = sum(spread2 / (variant.weight / 100) for variant, spread2 in (control, other))
    alpha = experiment.alpha / (len(experiment.variants) - 1)
    return samples_needed(of_one, experiment.min_effect, alpha, experiment.power)


def _part(value: float, base: float) -> float | None:
    return value / abs(base) if base else None
