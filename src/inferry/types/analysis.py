"""Analysis: what a rollout looks at, and what it is told.

Data flow: the gateway and the replicas count by revision -> control cuts the counts into windows of a few
seconds, stable and canary side by side -> an Observation -> `policy.analysis` adds the new windows to the
evidence of each Check -> Readings: what each check says, in words and numbers.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Needed = Literal["each", "last", "if-any", "no"]
Verdict = Literal["fail", "suspect", "pass", "few", "missing"]


class Moments(msgspec.Struct, frozen=True, kw_only=True):
    """Of values: how many, their sum, the sum of their squares. Values of 0 and 1 are a share."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What a drift detector found: of which input or output (`subject`), how bad, in words."""

    subject: str
    severity: Literal["warning", "alarm"]
    words: str = ""


class Bins(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How answers are counted: by class (`labels`; all others together), and within each by what lies between the
    `edges`: the score of the class `of`, else the largest score, or the number that was predicted."""

    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    of: str = ""


class Arm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one revision did in a window. What was not measured is left out.

    `errors`: of the `requests`, those that failed for a reason of the server's (5xx). `latency`, `scores`: counts
    by bucket and by bin (see Observation). `feedback`: by metric, the values whose ground truth arrived in this
    window. `compared`, `disagreed`: copies of requests sent as a shadow. `memory_mb`: resident memory of a
    replica, the mean of them. `crashes`: replicas that died. `findings`: None when no detector has reported.
    `values`: answers of external queries by name.
    """

    requests: int = 0
    errors: int = 0
    latency: tuple[int, ...] = ()
    scores: tuple[int, ...] = ()
    feedback: dict[str, Moments] = {}
    compared: int = 0
    disagreed: int = 0
    memory_mb: float | None = None
    crashes: int = 0
    findings: tuple[Finding, ...] | None = None
    values: dict[str, float] = {}


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """From `start` to `end` (seconds), the same seconds for both."""

    start: float
    end: float
    stable: Arm = Arm()
    canary: Arm = Arm()


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the canary can answer. `failed`: why it does not load, "" while nothing is known against it."""

    ready: bool = False
    failed: str = ""


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """What is known at one look. Windows that were read before may be given again: they count once.

    `latency_bounds`: the upper bound of each bucket in seconds, ascending. `health`: None when unknown.
    """

    windows: tuple[Window, ...] = ()
    latency_bounds: tuple[float, ...] = ()
    health: Health | None = None


class _Check(msgspec.Struct, frozen=True, kw_only=True, tag_field="check", forbid_unknown_fields=True):
    """What all checks have. `name`: needed to tell two of a kind apart. `needed`: whether each step, only the last
    one, or that one if there is any data, waits until there is enough to judge. `min_samples`: the canary's, before
    it can fail a rollout; `enough`: the canary's within a step, before the step can pass (before the last one can,
    `policy.analysis.LAST` times as many in all)."""

    name: str = ""
    needed: Needed = "no"
    min_samples: int = 20
    enough: int = 100


class Errors(_Check, frozen=True, kw_only=True, tag="errors"):
    """The share of failed requests: not over the stable revision's by more than `worse_by` (0.005 is half a point),
    and not over `limit`."""

    needed: Needed = "each"
    worse_by: float | None = 0.005
    limit: float | None = None


class Latency(_Check, frozen=True, kw_only=True, tag="latency"):
    """A quantile of the latency: not over the stable revision's by more than the share `worse_by`, and not over
    `limit_s`. The first `settle_s` seconds of the canary's traffic do not count: its caches are cold."""

    needed: Needed = "each"
    quantile: float = 0.5
    worse_by: float | None = 0.2
    limit_s: float | None = None
    settle_s: float = 15.0


class Scores(_Check, frozen=True, kw_only=True, tag="scores"):
    """What the model answers, by bin of score or class: at most the share `differ` of the answers may fall
    otherwise than the stable revision's (their total variation distance). The last step passes only if it is not over
    that by the plain figure either."""

    needed: Needed = "if-any"
    enough: int = 300
    differ: float = 0.1


class Findings(_Check, frozen=True, kw_only=True, tag="findings"):
    """Drift findings of at least this `severity` on the canary that the stable revision does not have too, in
    `in_a_row` reports."""

    severity: Literal["warning", "alarm"] = "alarm"
    in_a_row: int = 2


