"""Experiments: begun, looked at, ended."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from inferry.api.access import Guard, Json
from inferry.api.parse import name_of, read
from inferry.control.service import Service
from inferry.types.experiment import Experiment, Variant
from inferry.types.names import check_name
from inferry.types.registry import Key


class BeginBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """POST .../experiments. `variants`: percents by revision, the control first."""

    variants: dict[int, int]
    metric: str
    min_effect: float
    kind: Literal["share", "mean"] = "share"
    better: Literal["higher", "lower"] = "higher"
    alpha: float = 0.05
    power: float = 0.8
    expected: float | None = None
    deviation: float | None = None
    min_s: float = 0.0


class EndBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../experiment/stop."""

    reason: str = ""
    winner: int | None = None


class Experiments:
    """Handlers of experiments."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        endpoint = "/v1/endpoints/{endpoint}"
        return [
            guard.route("GET", "/v1/experiments", "read", self.list),
            guard.route("GET", "/v1/experiments/{id}", "read", self.show),
            guard.route("POST", endpoint + "/experiments", "write", self.begin),
            guard.route("POST", endpoint + "/experiment/stop", "write", self.end),
        ]

    async def list(self, request: Request, key: Key) -> Any:
        """The latest experiments."""
        endpoint = request.query_params.get("endpoint", "")
        if endpoint:
            check_name(endpoint, "endpoint name")
        return {"experiments": await self.service.experiments.list(endpoint)}

    async def show(self, request: Request, key: Key) -> Any:
        """One experiment with what was seen."""
        return await self.service.experiments.show(request.path_params["id"])

    async def begin(self, request: Request, key: Key) -> Any:
        """Begin one."""
        body = await read(request, BeginBody)
        endpoint = name_of(request, "endpoint")
        experiment = Experiment(
            name=endpoint,
            variants=tuple(Variant(name=str(number), weight=weight) for number, weight in body.variants.items()),
            metric=body.metric,
            min_effect=body.min_effect,
            kind=body.kind,
            better=body.better,
            alpha=body.alpha,
            power=body.power,
            expected=body.expected,
            deviation=body.deviation,
            min_s=body.min_s,
        )
        return Json(await self.service.experiments.begin(endpoint, experiment, key.name), status_code=201)

    async def end(self, request: Request, key: Key) -> Any:
        """End the one under way."""
        body = await read(request, EndBody)
        endpoint = name_of(request, "endpoint")
        return await self.service.experiments.end(endpoint, key.name, body.reason[:500], body.winner)
