"""Strategy: the default one, and whether one that a person wrote makes sense. Pure.

Data flow: what a person declared -> `check_strategy` (InvalidInput says which field, and what would do) -> a
Strategy that `policy.rollout` can follow to its end.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from inferry.errors import InvalidInput
from inferry.policy.analysis import label
from inferry.types.analysis import Check, Feedback, Memory, Query
from inferry.types.declared import Path, Problem, spell
from inferry.types.rollout import Step, Strategy

DEFAULT_STRATEGY = Strategy(
    steps=(Step(weight=10, bake_s=120), Step(weight=25, bake_s=180), Step(weight=50, bake_s=300)),
)


def check_alpha(strategy: Strategy) -> float:
    """The chance of a false abort that each check may have: together they have the strategy's."""
    return strategy.alpha / max(1, len(strategy.checks))


def check_strategy(strategy: Strategy) -> None:
    """Raise InvalidInput, with the field's name, when a strategy cannot be followed."""
    for path, wrong, help in strategy_faults(strategy):
        raise InvalidInput(f"{spell(path)}: {wrong}.", help=help)


COMPARED = ("worse_by", "limit", "limit_s", "at_least", "at_most")
"""A check that has some of these fields needs one of them."""

TINY = 1e-9
RANGES = {
    "worse_by": (0.0, math.inf, "Give 0 or more."),
    "limit": (TINY, 1 - TINY, "Give a share between 0 and 1."),
    "limit_s": (TINY, math.inf, "Give seconds over 0."),
    "limit_mb": (TINY, math.inf, "Give megabytes over 0."),
    "quantile": (TINY, 1 - TINY, "Give 0.95 for the time that 95 of 100 requests keep."),
    "differ": (0.0, 1 - TINY, "Give a share under 1, for example 0.1."),
    "per_minute": (0.0, math.inf, "Give a share, for example 0.01 for 1 % a minute."),
    "settle_s": (0.0, math.inf, "Give 0 seconds or more."),
    "block_s": (1.0, math.inf, "Give one second or more."),
    "in_a_row": (1, math.inf, "Give 1 or more."),
    "at_most": (0, math.inf, "Give 0 to abort at the first one."),
    "min_samples": (1, math.inf, "Give 1 or more."),
    "enough": (0, math.inf, "Give 0 or more."),
}
"""What the numbers of checks may be: from, to, and what to do otherwise."""


def strategy_faults(strategy: Strategy) -> Iterator[Problem]:
    """All that keeps a strategy from being followed."""
    if not strategy.steps:
        yield Problem(("steps",), "there is none", "Give one step at least, for example a weight of 10.")
    if not 0 < strategy.alpha < 0.5:
        yield Problem(("alpha",), f"{strategy.alpha:g} is no chance between 0 and 0.5", "Leave it out for 0.01.")
    for field in ("start_timeout_s", "patience_s"):
        value = getattr(strategy, field)
        if not (math.isfinite(value) and value >= 0):
            yield Problem((field,), f"{value:g} is no number of seconds", "Give 0 or more.")
    labels = [label(check) for check in strategy.checks]
    for name, count in Counter(labels).items():
        if count > 1:
            yield Problem(("checks",), f"{count} checks are called {name}", "Give each of them a name of its own.")
    weight = 0
    for position, step in enumerate(strategy.steps):
        yield from _step_faults(("steps", position), step, weight, labels)
        weight = step.weight
    for position, check in enumerate(strategy.checks):
        yield from _check_faults(("checks", position), check)


def _step_faults(where: Path, step: Step, before: int, labels: list[str]) -> Iterator[Problem]:
    if not 1 <= step.weight <= 100:
        yield Problem((*where, "weight"), f"{step.weight} is no percent from 1 to 100", "Give whole percents.")
    if step.weight <= before:
        help = "Weights only grow from step to step; a pause within a step is pause_s."
        yield Problem((*where, "weight"), f"{step.weight} is not over the step before ({before})", help)
    for field in ("bake_s", "pause_s"):
        value = getattr(step, field)
        if not (math.isfinite(value) and value >= 0):
            yield Problem((*where, field), f"{value:g} is no number of seconds", "Give 0 or more.")
    for name in step.checks or ():
        if name not in labels:
            yield Problem((*where, "checks"), f"there is no check {name}", f"There are: {', '.join(labels) or 'none'}.")


def _check_faults(where: Path, check: Check) -> Iterator[Problem]:
    compares = [name for name in COMPARED if name in check.__struct_fields__]
    if compares and all(getattr(check, name) is None for name in compares):
        yield Problem(where, "it has nothing to compare with", f"Give one of {', '.join(compares)}.")
    for name, (low, high, help) in RANGES.items():
        value = getattr(check, name, None)
        free = isinstance(check, Query) and name == "at_most"
        free = free or (name == "limit" and isinstance(check, Feedback) and check.kind == "mean")
        if value is not None and not (math.isfinite(value) and (free or low <= value <= high)):
            yield Problem((*where, name), f"{value:g} is not possible", help)
    if isinstance(check, Memory) and check.min_samples < 4:
        yield Problem((*where, "min_samples"), f"{check.min_samples} blocks show no trend", "Give 4 or more.")
