"""Checks of counts: failed and slow requests, answers by bin, shadow answers, ground truth, crashes.

Data flow: a window -> `sums` of both revisions -> the Tally; once its open group of windows has requests enough ->
`gains` of the group -> its e-values. `figures` says the two numbers that are compared, and how, in words.

Groups, because the test looks at how the bad ones of a group are shared out: one request alone tells nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

from msgspec.structs import replace

from inferry.policy import evidence, sequential
from inferry.types.analysis import Arm, Crashes, Errors, Feedback, Latency, Moments, Scores, Shadow, Tally, Window

GROUP = 10
"""Requests of each revision that a group has at least."""
SHORTEST_S = 15.0
"""Evidence for an abort takes as many seconds at least, however many requests there are."""

CountCheck = Errors | Latency | Scores | Shadow | Feedback | Crashes
Sums = tuple[float, ...]


class Figures(NamedTuple):
    """The canary's and the stable revision's number, both in words, and the logarithm of the e-value."""

    canary: float | None
    stable: float | None
    words: str
    log_e: float


def take(check: CountCheck, tally: Tally, window: Window, alpha: float, bounds: Sequence[float]) -> Tally:
    """The tally with one window more. `bounds`: of the latency histograms. ValueError: other bins than before."""
    stable, canary = sums(check, window.stable), sums(check, window.canary)
    tally = replace(
        tally,
        stable=add(tally.stable, stable),
        canary=add(tally.canary, canary),
        open_stable=add(tally.open_stable, stable),
        open_canary=add(tally.open_canary, canary),
        open_s=tally.open_s + window.end - window.start,
        samples=tally.samples + round(size(check, canary)),
    )
    others = size(check, tally.open_stable)
    if size(check, tally.open_canary) < GROUP or 0 < others < GROUP:
        return tally
    number = tally.groups + 1
    most = -math.log(alpha) * min(1.0, tally.open_s / SHORTEST_S)
    won = gains(check, tally, bounds)
    log_e = evidence.grow(tally.log_e, won, number, most) if won else tally.log_e
    return closed(replace(tally, groups=number, log_e=log_e))


def closed(tally: Tally) -> Tally:
    """The tally with a new, empty group. A step begins with one: within a group the weights must not change."""
    return replace(tally, open_stable=(), open_canary=(), open_s=0.0)


def sums(check: CountCheck, arm: Arm) -> Sums:
    """What is added up of one revision: counts by bin, or how many there were and what of them."""
    match check:
        case Errors():
            found: Sums = (arm.requests, arm.errors)
        case Latency():
            found = arm.latency
        case Scores():
            found = arm.scores
        case Shadow():
            found = (arm.compared, arm.disagreed)
        case Feedback():
            moments = arm.feedback.get(check.metric, Moments())
            found = (moments.count, moments.total, moments.squares)
        case Crashes():
            found = (arm.requests, arm.crashes)
    return found


def size(check: CountCheck, counts: Sums) -> float:
    """How many requests are in the sums."""
    return sum(counts) if isinstance(check, Latency | Scores) else counts[0] if counts else 0.0


def gains(check: CountCheck, tally: Tally, bounds: Sequence[float]) -> tuple[float, ...]:
    """Gains of the group that is open."""
    match check:
        case Errors() | Shadow():
            won = share_gains(check, tally.stable, tally.open_stable, tally.open_canary)
        case Feedback() if check.kind == "share":
            pairs = [wrong(check, sums) for sums in (tally.stable, tally.open_stable, tally.open_canary)]
            won = share_gains(check, *pairs)
        case Latency():
            won = latency_gains(check, tally.open_stable, tally.open_canary, bounds)
        case Scores():
            won = scores_gains(check, tally)
        case _:
            won = ()
    return won


def share_gains(check: Errors | Feedback | Shadow, known: Sums, stable: Sums, canary: Sums) -> tuple[float, ...]:
    """Of counts and bad ones: against the stable revision's share (`known`: so far), and against a limit."""
    won: tuple[float, ...] = ()
    if not isinstance(check, Shadow) and check.worse_by is not None:
        share = smoothed(known[1] - stable[1], known[0] - stable[0])
        won += evidence.worse_share(canary[1], canary[0], stable[1], stable[0], share, check.worse_by)
    if check.limit is not None:
        higher = isinstance(check, Feedback) and check.better == "higher"
        won += evidence.over_limit(canary[1], canary[0], 1 - check.limit if higher else check.limit)
    return won


