"""Which replicas to start and which to stop, from what is wanted and what runs. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import NamedTuple
from zlib import crc32

FIRST_DELAY_S = 0.2
LAST_DELAY_S = 30.0
DOUBLINGS = 10


class Running(NamedTuple):
    """A replica: `usable` is False when it is silent past a deadline."""

    id: str
    group: Hashable
    usable: bool


class Failures(NamedTuple):
    """Deaths of a group's replicas in a row, and when the last one was (seconds)."""

    deaths: int = 0
    last: float = 0.0


class Plan(NamedTuple):
    """Groups to start one replica of (repeated for more), replicas to stop, and when to look again."""

    start: list[Hashable]
    stop: list[str]
    wake: float | None


def delay(failures: int) -> float:
    """Seconds to wait before the next start, but for `spread`: none after a first death, then doubling to half a
    minute."""
    if failures <= 1:
        return 0.0
    return float(min(LAST_DELAY_S, FIRST_DELAY_S * 2 ** min(failures - 2, DOUBLINGS)))


def spread(group: Hashable, deaths: int) -> float:
    """A factor from 0.75 to 1.25, so that groups that failed together are not tried again together."""
    return 0.75 + crc32(repr((group, deaths)).encode()) / 2**33


def plan(
    wanted: Mapping[Hashable, int],
    running: Iterable[Running],
    starting: Mapping[Hashable, int],
    failures: Mapping[Hashable, Failures],
    now: float,
) -> Plan:
    """Start what is missing (after its back-off); stop usable ones that are over, silent ones once replaced."""
    running = list(running)
    have = Counter(replica.group for replica in running if replica.usable)
    stop = []
    for replica in sorted(running, key=lambda replica: replica.usable):
        count = wanted.get(replica.group, 0)
        if have[replica.group] > count or (not replica.usable and have[replica.group] == count):
            stop.append(replica.id)
            have[replica.group] -= replica.usable
    start: list[Hashable] = []
    wake: float | None = None
    for group, count in wanted.items():
        missing = count - have[group] - starting.get(group, 0)
        if missing <= 0:
            continue
        known = failures.get(group, Failures())
        ready = known.last + delay(known.deaths) * spread(group, known.deaths)
        if ready <= now:
            start += [group] * missing
        else:
            wake = ready if wake is None else min(wake, ready)
    return Plan(start, stop, wake)
