"""Checks of values: memory that grows, drift findings, numbers from outside.

Data flow: a window -> `*_take` adds its value to the Trend or Streak -> `*_reading` judges it. Values of
one process over time are no independent samples: memory is judged by how many blocks in a row are records,
the others by how often a bad value repeats.
"""

from __future__ import annotations

import math

from inferry.policy import evidence
from inferry.types.analysis import Findings, Memory, Query, Reading, Streak, Trend, Verdict, Window

KEPT_BLOCKS = 24
WINDOWS_OVER = 3
SUSPECT = 0.5
"""A check that leans towards a fault by two to one keeps a step from passing."""


def memory_take(check: Memory, trend: Trend, window: Window) -> Trend:
    """Add a window's memory to the block under way, and close that when its time is over."""
    mine, other = window.canary.memory_mb, window.stable.memory_mb
    if mine is None:
        return trend
    over = trend.over + 1 if check.limit_mb is not None and mine > check.limit_mb else 0
    start, windows, sum_, other_sum = trend.open if trend.open[1] else (window.start, 0, 0.0, 0.0)
    sum_, other_sum = sum_ + mine, other_sum + (other or 0.0)
    open = (start, windows + 1, sum_, other_sum)
    blocks, count, highest, log_e = trend.blocks, trend.count, trend.highest, trend.log_e
    if window.end - start >= check.block_s:
        block = sum_ / (windows + 1)
        count += 1
        gains = evidence.record(block, highest, count, check.per_minute * check.block_s / 60 / 2)
        log_e = evidence.grow(log_e, gains, count, math.inf)
        blocks = (*blocks, (window.end, block, other_sum / (windows + 1)))[-KEPT_BLOCKS:]
        highest = max(highest, block)
        open = (window.end, 0, 0.0, 0.0)
    return Trend(blocks=blocks, open=open, count=count, highest=highest, last=mine, log_e=log_e, over=over)


def memory_reading(check: Memory, trend: Trend, label: str, alpha: float) -> Reading:
    """Growth fails when it is beyond chance, over the allowed slope, beyond the stable revision's, and not ending.

    What was taken at the start and is slowing down is no leak: the later half of the blocks must grow at
    least half as fast as the earlier one.
    """
    recent = trend.blocks[-check.min_samples :]
    rate, other_rate = growth(recent, 1), growth(recent, 2)
    half = len(recent) // 2
    steady = growth(recent[half:], 1) >= 0.5 * growth(recent[:half], 1)
    beyond = rate - max(0.0, other_rate)
    log_e = evidence.total(trend.log_e)
    verdict: Verdict = "pass"
    if check.limit_mb is not None and trend.over >= WINDOWS_OVER:
        verdict = "fail"
    elif not trend.last:
        verdict = "missing"
    elif trend.count < check.min_samples:
        verdict = "few"
    elif steady and beyond > check.per_minute:
        p = evidence.p_value(log_e)
        verdict = "fail" if p <= alpha else "suspect" if p <= SUSPECT else "pass"
    words = (
        f"memory is {trend.last:.4g} MB and grows by {rate * 100:.2g} % a minute over {len(recent)} blocks of "
        f"{check.block_s:g} s, the stable revision's by {other_rate * 100:.2g} % "
        f"({check.per_minute * 100:.2g} % more is allowed)"
    )
    if check.limit_mb is not None:
        words += f"; the limit is {check.limit_mb:g} MB"
    return Reading(
        check=label, verdict=verdict, words=words, needed=check.needed, canary=rate, stable=other_rate,
        samples=trend.count, p=evidence.p_value(log_e), alpha=alpha,
    )  # fmt: skip


def growth(blocks: tuple[tuple[float, float, float], ...], column: int) -> float:
    """The slope of a column of the blocks, as a share of its first value, a minute."""
    if len(blocks) < 2 or blocks[0][column] <= 0:
        return 0.0
    times, values = [block[0] for block in blocks], [block[column] for block in blocks]
    return evidence.slope(times, values) * 60 / values[0]


def findings_take(check: Findings, streak: Streak, window: Window) -> Streak:
    """Count a report of the detectors, if the window has one."""
    if window.canary.findings is None:
        return streak
    kinds = {"alarm"} if check.severity == "alarm" else {"warning", "alarm"}
    shared = {finding.subject for finding in window.stable.findings or () if finding.severity in kinds}
    own = [f for f in window.canary.findings if f.severity in kinds and f.subject not in shared]
    words = "; ".join(finding.words or finding.subject for finding in own[:3])
    return Streak(bad=streak.bad + 1 if own else 0, seen=streak.seen + 1, canary=float(len(own)), words=words)


def findings_reading(check: Findings, streak: Streak, label: str) -> Reading:
    """Findings that are the canary's own, in so many reports."""
    said = f": {streak.words}" if streak.words else ""
    words = (
        f"{streak.canary or 0:.0f} drift findings that the stable revision does not have, "
        f"in {streak.bad} reports in a row{said} (it fails at {check.in_a_row})"
    )
    return repeated(check, streak, label, words, check.in_a_row)


def query_take(check: Query, streak: Streak, window: Window) -> Streak:
    """Count an answer, if the window has one that is a number."""
    value, other = window.canary.values.get(check.query), window.stable.values.get(check.query)
    if value is None or not math.isfinite(value):
        return streak
    bad = (check.at_most is not None and value > check.at_most) or (
        check.at_least is not None and value < check.at_least
    )
    if check.worse_by is not None and other is not None and math.isfinite(other):
        bad = bad or value > other + abs(other) * check.worse_by
    return Streak(bad=streak.bad + 1 if bad else 0, seen=streak.seen + 1, canary=value, stable=other)


def query_reading(check: Query, streak: Streak, label: str) -> Reading:
    """The last answer, and how many in a row were outside."""
    words = f"{check.query} is {streak.canary if streak.canary is not None else 0:.4g}"
    if streak.stable is not None:
        words += f", {streak.stable:.4g} at the stable revision"
    rules = [
        f"{name} {bound:g}"
        for name, bound in (("at least", check.at_least), ("at most", check.at_most))
        if bound is not None
    ]
    rules += [f"{check.worse_by * 100:g} % more than the stable revision"] if check.worse_by is not None else []
    words += f" (allowed: {', '.join(rules)}); {streak.bad} in a row are outside, it fails at {check.in_a_row}"
    return repeated(check, streak, label, words, check.in_a_row)


def repeated(check: Findings | Query, streak: Streak, label: str, words: str, fails_at: int) -> Reading:
    """A reading of something that fails when it repeats."""
    verdict: Verdict = "fail" if streak.bad >= fails_at else "suspect" if streak.bad else "pass"
    return Reading(
        check=label, verdict=verdict if streak.seen else "missing", words=words, needed=check.needed,
        canary=streak.canary, stable=streak.stable, samples=streak.seen,
    )  # fmt: skip
