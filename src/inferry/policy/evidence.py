"""Evidence: e-values that compare a canary with the stable revision, one group of windows after the other.

An e-value is a non-negative number whose mean is at most 1 when nothing is wrong. The product of those of
successive groups is an e-process: the chance that it ever reaches 1/alpha is at most alpha (Ville's inequality),
so one may look every second and stop when one likes. See Ramdas, Gruenwald, Vovk, Shafer, "Game-theoretic statistics
and safe anytime-valid inference", Statistical Science 38 (2023).

Data flow: counts of both revisions in one group -> `worse_share` or `more_bad` (gains: logarithms of the group's
e-values) -> `grow` (added to what is known) -> `total` (one number to compare with log(1/alpha)).

Why groups: both revisions get the same kind of requests in the same seconds. What happens to both (a slow database,
a flood, the night) is in both counts of a group, whatever the weights are then and were before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from inferry.later import Later

if TYPE_CHECKING:
    import numpy as np
else:
    np = Later("numpy")

TILTS = (1.5, 3.0, 8.0)
"""How many times likelier the bad outcome may be under the alternatives that are bet on, in equal parts."""
TINY = 1e-9
RECORD_CHANCES = (0.6, 0.9)


def more_bad(bad: float, of: float, other_bad: float, other_of: float) -> tuple[float, ...]:
    """Gains of one group, by TILTS, in favour of: the canary's odds of a bad outcome are higher than the stable's.

    `bad` of its `of` requests were bad, and `other_bad` of the `other_of` of the stable revision. Given how many
    were bad in both, their number at the canary has Fisher's noncentral hypergeometric distribution, whatever the
    chance was, so the ratio of its probabilities with odds that differ by the tilt and that do not is an e-value,
    and smaller odds at the canary make it smaller. Counts are rounded.
    """
    x, mine, other, total = round(bad), round(of), round(other_of), round(bad) + round(other_bad)
    if not mine or not other or not 0 < total < mine + other:
        return (0.0,) * len(TILTS)
    table = log_factorials(mine + other)
    values = np.arange(max(0, total - other), min(total, mine) + 1)
    ways = -(table[values] + table[total - values] + table[mine - values] + table[other - total + values])
    null = _log_sum(ways)
    return tuple(x * math.log(ratio) + null - _log_sum(ways + values * math.log(ratio)) for ratio in TILTS)


def worse_share(
    bad: float, of: float, other_bad: float, other_of: float, known: float, worse_by: float
) -> tuple[float, ...]:
    """Gains of one group, by TILTS, in favour of: the canary's share of bad outcomes is over the stable's by more
    than `worse_by`.

    `known`: the stable revision's share before this group, on which the bet is made: that the canary's odds are so
    many times higher than those of `known` + `worse_by`. It is made against the nearest pair of shares that is
    allowed (the reverse information projection), which makes it an e-value for all that are: Turner, Ly, Gruenwald,
    "Generic E-variables for exact sequential k-sample tests that allow for optional stopping" (2024), with the
    convex nulls of Turner, Gruenwald, "Safe sequential testing and effect estimation in stratified count data"
    (AISTATS 2023). It holds if `known` is wrong, and when the shares of both move from group to group.
    """
    base = known + worse_by
    if not of or not other_of or base > 1 - TINY:
        return (0.0,) * len(TILTS)
    gains = []
    for ratio in TILTS:
        bet = ratio * base / (1 + (ratio - 1) * base)
        near = _nearest(bet, known, of, other_of, worse_by)
        allowed = near + worse_by
        gain = bad * math.log(bet / allowed) + (of - bad) * math.log((1 - bet) / (1 - allowed))
        gain += other_bad * math.log(known / near) + (other_of - other_bad) * math.log((1 - known) / (1 - near))
        gains.append(gain)
    return tuple(gains)


def _nearest(bet: float, known: float, of: float, other_of: float, worse_by: float) -> float:
    """The q for which (q + worse_by, q) is nearest to (bet, known), by the divergence over all requests."""
    low, high = known, max(known, bet - worse_by)
    for _ in range(60):
        q = (low + high) / 2
        p = q + worse_by
        if of * (p - bet) / (p * (1 - p)) + other_of * (q - known) / (q * (1 - q)) < 0:
            low = q
        else:
            high = q
    return (low + high) / 2


def _log_sum(logs: np.ndarray) -> float:
    highest = float(logs.max())
    return highest + math.log(float(np.exp(logs - highest).sum()))


def log_factorials(largest: int) -> np.ndarray:
    """log(n!) for n from 0 to `largest` at least."""
    return _log_factorials(max(10, largest.bit_length()))


@lru_cache
def _log_factorials(bits: int) -> np.ndarray:
    return np.concatenate(([0.0], np.cumsum(np.log(np.arange(1, 1 << bits, dtype=float)))))


def over_limit(bad: float, of: float, limit: float) -> tuple[float, ...]:
    """Gains by TILTS of the odds in favour of: the share of bad outcomes is over `limit` (a likelihood ratio)."""
    return tuple(bad * math.log(ratio) - of * math.log1p((ratio - 1) * limit) for ratio in TILTS)


def grow(before: Sequence[float], gains: Sequence[float], number: int, most: float) -> tuple[float, ...]:
    """Logarithms of the e-processes after the group of windows with this `number` (from 1).

    A part 1/(number (number + 1)) of the stake, 1 in all, is set anew on each group, so that a fault that
    begins late need not first make good what a long good time lost: a mixture over the times of change (Shin,
    Ramdas, Rinaldo, "E-detectors", New England Journal of Statistics in Data Science 2 (2024), with weights that
    sum to 1). A gain counts up to `most`: one burst alone does not decide; a smaller e-value stays an e-value.
    """
    stake = -math.log(number * (number + 1))
    old = before or [-math.inf] * len(gains)
    return tuple(add(was, stake) + min(gain, most) for was, gain in zip(old, gains, strict=True))


def add(one: float, other: float) -> float:
    """log(exp(one) + exp(other)); minus infinity is nothing."""
    low, high = sorted((one, other))
    return high + math.log1p(math.exp(low - high)) if low > -math.inf else high


def total(log_e: Sequence[float]) -> float:
    """The logarithm of the mean of the alternatives' e-values; 0 when there is no evidence."""
    if not log_e:
        return 0.0
    sum_ = log_e[0]
    for one in log_e[1:]:
        sum_ = add(sum_, one)
    return sum_ - math.log(len(log_e))


