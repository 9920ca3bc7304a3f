"""Traffic as the API shows it: who gets what, and what the gateway counted.

Data flow: endpoint, revisions, counters -> one row for each revision that runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from inferry.telemetry.metrics import quantile_of
from inferry.types.registry import Endpoint, Revision
from inferry.types.traffic import RevisionCounters

FAILED = 500


def traffic_row(
    endpoint: Endpoint, known: Sequence[Revision], counted: Mapping[int, RevisionCounters]
) -> dict[str, Any]:
    """An endpoint's traffic; seconds and counts since the gateway started."""
    split = endpoint.split
    return {
        "endpoint": endpoint.name,
        "key": split.key,
        "pins": dict(split.pins),
        "mirror": msgspec.to_builtins(split.mirror),
        "sampling": msgspec.to_builtins(split.sampling),
        "revisions": [
            revision_row(endpoint, revision, counted.get(revision.number))
            for revision in known
            if revision.number in endpoint.running
        ],
    }


def revision_row(endpoint: Endpoint, revision: Revision, counted: RevisionCounters | None) -> dict[str, Any]:
    """One revision that runs. `errors`: answers with a status of 500 and more."""
    number = revision.number
    statuses, latency = (counted.statuses, counted.latency) if counted is not None else ({}, ())
    return {
        "revision": number,
        "version": revision.version,
        "percent": endpoint.traffic.get(number, 0),
        "warm": number in endpoint.split.warm,
        "requests": sum(statuses.values()),
        "errors": sum(count for status, count in statuses.items() if status >= FAILED),
        "p50_s": quantile_of(latency, 0.5),
        "p99_s": quantile_of(latency, 0.99),
        "mirror": msgspec.to_builtins(counted.mirror) if counted is not None else None,
    }