def latency_gains(check: Latency, stable: Sums, canary: Sums, bounds: Sequence[float]) -> tuple[float, ...]:
    """Of histograms: are more of the canary's requests slow?"""
    won: tuple[float, ...] = ()
    count, others = sum(canary), sum(stable)
    if check.worse_by is not None:
        slow, others_slow = (
            evidence.slower(canary, stable, bounds, check.quantile, check.worse_by) if others else (0.0, 0.0)
        )
        won += evidence.more_bad(slow, count, others_slow, others)
    if check.limit_s is not None:
        over = float(evidence.above(canary, bounds, check.limit_s))
        won += evidence.over_limit(over, count, 1 - check.quantile)
    return won


def scores_gains(check: Scores, tally: Tally) -> tuple[float, ...]:
    """Of answers by bin: do more of the canary's fall into the bins that were likelier at it before this group?"""
    stable, canary = tally.open_stable, tally.open_canary
    known, own = minus(tally.stable, stable), minus(tally.canary, canary)
    if not sum(stable) or not sum(known) or not sum(own):
        return (0.0,) * len(evidence.TILTS)
    bins = evidence.likelier(own, known)
    before, bad, mine = (float(sum(compress(counts, bins))) for counts in (known, stable, canary))
    share = smoothed(before, sum(known))
    return evidence.worse_share(mine, sum(canary), bad, sum(stable), share, check.differ)


def smoothed(bad: float, of: float) -> float:
    """A share, never 0 or 1: as if one request more had been half bad."""
    return (bad + 0.5) / (of + 1)


def minus(one: Sums, other: Sums) -> Sums:
    """The difference by bin; an empty one is nothing."""
    return tuple(a - b for a, b in zip(one, other, strict=True)) if other else one


def figures(check: CountCheck, tally: Tally, bounds: Sequence[float]) -> Figures:
    """What the check compares now."""
    match check:
        case Errors():
            now = errors_figures(check, tally)
        case Latency():
            now = latency_figures(check, tally, bounds)
        case Scores():
            now = scores_figures(check, tally)
        case Shadow():
            now = shadow_figures(check, tally)
        case Feedback():
            now = feedback_figures(check, tally)
        case Crashes():
            now = crashes_figures(check, tally)
    return now


def add(one: Sequence[float], other: Sequence[float]) -> tuple[float, ...]:
    """The sum by bin; an empty one is nothing."""
    if not one or not other:
        return tuple(one or other)
    return tuple(a + b for a, b in zip(one, other, strict=True))


def share(counts: Sequence[float]) -> float:
    """The second of two counts, in parts of the first."""
    return counts[1] / counts[0] if counts and counts[0] else 0.0


def percent(value: float) -> str:
    """A share for people."""
    return f"{value * 100:.3g} %"


def errors_figures(check: Errors, tally: Tally) -> Figures:
    """Shares of failed requests."""
    mine, other = share(tally.canary), share(tally.stable)
    words = f"{percent(mine)} of {tally.samples} requests failed"
    if check.worse_by is not None:
        words += f", {percent(other)} of {tally.stable[0]:.0f} at the stable revision"
        words += f" ({check.worse_by * 100:.3g} points more are allowed)"
    if check.limit is not None:
        words += f"; the limit is {percent(check.limit)}"
    return Figures(mine, other, words, evidence.total(tally.log_e))


