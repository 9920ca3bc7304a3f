"""The control API: parse, call the service, format. One route table, made of one for each concern.

Data flow: HTTP -> Guard (host, key, action) -> handler -> Service -> JSON.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferry.api.access import Guard, Json, error_response
from inferry.api.experiments import Experiments
from inferry.api.feedback import Feedback
from inferry.api.gitops import Repositories
from inferry.api.parse import name_of, number, read
from inferry.api.pipelines import Ladders
from inferry.api.replays import Replays
from inferry.api.retention import Retentions
from inferry.api.rollouts import Rollouts
from inferry.api.uploads import Uploads
from inferry.api.versions import Versions
from inferry.api.webhooks import Hooks
from inferry.control.database import DatabaseWatch
from inferry.control.doctor import Doctor
from inferry.control.runtimes import runtimes
from inferry.control.service import Service
from inferry.control.status import Status
from inferry.errors import InferryError, InternalError, InvalidInput, MethodNotAllowed, NotFound
from inferry.policy import schedule
from inferry.types.registry import Key
from inferry.types.traffic import TrafficPlan


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../rollback."""

    revision: int | None = None


class ScaleBody(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """POST .../scale. `replicas`: a fixed number; the others: between which limits it varies, and how."""

    replicas: int | None = None
    min_replicas: int | None = None
    max_replicas: int | None = None
    target_concurrency: float | None = None
    target_latency_s: float | None = None
    idle_timeout_s: float | None = None
    down_delay_s: float | None = None
    buffer_replicas: int | None = None
    wait_price: float | None = None
    schedule: tuple[str, ...] | None = None


class KeyBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /v1/keys."""

    name: str
    role: str = "invoker"
    endpoints: tuple[str, ...] = ("*",)
    expires_s: float = 0.0


class Api:
    """Handlers over one service."""

    def __init__(
        self, service: Service, doctor: Doctor, watch: DatabaseWatch, max_upload: int, ladders: Ladders, hooks: Hooks,
        repositories: Repositories, status: Status,
    ) -> None:  # fmt: skip
        self._status = status
        self.service = service
        self.doctor = doctor
        self.watch = watch
        self.uploads = Uploads(service, max_upload)
        self.versions = Versions(service)
        self.rollouts = Rollouts(service)
        self.retentions = Retentions(service)
        self.feedback = Feedback(service)
        self.replays = Replays(service)
        self.ladders = ladders
        self.hooks = hooks
        self.repositories = repositories
        self.experiments = Experiments(service)

    async def info(self, request: Request, key: Key) -> Any:
        """What this platform is."""
        site = self.service.site
        return {
            "version": site.version, "http": site.http, "role": key.role, "degraded": bool(self.watch.problem),
        }  # fmt: skip

    async def status(self, request: Request, key: Key) -> Any:
        """How it is, and who leads."""
        return await asyncio.to_thread(self._status.told) | self._status.now()

    async def endpoints(self, request: Request, key: Key) -> Any:
        """All endpoints."""
        return {"endpoints": await asyncio.to_thread(self.service.endpoints)}

    async def endpoint(self, request: Request, key: Key) -> Any:
        """One endpoint."""
        return await asyncio.to_thread(self.service.endpoint, name_of(request, "endpoint"))

    async def delete_endpoint(self, request: Request, key: Key) -> Any:
        """Stop serving a name."""
        await self.service.delete_endpoint(name_of(request, "endpoint"))
        return Response(status_code=204)

    async def logs(self, request: Request, key: Key) -> Any:
        """The end of an endpoint's log."""
        lines = int(number(request, "lines", 200, 1, 10_000))
        return {"lines": await asyncio.to_thread(self.service.logs, name_of(request, "endpoint"), lines)}

    async def rollback(self, request: Request, key: Key) -> Any:
        """Go back to an earlier revision."""
        body = await read(request, RollbackBody)
        return await self.service.rollback(name_of(request, "endpoint"), body.revision, key.name)

    async def scale(self, request: Request, key: Key) -> Any:
        """Change the number of replicas, or how it varies."""
        changes = msgspec.to_builtins(await read(request, ScaleBody))
        if "schedule" in changes:
            changes["schedule"] = tuple(map(schedule.read, changes["schedule"]))
        if not changes:
            raise InvalidInput("Nothing is to change.", help="Give replicas, or min_replicas and max_replicas.")
        return await self.service.configure(name_of(request, "endpoint"), None, changes, key.name)

    async def scaling(self, request: Request, key: Key) -> Any:
        """How many replicas there are, and why."""
        return await asyncio.to_thread(self.service.scaling, name_of(request, "endpoint"))

    async def warm(self, request: Request, key: Key) -> Any:
        """Start a replica ahead of requests."""
        return await self.service.warm(name_of(request, "endpoint"))

    async def traffic(self, request: Request, key: Key) -> Any:
        """How requests are shared out, and what came of it."""
        return await self.service.traffic(name_of(request, "endpoint"))

    async def share_out(self, request: Request, key: Key) -> Any:
        """Share requests out another way."""
        plan = await read(request, TrafficPlan)
        return await self.service.share_out(name_of(request, "endpoint"), plan)

    async def keys(self, request: Request, key: Key) -> Any:
        """All keys."""
        return {"keys": await asyncio.to_thread(self.service.keys.list)}

    async def create_key(self, request: Request, key: Key) -> Any:
        """Mint a key."""
        body = await read(request, KeyBody)
        made = await self.service.keys.create(body.name, body.role, body.endpoints, body.expires_s)
        return Json(made, status_code=201)

    async def revoke_key(self, request: Request, key: Key) -> Any:
        """Forget a key."""
        await self.service.keys.revoke(request.path_params["key"])
        return Response(status_code=204)

    async def runtimes(self, request: Request, key: Key) -> Any:
        """What can be served here, and on what."""
        return await asyncio.to_thread(runtimes, self.service.fleet.find)

    async def run_doctor(self, request: Request, key: Key) -> Any:
        """Check everything."""
        return await self.doctor.run()


def build(api: Api, guard: Guard) -> Starlette:
    """The ASGI app."""
    endpoint = "/v1/endpoints/{endpoint}"
    routes = [
        Route("/healthz", healthz),
        guard.route("GET", "/v1/info", "metadata", api.info),
        guard.route("GET", "/v1/status", "read", api.status),
        guard.route("GET", "/v1/runtimes", "read", api.runtimes),
        guard.route("GET", "/v1/endpoints", "read", api.endpoints),
        guard.route("GET", endpoint, "read", api.endpoint),
        guard.route("DELETE", endpoint, "write", api.delete_endpoint),
        guard.route("GET", endpoint + "/logs", "read", api.logs),
        guard.route("POST", endpoint + "/rollback", "write", api.rollback),
        guard.route("GET", endpoint + "/traffic", "read", api.traffic),
        guard.route("POST", endpoint + "/traffic", "write", api.share_out),
        guard.route("GET", endpoint + "/scale", "read", api.scaling),
        guard.route("POST", endpoint + "/scale", "write", api.scale),
        guard.route("POST", endpoint + "/warm", "write", api.warm),
        guard.route("GET", "/v1/keys", "admin", api.keys),
        guard.route("POST", "/v1/keys", "admin", api.create_key),
        guard.route("DELETE", "/v1/keys/{key}", "admin", api.revoke_key),
        guard.route("GET", "/v1/doctor", "read", api.run_doctor),
        *api.uploads.routes(guard),
        *api.versions.routes(guard),
        *api.rollouts.routes(guard),
        *api.retentions.routes(guard),
        *api.feedback.routes(guard),
        *api.replays.routes(guard),
        *api.ladders.routes(guard),
        *api.experiments.routes(guard),
        *api.hooks.routes(guard),
        *api.repositories.routes(guard),
    ]
    app = Starlette(routes=routes, exception_handlers={HTTPException: on_http_error, Exception: on_bug})
    app.router.redirect_slashes = False  # a redirect would repeat whatever Host the client named
    return app


async def healthz(request: Request) -> Response:
    """Alive. Needs no key."""
    return Json({"status": "ok"})


def on_http_error(request: Request, exc: Exception) -> Response:
    """Unknown routes and verbs, in our form."""
    error: InferryError = NotFound("There is no such route.", help="The routes are in docs/control-api.md.")
    if isinstance(exc, HTTPException) and exc.status_code == 405:
        error = MethodNotAllowed(f"This route does not take {request.method}.", help="See docs/control-api.md.")
    return error_response(error)


def on_bug(request: Request, exc: Exception) -> Response:
    """Anything unexpected: the details are in the log only."""
    return error_response(InternalError("The request failed for a reason of our own.", help="See logs/control.log."))
