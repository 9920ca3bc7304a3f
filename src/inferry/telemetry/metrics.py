"""Metrics: counters and log-bucket latency histograms of one process, rendered as Prometheus text.

Data flow: the hot path adds to plain lists -> `render` reads them when somebody asks.
Buckets are powers of two of a microsecond split in four, so any quantile is within 25 %
(the idea of HDR Histogram, G. Tene), mergeable by adding.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

SUB_BITS = 2
BUCKETS = 40 << SUB_BITS
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def bucket_of(microseconds: int) -> int:
    """The bucket that a duration falls into."""
    if microseconds < 1 << SUB_BITS:
        return max(0, microseconds)
    shift = microseconds.bit_length() - 1 - SUB_BITS
    return min(BUCKETS - 1, ((shift + 1) << SUB_BITS) + ((microseconds >> shift) & ((1 << SUB_BITS) - 1)))


def upper_bound(bucket: int) -> float:
    """The largest duration of a bucket, in microseconds."""
    if bucket < 1 << SUB_BITS:
        return float(bucket)
    shift = (bucket >> SUB_BITS) - 1
    return float(((bucket & ((1 << SUB_BITS) - 1)) + (1 << SUB_BITS) + 1) << shift) - 1


class Series:
    """Counts and latencies of one endpoint's revision through one door."""

    __slots__ = (
        "batched", "buckets", "executions", "failed_us", "first_buckets", "first_us", "last", "predict_us", "queue_us",
        "read", "rows", "statuses", "total_us", "written",
    )  # fmt: skip

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.buckets = [0] * BUCKETS
        self.total_us = 0
        self.rows = 0
        self.queue_us = 0
        self.predict_us = 0
        self.batched = 0
        self.executions = 0.0  # runs of the model; each mate of a batch counts its part of one
        self.failed_us = 0  # of total_us, what ended with an error
        self.last = 0.0  # when the last was answered (Unix seconds)
        self.first_buckets: list[int] = []  # of answers in parts: how long until the first
        self.first_us = 0
        self.read = self.written = 0  # tokens

    def observe(self, status: int, total_us: int, queue_us: int, predict_us: int, batch: int, rows: int) -> None:
        """Count one answered request."""
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buckets[bucket_of(total_us)] += 1
        self.total_us += total_us
        self.queue_us += queue_us
        self.predict_us += predict_us
        self.batched += batch
        self.rows += rows
        self.last = time.time()
        if batch:
            self.executions += 1 / batch
        if status != 200:
            self.failed_us += total_us

    def observe_first(self, first_us: int) -> None:
        """Count the first part of an answer."""
        self.first_buckets = self.first_buckets or [0] * BUCKETS
        self.first_buckets[bucket_of(first_us)] += 1
        self.first_us += first_us

    def count_tokens(self, read: int, written: int) -> None:
        """Count what a language model read and wrote."""
        self.read += read
        self.written += written

    def quantile(self, q: float) -> float:
        """The q-quantile of latency in seconds (0 when nothing was measured)."""
        return quantile_of(self.buckets, q)


def quantile_of(buckets: Sequence[int], q: float) -> float:
    """The q-quantile in seconds of what was counted by `bucket_of` (0 when nothing was)."""
    need, seen = q * sum(buckets), 0
    for bucket, count in enumerate(buckets):
        seen += count
        if count and seen >= need:
            return upper_bound(bucket) / 1e6
    return 0.0


def slower(buckets: Sequence[int], limit_s: float) -> float:
    """How many of what was counted by `bucket_of` took longer than a limit (0: no limit); of the bucket that it falls
    into, the part above it."""
    if not limit_s:
        return 0.0
    limit = limit_s * 1e6
    place = bucket_of(int(limit))
    low, high = upper_bound(place - 1) if place else 0.0, upper_bound(place)
    return sum(buckets[place + 1 :]) + buckets[place] * max(0.0, high - limit) / max(1.0, high - low)


Labels = tuple[tuple[str, str], ...]


