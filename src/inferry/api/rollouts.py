"""Rollouts: begun, watched, and what people want of them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from inferry.api.access import Guard, Json
from inferry.api.parse import name_of, number, read
from inferry.control.service import Service
from inferry.errors import NotFound
from inferry.policy.strategy import DEFAULT_STRATEGY
from inferry.types.names import check_name
from inferry.types.registry import Key
from inferry.types.rollout import Act, Strategy

Kind = Literal["pause", "resume", "skip", "promote", "abort"]
KINDS: tuple[Kind, ...] = ("pause", "resume", "skip", "promote", "abort")


class BeginBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../rollouts."""

    revision: int
    strategy: Strategy | None = None
    allow_breaking: bool = False


class ActBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../rollout/{what}."""

    reason: str = ""
    guarded: bool = True


class Rollouts:
    """Handlers of rollouts."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        endpoint = "/v1/endpoints/{endpoint}"
        return [
            guard.route("GET", "/v1/rollouts", "read", self.list),
            guard.route("GET", "/v1/rollouts/{id}", "read", self.show),
            guard.route("POST", endpoint + "/rollouts", "write", self.begin),
            guard.route("POST", endpoint + "/rollout/{kind}", "write", self.act),
        ]

    async def list(self, request: Request, key: Key) -> Any:
        """The latest rollouts."""
        endpoint = request.query_params.get("endpoint", "")
        if endpoint:
            check_name(endpoint, "endpoint name")
        return {"rollouts": await self.service.rollouts.list(endpoint)}

    async def show(self, request: Request, key: Key) -> Any:
        """One rollout with its decisions."""
        return await self.service.rollouts.show(request.path_params["id"], int(number(request, "after", 0, 0, 1e9)))

    async def begin(self, request: Request, key: Key) -> Any:
        """Begin one."""
        body = await read(request, BeginBody)
        strategy = body.strategy or DEFAULT_STRATEGY
        made = await self.service.rollouts.begin(
            name_of(request, "endpoint"), body.revision, strategy, key.name, allow_breaking=body.allow_breaking
        )
        return Json(made, status_code=201)

    async def act(self, request: Request, key: Key) -> Any:
        """What a person wants of the one under way."""
        kind = next((known for known in KINDS if known == request.path_params["kind"]), None)
        if kind is None:
            raise NotFound("There is no such route.", help=f"Use one of {', '.join(KINDS)}.")
        body = await read(request, ActBody)
        wish = Act(kind=kind, by=key.name, reason=body.reason[:500], guarded=body.guarded)
        return await self.service.rollouts.act(name_of(request, "endpoint"), wish)