def p_value(log_e: float) -> float:
    """The always-valid p-value: 1/e, at most 1."""
    return math.exp(-max(0.0, min(log_e, 700.0)))


def likelier(canary: Sequence[float], stable: Sequence[float]) -> tuple[bool, ...]:
    """Which bins have a larger share of the canary's counts than of the stable's.

    The chance to fall into these differs by the total variation distance of the two, and into no other bins by more.
    """
    mine, other = sum(canary) or 1.0, sum(stable) or 1.0
    return tuple(a / mine > b / other for a, b in zip(canary, stable, strict=True))


def record(value: float, highest: float, number: int, margin: float) -> tuple[float, ...]:
    """Gains by RECORD_CHANCES of the `number`th block: is it over the `highest` before, by the share `margin`?

    Without a trend the last of n exchangeable values is the largest with chance 1/n at most, independent of the
    records before (Renyi 1962), whatever their distribution; with one almost each is.
    """
    if number < 2:
        return (0.0,) * len(RECORD_CHANCES)
    if value > highest * (1 + margin):
        return tuple(math.log(chance * number) for chance in RECORD_CHANCES)
    return tuple(math.log((1 - chance) / (1 - 1 / number)) for chance in RECORD_CHANCES)


def slope(times: Sequence[float], values: Sequence[float]) -> float:
    """Theil-Sen: the median of the slopes between all pairs, per unit of time. 0 with fewer than two values."""
    slopes = [
        (values[later] - values[first]) / (times[later] - times[first])
        for later in range(len(times))
        for first in range(later)
        if times[later] > times[first]
    ]
    return float(np.median(slopes)) if slopes else 0.0


def quantile(counts: Sequence[float], bounds: Sequence[float], q: float) -> float:
    """The q-quantile of a histogram, straight between the bounds of its bucket; 0 when it is empty."""
    sums = np.cumsum(counts)
    if not len(sums) or not sums[-1]:
        return 0.0
    need = q * sums[-1]
    at = min(int(np.searchsorted(sums, need)), len(bounds) - 1)
    below = float(sums[at - 1]) if at else 0.0
    low = bounds[at - 1] if at else 0.0
    inside = float(sums[at]) - below
    return float(low + (bounds[at] - low) * min(1.0, max(0.0, (need - below) / inside if inside else 1.0)))


def above(counts: Sequence[float], bounds: Sequence[float], limits: object) -> np.ndarray:
    """How many of a histogram's values lie over each limit, straight within a bucket. `limits`: a number or array."""
    return float(sum(counts)) - np.interp(limits, (0.0, *bounds), (0.0, *np.cumsum(counts)))  # type: ignore[call-overload,no-any-return]


def slower(
    canary: Sequence[float], stable: Sequence[float], bounds: Sequence[float], q: float, worse_by: float
) -> tuple[float, float]:
    """How many of the canary's and of the stable's requests of one group are slow.

    Slow is over the q-quantile of all requests of the group, the canary's taken as (1 + worse_by) times faster than
    they were: a canary slower by just that much has the same chance to be slow as the stable revision. Only
    the order counts, so heavy tails do no harm, and the limit moves with what slows both.
    """
    edges = np.asarray(bounds)
    mine, other = above(canary, bounds, edges * (1 + worse_by)), above(stable, bounds, edges)
    want = (1 - q) * (sum(canary) + sum(stable))
    at = int(np.argmin(np.abs(mine + other - want)))
    return float(mine[at]), float(other[at])