def latency_figures(check: Latency, tally: Tally, bounds: Sequence[float]) -> Figures:
    """Quantiles over the rollout so far."""
    mine = evidence.quantile(tally.canary, bounds, check.quantile)
    other = evidence.quantile(tally.stable, bounds, check.quantile)
    words = f"p{check.quantile * 100:g} of {tally.samples} requests is {mine * 1e3:.3g} ms"
    if check.worse_by is not None:
        words += f", {other * 1e3:.3g} ms of {sum(tally.stable):.0f} at the stable revision"
        words += f" ({percent(check.worse_by)} more are allowed)"
    if check.limit_s is not None:
        words += f"; the limit is {check.limit_s * 1e3:.3g} ms"
    return Figures(mine, other, words, evidence.total(tally.log_e))


def scores_figures(check: Scores, tally: Tally) -> Figures:
    """The total variation distance of the answers over the rollout so far."""
    mine, other = sum(tally.canary), sum(tally.stable)
    distance = 0.0
    if mine and other:
        distance = sum(abs(a / mine - b / other) for a, b in zip(tally.canary, tally.stable, strict=True)) / 2
    words = (
        f"{percent(distance)} of {mine:.0f} answers fall otherwise than the {other:.0f} of the stable revision "
        f"({percent(check.differ)} are allowed)"
    )
    return Figures(distance, None, words, evidence.total(tally.log_e))


def shadow_figures(check: Shadow, tally: Tally) -> Figures:
    """The share of answers that differ."""
    mine = share(tally.canary)
    words = f"{percent(mine)} of {tally.samples} mirrored answers differ ({percent(check.limit)} may)"
    return Figures(mine, None, words, evidence.total(tally.log_e))


def wrong(check: Feedback, sums: Sums) -> Sums:
    """Of values of 0 and 1: how many, and how many of those that one does not want."""
    count, total, _ = sums or (0.0, 0.0, 0.0)
    return count, count - total if check.better == "higher" else total


def feedback_figures(check: Feedback, tally: Tally) -> Figures:
    """Means of the metric."""
    mine, other = moments_of(tally.canary), moments_of(tally.stable)
    log_e = evidence.total(tally.log_e) if check.kind == "share" else mean_log_e(check, mine, other)
    canary, stable = sequential.mean(mine), sequential.mean(other)
    words = f"{check.metric} is {canary:.3g} over {mine.count} predictions"
    if check.worse_by is not None:
        words += f", {stable:.3g} over {other.count} at the stable revision ({check.worse_by:.3g} worse is allowed)"
    if check.limit is not None:
        words += f"; the limit is {check.limit:.3g}"
    return Figures(canary, stable, words, log_e)


def moments_of(sums: Sequence[float]) -> Moments:
    """Moments from a tally's three sums."""
    return Moments(count=int(sums[0]), total=sums[1], squares=sums[2]) if sums else Moments()


def mean_log_e(check: Feedback, mine: Moments, other: Moments) -> float:
    """The evidence against a mean: how far it is beyond what is allowed, in a mixture as wide as a fifth of a
    standard deviation. Half of the e-value for each of the two bounds."""
    sign = -1 if check.better == "higher" else 1
    spread2 = sequential.variance(mine) / max(1, mine.count)
    parts = []
    if check.worse_by is not None and other.count:
        beyond = sign * (sequential.mean(mine) - sequential.mean(other)) - check.worse_by
        parts.append((beyond, spread2 + sequential.variance(other) / other.count))
    if check.limit is not None:
        parts.append((sign * (sequential.mean(mine) - check.limit), spread2))
    effect = 0.2 * sequential.variance(mine) ** 0.5
    return evidence.total([sequential.log_mixture(max(0.0, beyond), part, effect) for beyond, part in parts])


def crashes_figures(check: Crashes, tally: Tally) -> Figures:
    """Numbers of deaths."""
    mine, other = (counts[1] if counts else 0.0 for counts in (tally.canary, tally.stable))
    words = f"{mine:.0f} replicas died, {other:.0f} of the stable revision ({check.at_most} more are allowed)"
    return Figures(mine, other, words, 0.0)
