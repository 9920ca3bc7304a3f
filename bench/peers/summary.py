"""One model's raw rounds -> medians, spreads and ratios: pure functions over what the results file holds.

A ratio compares two rates of the same round: server order turns and the machine's mood changes, but
both numbers of a ratio were measured within seconds of each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

REFERENCE = "fastapi"
Sample = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One door of one server under one load: medians over the rounds, and the lowest and highest rate."""

    server: str
    door: str
    rate: float
    low: float
    high: float
    ratio: float
    p50: float
    p99: float
    cpu_us: float
    errors: int


@dataclass(frozen=True, kw_only=True)
class Start:
    """One server alone: medians over its starts."""

    seconds: float
    idle_mb: float
    loaded_mb: float
    extra_mb: float


def lines(samples: Sequence[Sample], encoding: str, connections: int) -> list[Line]:
    """Every server's doors under one load, the fastest first."""
    here = [s for s in samples if s["encoding"] == encoding and s["connections"] == connections]
    reference = {(s["group"], s["round"]): s["rate"] for s in here if s["server"] == REFERENCE}
    grouped: dict[tuple[str, str], list[Sample]] = {}
    for sample in here:
        if sample["server"] != REFERENCE or sample["group"] == 0:
            grouped.setdefault((sample["server"], sample["door"]), []).append(sample)
    made = [_line(server, door, mine, reference) for (server, door), mine in grouped.items()]
    return sorted(made, key=lambda line: -line.ratio)


def _line(server: str, door: str, mine: Sequence[Sample], reference: Mapping[tuple[int, int], float]) -> Line:
    rates = [s["rate"] for s in mine]
    return Line(
        server=server, door=door, rate=median(rates), low=min(rates), high=max(rates),
        ratio=median(s["rate"] / reference[s["group"], s["round"]] for s in mine),
        p50=median(s["p50"] for s in mine), p99=median(s["p99"] for s in mine),
        cpu_us=median(s["cpu_us"] for s in mine), errors=sum(s["errors"] for s in mine),
    )  # fmt: skip


def starts(records: Sequence[Sample], server: str) -> Start | None:
    """A server's start time and memory; None when it never started."""
    mine = [record for record in records if record["server"] == server]
    if not mine:
        return None
    return Start(
        seconds=median(record["seconds"] for record in mine),
        idle_mb=median(record["idle_mb"] for record in mine),
        loaded_mb=median(record["loaded_mb"] for record in mine),
        extra_mb=median(record["extra_mb"] for record in mine),
    )


def figures(records: Sequence[Sample], *names: str) -> dict[str, float]:
    """The median of each named figure."""
    return {name: median(record[name] for record in records) for name in names}


def by_server(records: Sequence[Sample]) -> dict[tuple[str, str], list[Sample]]:
    """Records grouped by server and door, in the order in which they first appear."""
    grouped: dict[tuple[str, str], list[Sample]] = {}
    for record in records:
        grouped.setdefault((record["server"], record.get("door", "")), []).append(record)
    return grouped
