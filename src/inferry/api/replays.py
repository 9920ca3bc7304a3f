"""Replays: requests that were kept are sent again; what they held is never shown."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.requests import Request
from starlette.routing import Route

from inferry.api.access import Guard, Json
from inferry.api.parse import name_of, read
from inferry.control.service import Service
from inferry.policy.replay import check_ask
from inferry.types.registry import Key
from inferry.types.replay import ReplayAsk


class Replays:
    """Handlers of kept requests."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        path = "/v1/endpoints/{endpoint}"
        return [
            guard.route("POST", path + "/replay", "write", self.replay),
            guard.route("GET", path + "/inputs", "read", self.inputs),
            guard.route("DELETE", path + "/inputs", "write", self.forget),
        ]

    async def replay(self, request: Request, key: Key) -> Any:
        """Begin to send an endpoint's requests again."""
        ask = check_ask(await read(request, ReplayAsk))
        return Json({"operation": self.service.replay(name_of(request, "endpoint"), ask).id}, status_code=202)

    async def inputs(self, request: Request, key: Key) -> Any:
        """How many requests are kept."""
        return await asyncio.to_thread(self.service.feedback.inputs.shown, name_of(request, "endpoint"))

    async def forget(self, request: Request, key: Key) -> Any:
        """Remove them."""
        gone = await asyncio.to_thread(self.service.feedback.inputs.forget, name_of(request, "endpoint"))
        return {"forgotten": gone}
