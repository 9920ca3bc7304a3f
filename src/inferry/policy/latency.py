"""Latency: how many replicas keep 95 % of the answers within a time. Pure.

Data flow: requests a second, the time of one, a target -> the fewest replicas by which the wait before it leaves 95 %
of them within the target -> what is observed of them -> `strained`: for how many more one plans when more were late.

The wait is that of Erlang's formula for requests that come by chance to so many servers (M/M/n; A. K. Erlang, 1917; any
book on queues): a share `busy` of them finds all at work, and waits over t with exp(-(n / service - rate) t). Times of
real models vary less than the formula's, arrivals often more: so it only says where to begin, and the count of those
that were late corrects it.
"""

from __future__ import annotations

from math import exp, log
from typing import NamedTuple

LATE = 0.05
"""So many may take longer than the target."""
FULL = 0.9
"""Replicas are busy for at most so much of the time, whatever the target allows."""
COUNTED = 20
"""Answers before their times are believed."""
MORE, LESS = 1.15, 0.97
MOST = 4.0


class Strain(NamedTuple):
    """For how many times the requests one plans, and when that was last changed (seconds)."""

    factor: float = 1.0
    at: float = float("-inf")


def replicas_for(rate: float, service_s: float, target_s: float, most: int) -> int:
    """The fewest; `most` when no fewer will do. 0 without requests."""
    offered = rate * service_s
    if offered <= 0:
        return 0
    blocked, allowed_s = 1.0, max(0.0, target_s - service_s)
    for count in range(1, most + 1):
        blocked = offered * blocked / (count + offered * blocked)
        if offered >= count * FULL:
            continue
        busy = blocked / (1 - offered / count * (1 - blocked))
        if busy * exp(-(count / service_s - rate) * allowed_s) <= LATE:
            return count
    return most


def within_s(rate: float, service_s: float, count: int) -> float:
    """Within what time 95 % are answered by so many replicas; infinite when they cannot keep up."""
    offered = rate * service_s
    if offered >= count:
        return float("inf")
    blocked = 1.0
    for servers in range(1, count + 1):
        blocked = offered * blocked / (servers + offered * blocked)
    busy = blocked / (1 - offered / count * (1 - blocked))
    return service_s + (log(busy / LATE) / (count / service_s - rate) if busy > LATE else 0.0)


def strained(strain: Strain, answered: float, late: float, window_s: float, now: float) -> Strain:
    """After `answered` answers in a window, of which so many were `late`. A change has a window to show."""
    if answered < COUNTED or now - strain.at < window_s:
        return strain
    if late > LATE * answered:
        return Strain(min(MOST, strain.factor * MORE), now)
    return Strain(max(1.0, strain.factor * LESS), now) if strain.factor > 1 else strain
