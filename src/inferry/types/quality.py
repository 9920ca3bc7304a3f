"""Quality: how right a version was, by the truth that came for its predictions.

Data flow: predictions with their truth -> `policy.quality` -> one VersionQuality a version -> tables, metrics.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Task = Literal["classes", "numbers", ""]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over `count` predictions, with an interval that covers the true one in 95 of 100 cases where one is
    known (`low`, `high`)."""

    name: str
    value: float
    count: int
    low: float | None = None
    high: float | None = None


class ClassQuality(msgspec.Struct, frozen=True, kw_only=True):
    """One class: how many truly were of it, and precision, recall and F1 (None: it was never predicted, or never
    true)."""

    label: str
    count: int
    precision: float | None
    recall: float | None
    f1: float | None


class VersionQuality(msgspec.Struct, frozen=True, kw_only=True):
    """One version. `captured`: answers that are kept; `joined`: those that have a truth. `metrics` end with the means
    of values that came with the feedback."""

    version: int
    task: Task
    captured: int
    joined: int
    metrics: tuple[Metric, ...] = ()
    classes: tuple[ClassQuality, ...] = ()


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """Of an endpoint's predictions since a moment. `cut`: there are more, these are the latest."""

    endpoint: str
    since: float
    versions: tuple[VersionQuality, ...]
    cut: bool = False
