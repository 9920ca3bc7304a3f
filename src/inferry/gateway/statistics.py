"""Statistics of the Open Inference Protocol: what was counted of each revision, through all doors.

Data flow: the series of one process -> a Counted for each revision -> `add` those of other gateways -> the words of
the protocol. What is not measured apart is in no duration.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from inferry.gateway.live import LiveEndpoint, LiveRevision
from inferry.gateway.series import labels_of
from inferry.telemetry.metrics import Labels, Metrics


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What gateways counted of one revision. `labels`: which; `last`: when its last request was answered (Unix
    seconds)."""

    labels: Labels
    success: int = 0
    fail: int = 0
    rows: int = 0
    executions: float = 0.0
    total_us: int = 0
    failed_us: int = 0
    queue_us: int = 0
    predict_us: int = 0
    last: float = 0.0


def counted(metrics: Metrics, name: str) -> list[Counted]:
    """What one process counted of an endpoint's revisions, or of all endpoints' when `name` is empty."""
    return add(
        Counted(
            labels=labels[:-1],  # the last is the door
            success=series.statuses.get(200, 0),
            fail=sum(series.statuses.values()) - series.statuses.get(200, 0),
            rows=series.rows,
            executions=series.executions,
            total_us=series.total_us,
            failed_us=series.failed_us,
            queue_us=series.queue_us,
            predict_us=series.predict_us,
            last=series.last,
        )
        for labels, series in metrics.series.items()
        if not name or labels[0] == ("endpoint", name)
    )


def add(every: Iterable[Counted]) -> list[Counted]:
    """Sums over what has the same labels; of `last`, the latest."""
    groups: dict[Labels, list[Counted]] = {}
    for one in every:
        groups.setdefault(one.labels, []).append(one)
    return [_sum(labels, group) for labels, group in groups.items()]


def _sum(labels: Labels, group: list[Counted]) -> Counted:
    return Counted(
        labels=labels,
        success=sum(one.success for one in group),
        fail=sum(one.fail for one in group),
        rows=sum(one.rows for one in group),
        executions=sum(one.executions for one in group),
        total_us=sum(one.total_us for one in group),
        failed_us=sum(one.failed_us for one in group),
        queue_us=sum(one.queue_us for one in group),
        predict_us=sum(one.predict_us for one in group),
        last=max(one.last for one in group),
    )


def statistics(pairs: Iterable[tuple[LiveEndpoint, LiveRevision]], every: Iterable[Counted]) -> dict[str, Any]:
    """A ModelStatisticsResponse about these revisions."""
    found = {one.labels: one for one in every}
    return {"model_stats": [_told(endpoint, revision, found) for endpoint, revision in pairs]}


def _told(endpoint: LiveEndpoint, revision: LiveRevision, every: Mapping[Labels, Counted]) -> dict[str, Any]:
    labels = labels_of(endpoint.plan, revision.plan)
    of = every.get(labels) or Counted(labels=labels)
    unknown, nothing = duration(of.success, 0), duration(0, 0)  # readers want as many inputs and outputs as runs
    return {
        "name": endpoint.plan.name,
        "version": str(revision.plan.version),
        "last_inference": int(of.last * 1000),
        "inference_count": max(of.success, of.rows),
        "execution_count": round(of.executions),
        "inference_stats": {
            "success": duration(of.success, of.total_us - of.failed_us),
            "fail": duration(of.fail, of.failed_us),
            "queue": duration(of.success, of.queue_us),
            "compute_input": unknown,
            "compute_infer": duration(of.success, of.predict_us),
            "compute_output": unknown,
            "cache_hit": nothing,
            "cache_miss": nothing,
        },
        "batch_stats": [],
    }


def duration(count: int, microseconds: int) -> dict[str, int]:
    """A StatisticDuration."""
    return {"count": count, "ns": microseconds * 1000}
