"""Idle: for how long a replica that nobody asks stays, from what its staying and its coming back cost. Pure.

Data flow: each pause of an endpoint -> `noted` -> Pauses; the time of a start, what waiting costs -> `choose` -> Keep.

To keep a replica for a pause costs the pause, in seconds of an idle replica. To let it go and start it again costs what
is waited for its start times `wait_price`: the first request waits all of it, those that come meanwhile half of it on
average. The two are the rent and the price of the ski
rental problem: who knows nothing of the pauses does at most twice as bad as who knows all when the replica stays for
as long as a start is worth (A. Karlin et al., Competitive snoopy caching, 1988). Who knows the pauses so far takes the
time that would have cost the least over them, as the histogram policy of "Serverless in the Wild" (M. Shahrad et al.,
2020) does with its percentiles. Late pauses weigh more, so that the choice follows the load.
"""

from __future__ import annotations

from math import ceil, log2
from typing import NamedTuple

from inferry.types.units import time_text

SHORTEST_S, LONGEST_S = 10.0, 3600.0
"""What may be chosen. Pauses below the shortest make no difference, and are not kept."""
UNKNOWN_S = 300.0
"""While no start was measured."""
PARTS = 4
"""Bins in a doubling: a pause is known to 19 %."""
BINS = ceil(PARTS * log2(LONGEST_S / SHORTEST_S)) + 1
"""The last is for all that are longer than may be chosen."""
KEPT = 0.97
"""What a pause weighs when another has come: about the last 33 count."""
ENOUGH = 5.0
"""From so much weight on, the pauses are believed."""

FOLLOW = 0.2
"""How much the latest count of those who come during a start says."""


class Pauses(NamedTuple):
    """What is known of an endpoint's pauses: `weights` by bin, () before there was any; how many `more` requests come
    within a start after the one that ended a pause; and of the one that did last: when it came, and how many had."""

    weights: tuple[float, ...] = ()
    more: float = 0.0
    ended: tuple[float, int] | None = None


class Keep(NamedTuple):
    """For so many seconds, and why."""

    seconds: float
    why: str


def noted(pauses: Pauses, pause_s: float, now: float, arrived: int) -> Pauses:
    """A request came after a pause, and so many had `arrived` with it."""
    if pause_s <= SHORTEST_S:
        return pauses
    place = min(BINS - 1, ceil(PARTS * log2(pause_s / SHORTEST_S)) - 1)
    found = [weight * KEPT for weight in pauses.weights or (0.0,) * BINS]
    found[place] += 1.0
    return Pauses(tuple(found), pauses.more, (now, arrived))


def counted(pauses: Pauses, cold_start_s: float, now: float, arrived: int) -> Pauses:
    """When as much time as a start takes has passed since a pause ended: how many came meanwhile."""
    if pauses.ended is None or now - pauses.ended[0] < max(cold_start_s, 1e-3):
        return pauses
    passed, came = now - pauses.ended[0], arrived - pauses.ended[1]
    more = max(0, came) * min(1.0, cold_start_s / passed)
    first = sum(pauses.weights) <= 1.0
    return Pauses(pauses.weights, more if first else pauses.more + FOLLOW * (more - pauses.more))


def choose(pauses: Pauses, cold_start_s: float, wait_price: float) -> Keep:
    """How long from the last request on."""
    if not cold_start_s:
        return Keep(UNKNOWN_S, "no start was measured yet")
    worth = cold_start_s * (1 + pauses.more / 2) * wait_price
    waits = f", for which {1 + pauses.more:.2g} requests wait," if pauses.more >= 0.1 else ""
    start = f"a start of {time_text(cold_start_s)}{waits} costs as much as {time_text(worth)} of an idle replica"
    weights, total = pauses.weights, sum(pauses.weights)
    if total < ENOUGH:
        return Keep(min(LONGEST_S, max(SHORTEST_S, worth)), start)
    best, least, shorter, spent, share = SHORTEST_S, total * worth, 0.0, 0.0, 0.0
    for place in range(BINS - 1):
        end = min(LONGEST_S, bound(place))
        shorter += weights[place]
        spent += weights[place] * (end - SHORTEST_S)
        cost = spent + (total - shorter) * (end - SHORTEST_S + worth)
        if cost < least:
            best, least, share = end, cost, shorter / total
    return Keep(best, f"{start}, and {100 * share:.0f} % of the longer pauses of late end before")


def bound(place: int) -> float:
    """The longest pause of a bin, in seconds."""
    return float(SHORTEST_S * 2 ** ((place + 1) / PARTS))
