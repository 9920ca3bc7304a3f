"""Counters: what the gateway counted of each revision, as control asks for it.

Data flow: the series of all doors -> one RevisionCounters for each revision of the table, with the report of
its copies when it is a shadow.
"""

from __future__ import annotations

import time

from inferry.gateway.core import Core
from inferry.gateway.series import labels_of
from inferry.types.traffic import RevisionCounters

EPOCH = time.time_ns()
"""When this gateway began to count."""


def counters_of(core: Core) -> tuple[RevisionCounters, ...]:
    """Of all revisions in the table, through all doors."""
    return tuple(
        _counters(core, name.decode(), number)
        for name, endpoint in core.endpoints.items()
        for number in endpoint.by_number
    )


def _counters(core: Core, name: str, number: int) -> RevisionCounters:
    endpoint = core.endpoints[name.encode()]
    wanted = labels_of(endpoint.plan, endpoint.by_number[number].plan)
    every = [series for labels, series in core.metrics.series.items() if labels[: len(wanted)] == wanted]
    statuses: dict[int, int] = {}
    for series in every:
        for status, count in series.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    return RevisionCounters(
        epoch=EPOCH,
        endpoint=name,
        revision=number,
        statuses=statuses,
        latency=tuple(map(sum, zip(*(series.buckets for series in every), strict=True))),
        total_us=sum(series.total_us for series in every),
        mirror=core.mirror.report(name, number),
    )
