"""Feedback: how right each version was, as JSON and as Prometheus metrics."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferry.api.access import Guard
from inferry.api.parse import name_of, number
from inferry.control.service import Service
from inferry.telemetry.metrics import Labels, family
from inferry.types.quality import Quality
from inferry.types.registry import Key

WEEK_S = 7 * 86_400.0
END = 1e11
FRESH_S = 60.0


class Feedback:
    """Handlers of quality."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._made = -FRESH_S
        self._known: list[Quality] = []

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [
            guard.route("GET", "/v1/endpoints/{endpoint}/quality", "read", self.quality),
            guard.route("GET", "/metrics", "metrics", self.metrics),
        ]

    async def quality(self, request: Request, key: Key) -> Any:
        """How right each version of an endpoint was."""
        since = number(request, "since", time.time() - WEEK_S, 0, END)
        return await asyncio.to_thread(self.service.feedback.quality, name_of(request, "endpoint"), since)

    async def metrics(self, request: Request, key: Key) -> Any:
        """The quality of the last week of all endpoints, as Prometheus text; read anew at most once a minute."""
        if time.monotonic() - self._made >= FRESH_S:
            self._made = time.monotonic()
            self._known = await asyncio.to_thread(self._all)
        return Response("\n".join(prometheus(self._known)) + "\n", media_type="text/plain; version=0.0.4")

    def _all(self) -> list[Quality]:
        since = time.time() - WEEK_S
        return [self.service.feedback.quality(one.name, since) for one in self.service.store.endpoints()]


def prometheus(found: list[Quality]) -> list[str]:
    """All figures as gauges, and how many predictions they are of."""

    def labels(one: Quality, version: int) -> Labels:
        return (("endpoint", one.endpoint), ("version", str(version)))

    def figures() -> Iterator[tuple[Labels, float]]:
        for one in found:
            for version in one.versions:
                for metric in version.metrics:
                    yield (*labels(one, version.version), ("metric", metric.name)), metric.value

    rows = [(labels(one, version.version), version) for one in found for version in one.versions]
    return [
        *family("inferry_quality", "gauge", "By the truth that came for predictions of the last week.", figures()),
        *family(
            "inferry_quality_predictions", "gauge", "Predictions of the last week whose truth is known.",
            ((names, version.joined) for names, version in rows),
        ),
        *family(
            "inferry_quality_captured", "gauge", "Answers of the last week that are kept.",
            ((names, version.captured) for names, version in rows),
        ),
    ]  # fmt: skip
