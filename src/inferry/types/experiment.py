"""Experiments: which of some revisions does better by a metric, with people watching all the time.

Data flow: an Experiment says what is compared and how sure one wants to be -> units (keys of the sticky hash) are
exposed, outcomes arrive -> Seen, running sums by variant -> `policy.experiment` -> a Report. An ExperimentRecord is
what is kept of all that.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from inferry.types.analysis import Moments


class Variant(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of those that are compared. `weight`: percent of the units."""

    name: str
    weight: int


class Experiment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is compared. The first variant is the control. Weights stay as they are while it runs.

    `kind` share: each unit's outcome is 0 or 1 (bought, was right); mean: any number. `min_effect`: the smallest
    difference that matters, in the metric's unit (0.01 is a point of a share). `alpha`: the chance of a wrong
    winner, over all challengers, however often one looks; `power`: the chance to find a difference of
    `min_effect` within the planned units. `expected`, `deviation`: the control's mean and (for means) the standard
    deviation of an outcome, to plan before there are data; None: unknown. `min_s`: seconds that it runs at least,
    for example a week, as weekends differ. `mismatch_alpha`: for the check that units fall as the weights say.
    """

    name: str
    variants: tuple[Variant, ...]
    metric: str
    min_effect: float
    kind: Literal["share", "mean"] = "share"
    better: Literal["higher", "lower"] = "higher"
    alpha: float = 0.05
    power: float = 0.8
    expected: float | None = None
    deviation: float | None = None
    min_s: float = 0.0
    mismatch_alpha: float = 0.001
    started: float = 0.0


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Of one variant: how many units were exposed, and the outcomes of those that have one. Each unit counts once,
    or the units are no independent samples."""

    variant: str
    exposed: int = 0
    outcome: Moments = Moments()


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A challenger against the control.

    `difference` of the means with an interval that holds at all times (`low`, `high`; None: not known yet); `lift`
    and its interval: in parts of the control's mean. `p`: always-valid, it only falls. `significant`: the
    interval leaves out 0.
    """

    variant: str
    mean: float
    control_mean: float
    samples: int
    control_samples: int
    difference: float
    low: float | None = None
    high: float | None = None
    lift: float | None = None
    lift_low: float | None = None
    lift_high: float | None = None
    p: float = 1.0
    significant: bool = False


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How an experiment stands.

    `verdict`: winner (`winner` says which, it may be the control), stop (`reason` says why nothing more is to be
    learnt, or why what was learnt cannot be trusted), continue. `needed`: units in all by which a difference of
    `min_effect` is found with the power asked for (0: not known yet), `exposed`: units so far. `mismatch_p`:
    always-valid p-value of the units' shares.
    """

    experiment: str
    verdict: Literal["winner", "continue", "stop"]
    reason: str
    at: float
    comparisons: tuple[Comparison, ...]
    winner: str = ""
    exposed: int = 0
    needed: int = 0
    mismatch_p: float = 1.0


class ExperimentRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An experiment at an endpoint, as it is kept; its variants are named by their revisions' numbers. `report`: the
    last one, None before the first look. Times are Unix seconds; `ended` 0: it runs."""

    id: str
    endpoint: str
    experiment: Experiment
    created_by: str
    report: Report | None = None
    ended: float = 0.0
    ended_by: str = ""
    reason: str = ""
