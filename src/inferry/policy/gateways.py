"""Gateways: what several of them count, added up.

Data flow: what one gateway has counted since it started -> the sums over all of them, since control began to listen. A
gateway that starts again begins with nothing: what it had counted stays in the sums.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import reduce
from typing import Generic, TypeVar

import msgspec

from inferry.policy import compare
from inferry.types.scaling import Load
from inferry.types.traffic import FieldDifference, MirrorReport, RevisionCounters

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Sums(Generic[K, V]):
    """Sums by key. `add`: two counts; `ended`: what stays of the last counts of a gateway that started again; `begun`:
    what is added to the first counts that are heard of one (None: nothing)."""

    def __init__(
        self, add: Callable[[V, V], V], ended: Callable[[V], V], begun: Callable[[V], V] | None = None
    ) -> None:
        self._add = add
        self._ended = ended
        self._begun = begun
        self._epochs: dict[int, int] = {}
        self._last: dict[int, dict[K, V]] = {}
        self._base: dict[K, V] = {}

    def hear(self, gateway: int, epoch: int, counts: Mapping[K, V]) -> set[K]:
        """What a gateway that started at `epoch` counted; which sums changed. What it does not tell stays as it was."""
        changed = set(counts)
        if self._epochs.get(gateway) != epoch:
            self._epochs[gateway] = epoch
            for key, value in self._last.pop(gateway, {}).items():
                self._put(key, self._ended(value))
                changed.add(key)
            if self._begun is not None:
                for key, value in counts.items():
                    self._put(key, self._begun(value))
        self._last.setdefault(gateway, {}).update(counts)
        return changed

    def total(self, key: K) -> V:
        """One sum. Raises KeyError."""
        found = [known[key] for known in (self._base, *self._last.values()) if key in known]
        if not found:
            raise KeyError(key)
        return reduce(self._add, found)

    def keep(self, keys: Iterable[K]) -> None:
        """Forget all others."""
        kept = set(keys)
        for known in (self._base, *self._last.values()):
            for key in known.keys() - kept:
                del known[key]

    def _put(self, key: K, value: V) -> None:
        self._base[key] = self._add(self._base[key], value) if key in self._base else value


def loads() -> Sums[tuple[str, int], Load]:
    """Of loads, by endpoint and revision. What a gateway had counted before it was heard is no news."""
    return Sums(add_loads, ended_load, begun_load)


def counters() -> Sums[tuple[str, int], RevisionCounters]:
    """Of counters, by endpoint and revision."""
    return Sums(add_counters, lambda last: last)


def add_loads(one: Load, other: Load) -> Load:
    """Two gateways' loads of a revision. How fast a replica drains its queue is seen best by who sees most of it."""
    services = [us for us in (one.service_us, other.service_us) if us]
    return Load(
        endpoint=one.endpoint,
        revision=one.revision,
        busy_us=one.busy_us + other.busy_us,
        arrived=one.arrived + other.arrived,
        waiting=one.waiting + other.waiting,
        in_flight=one.in_flight + other.in_flight,
        missed=one.missed + other.missed,
        service_us=min(services, default=0.0),
        late=one.late + other.late,
    )


def ended_load(last: Load) -> Load:
    """What was counted stays; what was under way is no more."""
    return msgspec.structs.replace(last, waiting=0, in_flight=0, missed=0, service_us=0.0)


def begun_load(first: Load) -> Load:
    """Only what is under way counts."""
    answered = first.arrived - first.waiting - first.in_flight
    return Load(
        endpoint=first.endpoint, revision=first.revision, busy_us=-first.busy_us, arrived=-answered, late=-first.late
    )


def add_counters(one: RevisionCounters, other: RevisionCounters) -> RevisionCounters:
    """Two gateways' counters of a revision."""
    statuses = dict(one.statuses)
    for status, count in other.statuses.items():
        statuses[status] = statuses.get(status, 0) + count
    both = one.latency and other.latency
    return RevisionCounters(
        epoch=max(one.epoch, other.epoch),
        endpoint=one.endpoint,
        revision=one.revision,
        statuses=statuses,
        latency=tuple(map(sum, zip(one.latency, other.latency, strict=True))) if both else one.latency or other.latency,
        total_us=one.total_us + other.total_us,
        mirror=add_reports(one.mirror, other.mirror),
    )


def add_reports(one: MirrorReport | None, other: MirrorReport | None) -> MirrorReport | None:
    """Two gateways' reports of the same copies."""
    if one is None or other is None:
        return one or other
    fields = {
        name: FieldDifference(values=each.values, differing=each.differing, largest=each.largest)
        for name, each in one.fields.items()
    }
    compare.add(fields, other.fields)
    return MirrorReport(
        compared=one.compared + other.compared,
        equal=one.equal + other.equal,
        failed=one.failed + other.failed,
        recovered=one.recovered + other.recovered,
        dropped=one.dropped + other.dropped,
        primary_us=one.primary_us + other.primary_us,
        shadow_us=one.shadow_us + other.shadow_us,
        fields=fields,
    )
