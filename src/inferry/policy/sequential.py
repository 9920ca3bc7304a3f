"""Sequential: always-valid tests of means and of counts by share, from running sums.

Data flow: counts, sums and squares so far -> the logarithm of a Bayes factor whose mean is at most 1 when nothing
differs (an e-value, at every moment) -> p-value, interval. They hold at all times at once, so looking early and
often costs nothing. Sources:

- means: the mixture sequential probability ratio test of Johari, Koomen, Pekelis, Walsh, "Always valid inference:
  continuous monitoring of A/B tests", Operations Research 70 (2022), with measured variances, which is asymptotic
  as Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas show, "Time-uniform central limit theory and asymptotic confidence
  sequences", Annals of Statistics 52 (2024);
- counts by share: Lindon, Malek, "Anytime-valid inference for multinomial count data", NeurIPS 2022.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from inferry.types.analysis import Moments

CONCENTRATION = 500.0
MOST_SAMPLES = 10**12


def mean(moments: Moments) -> float:
    """The mean; 0 without values."""
    return moments.total / moments.count if moments.count else 0.0


def variance(moments: Moments) -> float:
    """The variance of one value (with n - 1); 0 with fewer than two."""
    if moments.count < 2:
        return 0.0
    return max(0.0, moments.squares - moments.total**2 / moments.count) / (moments.count - 1)


def log_mixture(difference: float, spread2: float, effect: float) -> float:
    """The logarithm of the e-value against: the true difference is 0.

    `spread2`: the variance of the measured `difference`; `effect`: the standard deviation of the differences that
    are thought of, as a normal distribution around 0.
    """
    prior = effect**2
    if spread2 <= 0 or prior <= 0:
        return 0.0
    both = spread2 + prior
    return 0.5 * math.log(spread2 / both) + difference**2 * prior / (2 * spread2 * both)


def half_width(spread2: float, effect: float, alpha: float) -> float:
    """Half the width of the interval that covers the true difference at all times with chance 1 - alpha."""
    prior = effect**2
    if spread2 <= 0 or prior <= 0:
        return math.inf
    both = spread2 + prior
    return math.sqrt(2 * spread2 * both / prior * (0.5 * math.log(both / spread2) - math.log(alpha)))


def log_shares(counts: Sequence[int], shares: Sequence[float]) -> float:
    """The logarithm of the e-value against: units fall to the arms by these `shares` (they sum to 1).

    A Dirichlet mixture around the shares, as heavy as CONCENTRATION units.
    """
    units = sum(counts)
    log_e = math.lgamma(CONCENTRATION) - math.lgamma(CONCENTRATION + units)
    for count, share in zip(counts, shares, strict=True):
        prior = CONCENTRATION * share
        log_e += math.lgamma(prior + count) - math.lgamma(prior) - count * math.log(share)
    return log_e


def samples_needed(spread2_of_one: float, effect: float, alpha: float, power: float) -> int:
    """Units, over both arms, after which a true difference of `effect` has been found with chance `power`.

    `spread2_of_one`: the variance of the difference times the number of units. The chance is that of being outside
    the bound at this number of units; as one may stop before, the true one is a little larger. 0: no variance.
    """
    if spread2_of_one <= 0 or effect <= 0:
        return 0
    quantile = NormalDist().inv_cdf(power)

    def found(units: int) -> bool:
        spread2 = spread2_of_one / units
        return effect - half_width(spread2, effect, alpha) >= quantile * math.sqrt(spread2)

    high = 2
    while not found(high) and high < MOST_SAMPLES:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if found(middle) else (middle, high)
    return high