class Shadow(_Check, frozen=True, kw_only=True, tag="shadow"):
    """Answers to mirrored requests that differ from the stable revision's: at most the share `limit`."""

    limit: float = 0.05


class Memory(_Check, frozen=True, kw_only=True, tag="memory"):
    """Resident memory: not growing by more than the share `per_minute` beyond what the stable revision's grows,
    and not over `limit_mb`. The first `settle_s` seconds do not count, then means of `block_s` seconds do."""

    needed: Needed = "last"
    min_samples: int = 8
    enough: int = 8
    per_minute: float = 0.01
    limit_mb: float | None = None
    settle_s: float = 120.0
    block_s: float = 30.0


class Feedback(_Check, frozen=True, kw_only=True, tag="feedback"):
    """A metric over ground truth that arrives later: worse than the stable revision's by at most `worse_by`, in the
    metric's own unit. `kind` share: values are 0 or 1 (accuracy); mean: any numbers (absolute errors)."""

    needed: Needed = "if-any"
    enough: int = 40
    metric: str = "accuracy"
    better: Literal["higher", "lower"] = "higher"
    kind: Literal["share", "mean"] = "share"
    worse_by: float | None = 0.05
    limit: float | None = None


class Query(_Check, frozen=True, kw_only=True, tag="query"):
    """A number from outside (Prometheus, any HTTP answer), by name of `query`: between `at_least` and `at_most`, and
    over the stable revision's by at most the share `worse_by`. Fails after `in_a_row` values outside."""

    query: str
    at_least: float | None = None
    at_most: float | None = None
    worse_by: float | None = None
    in_a_row: int = 3


class Crashes(_Check, frozen=True, kw_only=True, tag="crashes"):
    """Replicas of the canary that died while serving, beyond those of the stable revision: at most `at_most`."""

    at_most: int = 2


Check = Errors | Latency | Scores | Findings | Shadow | Memory | Feedback | Query | Crashes

DEFAULT_CHECKS: tuple[Check, ...] = (
    Errors(),
    Latency(),
    Latency(quantile=0.95, worse_by=0.4),
    Scores(),
    Feedback(),
    Memory(),
    Crashes(),
    Findings(),
    Shadow(),
)
"""What a rollout looks at when its strategy does not say."""


class Tally(msgspec.Struct, frozen=True, kw_only=True, tag="tally"):
    """Evidence from counts. `stable`, `canary`: sums by bin so far; `log_e`: logarithms of the running e-values of
    each alternative; `groups`: how many groups of windows they are of; `open_stable`, `open_canary`, `open_s`: sums
    and seconds of the group that is not yet large enough; `mark`: the canary's samples when the step began."""

    stable: tuple[float, ...] = ()
    canary: tuple[float, ...] = ()
    log_e: tuple[float, ...] = ()
    groups: int = 0
    open_stable: tuple[float, ...] = ()
    open_canary: tuple[float, ...] = ()
    open_s: float = 0.0
    samples: int = 0
    mark: int = 0


class Trend(msgspec.Struct, frozen=True, kw_only=True, tag="trend"):
    """Evidence of growth. `blocks`: time, canary's mean and stable's mean (0: unknown) of the last blocks;
    `open`: of the block under way its start, the windows in it, both sums; `count`: blocks so far; `highest`: the
    largest of them; `over`: how many windows in a row, to the last, were over the limit."""

    blocks: tuple[tuple[float, float, float], ...] = ()
    open: tuple[float, int, float, float] = (0.0, 0, 0.0, 0.0)
    count: int = 0
    highest: float = 0.0
    last: float = 0.0
    log_e: tuple[float, ...] = ()
    over: int = 0


class Streak(msgspec.Struct, frozen=True, kw_only=True, tag="streak"):
    """Evidence of values that count when they repeat: how many in a row were bad, how many there were, the last."""

    bad: int = 0
    seen: int = 0
    canary: float | None = None
    stable: float | None = None
    words: str = ""


Evidence = Tally | Trend | Streak


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a check says at a look.

    `verdict`: fail (the canary is worse, beyond chance), suspect (it may be), pass, few (not enough samples),
    missing (none). `p`: always-valid: under a good canary, the chance that it ever gets this low is at most
    this; it fails at `alpha`. `canary`, `stable`: the figures that are compared.
    """

    check: str
    verdict: Verdict
    words: str
    needed: Needed = "no"
    canary: float | None = None
    stable: float | None = None
    samples: int = 0
    p: float = 1.0
    alpha: float = 0.0
