"""Webhooks: added, turned, tried, removed; their deliveries looked at and sent again.

Their URLs may say more than everybody should know, so all of it needs an admin.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferry.api.access import Guard, Json
from inferry.api.parse import choice, name_of, number, read
from inferry.control.webhooks import Webhooks
from inferry.types.registry import Key


class AddBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /v1/webhooks."""

    url: str
    name: str = ""
    events: tuple[str, ...] = ("*",)
    secret: str = ""
    allow_http: bool = False


class SecretBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../secret."""

    secret: str = ""
    keep_s: float = 86_400.0


class TurnBody(msgspec.Struct, forbid_unknown_fields=True):
    """PATCH /v1/webhooks/{webhook}."""

    on: bool


class AgainBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../redeliver."""

    numbers: tuple[int, ...] = ()


class Hooks:
    """Handlers of webhooks."""

    def __init__(self, webhooks: Webhooks) -> None:
        self.webhooks = webhooks

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        one = "/v1/webhooks/{webhook}"
        return [
            guard.route("GET", "/v1/webhooks", "admin", self.list),
            guard.route("POST", "/v1/webhooks", "admin", self.add),
            guard.route("PATCH", one, "admin", self.turn),
            guard.route("DELETE", one, "admin", self.remove),
            guard.route("POST", one + "/secret", "admin", self.rotate),
            guard.route("POST", one + "/test", "admin", self.test),
            guard.route("POST", one + "/redeliver", "admin", self.redeliver),
            guard.route("GET", one + "/deliveries", "admin", self.deliveries),
            guard.route("GET", one + "/deliveries/{number:int}", "admin", self.delivery),
        ]

    async def list(self, request: Request, key: Key) -> Any:
        """All."""
        return {"webhooks": await asyncio.to_thread(self.webhooks.listed)}

    async def add(self, request: Request, key: Key) -> Any:
        """Tell an address from now on."""
        body = await read(request, AddBody)
        made = await self.webhooks.add(
            body.url, body.name, body.events, body.secret, key.name, allow_http=body.allow_http
        )
        return Json(made, status_code=201)

    async def turn(self, request: Request, key: Key) -> Any:
        """On or off."""
        body = await read(request, TurnBody)
        return await self.webhooks.turn(name_of(request, "webhook"), on=body.on)

    async def remove(self, request: Request, key: Key) -> Any:
        """Forget one."""
        await self.webhooks.remove(name_of(request, "webhook"))
        return Response(status_code=204)

    async def rotate(self, request: Request, key: Key) -> Any:
        """Another secret."""
        body = await read(request, SecretBody)
        return await self.webhooks.rotate(name_of(request, "webhook"), body.secret, body.keep_s)

    async def test(self, request: Request, key: Key) -> Any:
        """An event of its own."""
        return Json(await self.webhooks.test(name_of(request, "webhook"), key.name), status_code=202)

    async def redeliver(self, request: Request, key: Key) -> Any:
        """Once more."""
        body = await read(request, AgainBody)
        return Json(await self.webhooks.redeliver(name_of(request, "webhook"), body.numbers), status_code=202)

    async def deliveries(self, request: Request, key: Key) -> Any:
        """The latest, newest first."""
        state = choice(request, "state", ("", "waiting", "delivered", "dead"))
        before, limit = int(number(request, "before", 0, 0, 1e9)), int(number(request, "limit", 50, 1, 1000))
        name = name_of(request, "webhook")
        return {"deliveries": await asyncio.to_thread(self.webhooks.deliveries, name, state, before, limit)}

    async def delivery(self, request: Request, key: Key) -> Any:
        """One, with every attempt."""
        return await asyncio.to_thread(
            self.webhooks.delivery, name_of(request, "webhook"), request.path_params["number"]
        )
