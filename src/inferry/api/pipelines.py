"""Projects and pipelines: applied, looked at, approved and canceled."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import Route

from inferry.api.access import Guard, Json
from inferry.api.parse import name_of, number, read
from inferry.control.pipelines import Pipelines
from inferry.control.projects import Projects
from inferry.errors import NotFound
from inferry.policy.pipeline import Act
from inferry.types.names import check_name
from inferry.types.project import Project
from inferry.types.registry import Key

ACTS: tuple[Act, ...] = ("approve", "cancel")
MAX_REASON = 500


class ProjectBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT /v1/project, POST /v1/project/plan."""

    project: Project
    prune: bool = False


class StartBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../runs."""

    version: int


class ActBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../runs/{id}/{what}."""

    reason: str = ""


class Ladders:
    """Handlers of projects and pipelines."""

    def __init__(self, projects: Projects, pipelines: Pipelines) -> None:
        self.projects = projects
        self.pipelines = pipelines

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        return [
            guard.route("GET", "/v1/project", "read", self.project),
            guard.route("PUT", "/v1/project", "write", self.apply),
            guard.route("POST", "/v1/project/plan", "read", self.plan),
            guard.route("GET", "/v1/runs", "read", self.runs),
            guard.route("GET", "/v1/runs/{id}", "read", self.run),
            guard.route("POST", "/v1/runs/{id}/{act}", "write", self.act),
            guard.route("POST", "/v1/models/{model}/runs", "write", self.start),
        ]

    async def project(self, request: Request, key: Key) -> Any:
        """What was applied, and what differs from it."""
        return await self.projects.show()

    async def apply(self, request: Request, key: Key) -> Any:
        """Want this from now on."""
        body = await read(request, ProjectBody)
        return Json(await self.projects.apply(body.project, body.prune, key.name), status_code=202)

    async def plan(self, request: Request, key: Key) -> Any:
        """What applying it would change."""
        body = await read(request, ProjectBody)
        return await self.projects.plan(body.project, body.prune)

    async def runs(self, request: Request, key: Key) -> Any:
        """The latest runs."""
        model = request.query_params.get("model", "")
        if model:
            check_name(model, "model name")
        return {"runs": await asyncio.to_thread(self.pipelines.list, model)}

    async def run(self, request: Request, key: Key) -> Any:
        """One run with its events."""
        after = int(number(request, "after", 0, 0, 1e9))
        return await asyncio.to_thread(self.pipelines.show, request.path_params["id"], after)

    async def start(self, request: Request, key: Key) -> Any:
        """Send a version up the ladder."""
        body = await read(request, StartBody)
        return Json(await self.pipelines.start(name_of(request, "model"), body.version, key.name), status_code=201)

    async def act(self, request: Request, key: Key) -> Any:
        """What a person wants of a run."""
        wish = next((known for known in ACTS if known == request.path_params["act"]), None)
        if wish is None:
            raise NotFound("There is no such route.", help=f"Use one of {', '.join(ACTS)}.")
        body = await read(request, ActBody)
        return await self.pipelines.act(request.path_params["id"], wish, key.name, body.reason[:MAX_REASON])
