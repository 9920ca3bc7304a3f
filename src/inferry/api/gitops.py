"""The Git repository that is followed: which one, how it stands, a look at once."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferry.api.access import Guard, Json
from inferry.api.parse import read
from inferry.control.gitops import GitOps
from inferry.types.registry import Key
from inferry.types.repository import Repository


class FollowBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /v1/repository."""

    url: str
    branch: str = "main"
    path: str = "."
    interval_s: float = 30.0
    token: str = ""
    prune: bool = False
    commands: bool = False


class Repositories:
    """Handlers of the repository."""

    def __init__(self, gitops: GitOps) -> None:
        self.gitops = gitops

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [
            guard.route("GET", "/v1/repository", "read", self.show),
            guard.route("PUT", "/v1/repository", "admin", self.follow),
            guard.route("DELETE", "/v1/repository", "admin", self.unfollow),
            guard.route("POST", "/v1/repository/sync", "write", self.sync),
        ]

    async def show(self, request: Request, key: Key) -> Any:
        """The repository, and what came of its newest commit."""
        return await asyncio.to_thread(self.gitops.show)

    async def follow(self, request: Request, key: Key) -> Any:
        """Follow one from now on."""
        body = await read(request, FollowBody)
        wanted = Repository(
            url=body.url, branch=body.branch, path=body.path, interval_s=body.interval_s, prune=body.prune,
            commands=body.commands, created=0.0, created_by=key.name,
        )  # fmt: skip
        return await self.gitops.follow(wanted, body.token)

    async def unfollow(self, request: Request, key: Key) -> Any:
        """Follow none."""
        await self.gitops.unfollow()
        return Response(status_code=204)

    async def sync(self, request: Request, key: Key) -> Any:
        """Look now."""
        return Json(await self.gitops.sync(), status_code=202)
