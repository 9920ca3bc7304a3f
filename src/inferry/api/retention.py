"""How long versions are kept: rules, and removing what they let go."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferry.api.access import Guard
from inferry.api.parse import name_of, read
from inferry.control.service import Service
from inferry.types.registry import Key
from inferry.types.retention import Retention


class PruneBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../prune. `rule`: left out, the model's own, or else the default one."""

    rule: Retention | None = None
    dry_run: bool = False


class Retentions:
    """Handlers of retention."""

    def __init__(self, service: Service) -> None:
        self.kept = service.retentions

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        model = "/v1/models/{model}"
        return [
            guard.route("POST", model + "/prune", "write", self.prune),
            guard.route("GET", model + "/retention", "read", self.rule),
            guard.route("PUT", model + "/retention", "write", self.set_rule),
            guard.route("DELETE", model + "/retention", "write", self.delete_rule),
        ]

    async def prune(self, request: Request, key: Key) -> Any:
        """Remove old versions, or say which would go."""
        body = await read(request, PruneBody)
        return await self.kept.prune(name_of(request, "model"), body.rule, dry_run=body.dry_run)

    async def rule(self, request: Request, key: Key) -> Any:
        """A model's rule."""
        return await asyncio.to_thread(self.kept.rule, name_of(request, "model"))

    async def set_rule(self, request: Request, key: Key) -> Any:
        """Give a model a rule."""
        rule = await read(request, Retention)
        return await asyncio.to_thread(self.kept.set_rule, name_of(request, "model"), rule, key.name)

    async def delete_rule(self, request: Request, key: Key) -> Any:
        """Forget a model's rule."""
        await asyncio.to_thread(self.kept.delete_rule, name_of(request, "model"))
        return Response(status_code=204)
