"""Analysis: what the checks of a rollout say, from evidence that grows with each window.

Data flow: (evidence by check, an observation) -> `observe` takes in the windows not read before -> `read` ->
one Reading a check. Pure: the evidence is a value that is stored with the rollout, so nothing is forgotten
in a restart, and no window counts twice.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from inferry.errors import InvalidInput
from inferry.policy import check_counts as counts
from inferry.policy import check_values as values
from inferry.policy.evidence import p_value
from inferry.types.analysis import (
    Check,
    Crashes,
    Evidence,
    Feedback,
    Findings,
    Latency,
    Memory,
    Observation,
    Query,
    Reading,
    Scores,
    Streak,
    Tally,
    Trend,
    Verdict,
    Window,
)

LAST = 5
"""Before the last step passes, a check has this many times its `enough` samples, over the whole rollout."""


def label(check: Check) -> str:
    """The check's name: its own, else its kind with what tells it apart."""
    if check.name:
        return check.name
    match check:
        case Latency():
            return f"latency-p{check.quantile * 100:g}"
        case Feedback():
            return f"feedback-{check.metric}"
        case Query():
            return f"query-{check.query}"
    return str(check.__struct_config__.tag)


def observe(
    checks: Sequence[Check],
    evidence: dict[str, Evidence],
    observation: Observation,
    *,
    read_until: float,
    began: float,
    alpha: float,
) -> tuple[dict[str, Evidence], float]:
    """The evidence with all windows since `read_until`, and the end of the last one.

    `began`: when the canary got its first traffic. `alpha`: of one check. InvalidInput when histograms do
    not have the observation's buckets, or do not fit those before.
    """
    grown = dict(evidence)
    bounds = observation.latency_bounds
    for window in sorted(observation.windows, key=lambda window: window.start):
        if window.start < read_until or window.end <= window.start:
            continue
        read_until = window.end
        _check_shape(window, bounds)
        for check in checks:
            if isinstance(check, Latency | Memory) and window.start < began + check.settle_s:
                continue
            name = label(check)
            try:
                grown[name] = _take(check, grown.get(name), window, alpha, bounds)
            except ValueError as error:
                raise InvalidInput(
                    f"The counts of {name} have other bins than those before.",
                    help="Keep the bins of a rollout as they were when it began.",
                ) from error
    return grown, read_until


def _check_shape(window: Window, bounds: Sequence[float]) -> None:
    for arm in (window.stable, window.canary):
        if arm.latency and len(arm.latency) != len(bounds):
            raise InvalidInput(
                f"A latency histogram has {len(arm.latency)} buckets, and latency_bounds {len(bounds)}.",
                help="Give one upper bound for each bucket.",
            )


def _take(check: Check, known: Evidence | None, window: Window, alpha: float, bounds: Sequence[float]) -> Evidence:
    grown: Evidence
    match check:
        case Memory():
            grown = values.memory_take(check, known if isinstance(known, Trend) else Trend(), window)
        case Findings():
            grown = values.findings_take(check, known if isinstance(known, Streak) else Streak(), window)
        case Query():
            grown = values.query_take(check, known if isinstance(known, Streak) else Streak(), window)
        case _:
            grown = counts.take(check, known if isinstance(known, Tally) else Tally(), window, alpha, bounds)
    return grown


def read(
    checks: Sequence[Check],
    evidence: dict[str, Evidence],
    alpha: float,
    bounds: Sequence[float],
    *,
    names: Sequence[str] | None = None,
    last: bool = False,
) -> tuple[Reading, ...]:
    """What each check says (those with these `names`; None: all). `alpha`: of one check; `last`: in the last step."""
    return tuple(
        _read(check, evidence.get(label(check)), alpha, bounds, last)
        for check in checks
        if names is None or label(check) in names
    )


def _read(check: Check, known: Evidence | None, alpha: float, bounds: Sequence[float], last: bool) -> Reading:
    name = label(check)
    if known is None or (isinstance(known, Tally) and not known.samples and not isinstance(check, Crashes)):
        return Reading(check=name, verdict="missing", words="no data", needed=check.needed, alpha=alpha)
    match check:
        case Memory():
            return values.memory_reading(check, known if isinstance(known, Trend) else Trend(), name, alpha)
        case Findings():
            return values.findings_reading(check, known if isinstance(known, Streak) else Streak(), name)
        case Query():
            return values.query_reading(check, known if isinstance(known, Streak) else Streak(), name)
    tally = known if isinstance(known, Tally) else Tally()
    if isinstance(check, Latency) and len(bounds) != len(tally.canary):
        raise InvalidInput(
            f"The latencies were counted in {len(tally.canary)} buckets, and latency_bounds has {len(bounds)}.",
            help="Keep the buckets of a rollout as they were when it began.",
        )
    figures = counts.figures(check, tally, bounds)
    p = p_value(figures.log_e)
    verdict: Verdict = "pass"
    words = figures.words
    missing = max(tally.mark + check.enough, check.enough * LAST if last else 0) - tally.samples
    if isinstance(check, Crashes):
        verdict = "fail" if (figures.canary or 0) - (figures.stable or 0) > check.at_most else "pass"
    elif p <= alpha and tally.samples >= check.min_samples:
        verdict = "fail"
    elif p <= values.SUSPECT or (last and isinstance(check, Scores) and (figures.canary or 0) > check.differ):
        verdict = "suspect"
    elif missing > 0:
        verdict, words = "few", f"{words}; {missing:g} more are needed"
    return Reading(
        check=name, verdict=verdict, words=words, needed=check.needed, canary=figures.canary,
        stable=figures.stable, samples=tally.samples, p=p, alpha=alpha,
    )  # fmt: skip


def marked(evidence: dict[str, Evidence]) -> dict[str, Evidence]:
    """The evidence as a new step begins: what a step needs is counted from here."""
    return {
        name: msgspec.structs.replace(counts.closed(known), mark=known.samples) if isinstance(known, Tally) else known
        for name, known in evidence.items()
    }
