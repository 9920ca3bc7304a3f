"""Lookup: what is served, as facts that every protocol tells in its own words.

Data flow: the caller's key, a name, a version -> the live table -> an endpoint and a revision, an
index, counters. What a key may not see is refused, or left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inferry.errors import Forbidden, NotFound
from inferry.gateway.core import Core
from inferry.gateway.head import Head
from inferry.gateway.live import LiveEndpoint, LiveRevision
from inferry.gateway.refusals import no_endpoint, no_version
from inferry.gateway.series import labels_of
from inferry.security.keys import may
from inferry.telemetry.metrics import Series
from inferry.types.registry import Key

LABELS = ("latest", "stable")


def find(core: Core, key: Key, name: str, version: str) -> tuple[LiveEndpoint, LiveRevision]:
    """The endpoint of a name and its revision of a version. Raises Forbidden or NotFound."""
    if not may(key, "metadata", name):
        raise Forbidden("This key may not see this endpoint.", help="Ask for a key with a role for it.")
    endpoint = core.endpoints.get(name.encode("utf-8", "replace"))
    if endpoint is None:
        raise no_endpoint(name.encode("utf-8", "replace"))
    revision = endpoint.by_version.get(version.encode("utf-8", "replace")) if version else endpoint.default
    if revision is None:
        head = Head()
        head.version = version.encode("utf-8", "replace")
        raise no_version(endpoint, head)
    return endpoint, revision


def visible(core: Core, key: Key) -> list[LiveEndpoint]:
    """The endpoints that a key may know of."""
    return [endpoint for endpoint in core.endpoints.values() if may(key, "metadata", endpoint.plan.name)]


def is_ready(revision: LiveRevision) -> bool:
    """Whether it can answer: a replica is there, or the next request starts one."""
    if not revision.links:
        return revision.plan.sleeps
    return any(link.ready and not link.suspect for link in revision.links)


def versions(revisions: Iterable[LiveRevision]) -> list[tuple[int, bool]]:
    """Each version, the newest first, and whether a replica of it can answer now."""
    found: dict[int, bool] = {}
    for revision in revisions:
        found[revision.plan.version] = found.get(revision.plan.version, False) or is_ready(revision)
    return sorted(found.items(), reverse=True)


def check_label(label: str) -> None:
    """Refuse a version label that names nothing: the two there are name what is served."""
    if label not in LABELS:
        raise NotFound(
            f"Unrecognized servable version label: {ascii(label[:60])[1:-1]}.", help=f"Use {' or '.join(LABELS)}."
        )


def index(core: Core, key: Key) -> list[dict[str, str]]:
    """The Open Inference Protocol's repository index."""
    return [
        {
            "name": endpoint.plan.name,
            "version": str(revision.plan.version),
            "state": "READY" if is_ready(revision) else "UNAVAILABLE",
            "reason": "",
        }
        for endpoint in visible(core, key)
        for revision in endpoint.revisions
    ]


def statistics(core: Core, key: Key, name: str, version: str) -> dict[str, Any]:
    """The Open Inference Protocol's statistics of an endpoint, or of all when `name` is empty."""
    if not name:
        pairs = [(endpoint, revision) for endpoint in visible(core, key) for revision in endpoint.revisions]
    else:
        endpoint, found = find(core, key, name, version)
        pairs = [(endpoint, revision) for revision in ([found] if version else endpoint.revisions)]
    return {"model_stats": [counters(core, endpoint, revision) for endpoint, revision in pairs]}


def counters(core: Core, endpoint: LiveEndpoint, revision: LiveRevision) -> dict[str, Any]:
    """One revision's counters through all doors. What is not measured apart is in no duration."""
    wanted = labels_of(endpoint.plan, revision.plan)
    every = [series for labels, series in core.metrics.series.items() if labels[: len(wanted)] == wanted]
    success = sum(series.statuses.get(200, 0) for series in every)
    fail = total(every, lambda series: sum(series.statuses.values())) - success
    failed_us = total(every, lambda series: series.failed_us)
    spent_us = total(every, lambda series: series.total_us) - failed_us
    unknown, nothing = duration(success, 0), duration(0, 0)  # readers want as many inputs and outputs as runs
    return {
        "name": endpoint.plan.name,
        "version": str(revision.plan.version),
        "last_inference": max((int(series.last * 1000) for series in every), default=0),
        "inference_count": max(success, total(every, lambda series: series.rows)),
        "execution_count": round(sum(series.executions for series in every)),
        "inference_stats": {
            "success": duration(success, spent_us),
            "fail": duration(fail, failed_us),
            "queue": duration(success, total(every, lambda series: series.queue_us)),
            "compute_input": unknown,
            "compute_infer": duration(success, total(every, lambda series: series.predict_us)),
            "compute_output": unknown,
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": [],
    }


def total(every: Iterable[Series], of: Any) -> int:
    """A sum over all doors."""
    return sum(of(series) for series in every)


def duration(count: int, microseconds: int) -> dict[str, int]:
    """A StatisticDuration."""
    return {"count": count, "ns": microseconds * 1000}