class Metrics:
    """All series of this process. `gauges` and `totals` (counters without a series) are set just before rendering."""

    def __init__(self) -> None:
        self.series: dict[Labels, Series] = {}
        self.gauges: dict[tuple[str, Labels], float] = {}
        self.totals: dict[str, float] = {}

    def get(self, labels: Labels) -> Series:
        """The series with these labels, made on first use."""
        found = self.series.get(labels)
        if found is None:
            found = self.series[labels] = Series()
        return found

    def render(self, own: Labels = ()) -> str:
        """The Prometheus text format, version 0.0.4. `own`: labels that every sample gets after its others."""
        every = {(*labels, *own): series for labels, series in self.series.items()}
        lines: list[str] = []
        lines += family("inferry_requests_total", "counter", "Requests answered, by HTTP status.", (
            ((*labels, ("status", str(status))), count)
            for labels, series in every.items()
            for status, count in sorted(series.statuses.items())
        ))  # fmt: skip
        lines += family("inferry_rows_total", "counter", "Rows predicted.", each(every, "rows", 1))
        lines += family(
            "inferry_predict_seconds_total",
            "counter",
            "Time the model ran, by request, mates of a batch each counting all of it.",
            each(every, "predict_us", 1e-6),
        )
        lines += family(
            "inferry_queue_seconds_total",
            "counter",
            "Time requests waited in a replica.",
            each(every, "queue_us", 1e-6),
        )
        lines += family(
            "inferry_batched_total",
            "counter",
            "Sum over requests of the size of the batch they ran in.",
            each(every, "batched", 1),
        )
        tokens = {labels: series for labels, series in every.items() if series.read or series.written}
        for name, help, of in (
            ("inferry_prompt_tokens_total", "Tokens that language models read.", "read"),
            ("inferry_output_tokens_total", "Tokens that language models wrote.", "written"),
        ):
            lines += family(name, "counter", help, ((labels, getattr(tokens[labels], of)) for labels in tokens))
        lines += histogram(
            "inferry_request_seconds",
            "Time from the last byte of a request to the first of its answer.",
            ((labels, series.buckets, series.total_us) for labels, series in every.items()),
        )
        firsts = [(labels, one.first_buckets, one.first_us) for labels, one in every.items() if one.first_buckets]
        if firsts:
            help = "Time from the last byte of a request to the first part of its answer: of a text, the first token."
            lines += histogram("inferry_first_part_seconds", help, firsts)
        for name, value in self.totals.items():
            lines += family(name, "counter", "Since this process began.", [(own, value)])
        names = sorted({name for name, _ in self.gauges})
        for name in names:
            rows = (((*labels, *own), value) for (other, labels), value in self.gauges.items() if other == name)
            lines += family(name, "gauge", "Present value.", rows)
        return "\n".join(lines) + "\n"


def merge(pages: Iterable[str]) -> str:
    """Texts of several processes as one: the lines of each metric together, under one HELP and TYPE. Each process has
    to have given its samples a label of its own."""
    families: dict[str, list[str]] = {}
    for page in pages:
        for part in ("\n" + page.removesuffix("\n")).split("\n# HELP ")[1:]:  # labels hold no line's end
            help, kind, *samples = part.split("\n", 2)
            families.setdefault(help.partition(" ")[0], [f"# HELP {help}", kind]).extend(samples)
    return "\n".join(line for lines in families.values() for line in lines) + "\n"


def each(every: dict[Labels, Series], field: str, unit: float) -> Iterable[tuple[Labels, float]]:
    """One number of each series."""
    return ((labels, getattr(series, field) * unit) for labels, series in every.items())


def histogram(name: str, help: str, rows: Iterable[tuple[Labels, list[int], int]]) -> list[str]:
    """One histogram: of each row its labels, buckets and sum in microseconds."""
    lines = [f"# HELP {name} {help}", f"# TYPE {name} histogram"]
    for labels, buckets, total_us in rows:
        seen, bucket, total = 0, 0, sum(buckets)
        for bound in BOUNDS_S:
            while bucket < BUCKETS and upper_bound(bucket) <= bound * 1e6:
                seen += buckets[bucket]
                bucket += 1
            lines.append(f"{name}_bucket{text((*labels, ('le', f'{bound:g}')))} {seen}")
        lines.append(f"{name}_bucket{text((*labels, ('le', '+Inf')))} {total}")
        lines.append(f"{name}_sum{text(labels)} {total_us / 1e6:.6f}")
        lines.append(f"{name}_count{text(labels)} {total}")
    return lines


def text(labels: Labels) -> str:
    """Labels as Prometheus writes them."""
    if not labels:
        return ""
    inner = ",".join(f'{name}="{escape(value)}"' for name, value in labels)
    return "{" + inner + "}"


def escape(value: str) -> str:
    """A label's value with backslash, quote and newline escaped."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def number(value: float) -> str:
    """A sample's value to the microsecond, however large it has grown."""
    return str(value) if isinstance(value, int) else f"{value:.6f}".rstrip("0").rstrip(".")


def family(name: str, kind: str, help: str, rows: Iterable[tuple[Labels, float]]) -> list[str]:
    """One metric with its samples; nothing when there are none."""
    samples = [f"{name}{text(labels)} {number(value)}" for labels, value in rows]
    return [f"# HELP {name} {help}", f"# TYPE {name} {kind}", *samples] if samples else []
