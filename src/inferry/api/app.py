"""The control API: parse, call the service, format. One route table.

Data flow: HTTP -> Guard (host, key, action) -> handler -> Service -> JSON.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import time
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from inferry.api.access import Guard, Json, error_response
from inferry.control.deploy import Upload
from inferry.control.doctor import Doctor
from inferry.control.service import Service, check_changes
from inferry.errors import InferryError, InternalError, InvalidInput, MethodNotAllowed, NotFound, StorageFull, TooLarge
from inferry.types.names import check_name
from inferry.types.registry import Key

MAX_JSON = 1 << 20
MAX_WAIT_S = 60.0

T = TypeVar("T")


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../rollback."""

    revision: int | None = None


class ScaleBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST .../scale."""

    replicas: int


class KeyBody(msgspec.Struct, forbid_unknown_fields=True):
    """POST /v1/keys."""

    name: str
    role: str = "invoker"
    endpoints: tuple[str, ...] = ("*",)
    expires_s: float = 0.0


class Api:
    """Handlers over one service."""

    def __init__(self, service: Service, doctor: Doctor, max_upload: int) -> None:
        self.service = service
        self.doctor = doctor
        self.max_upload = max_upload

    async def info(self, request: Request, key: Key) -> Any:
        """What this platform is."""
        return {"version": self.service.site.version, "http": self.service.site.http, "role": key.role}

    async def models(self, request: Request, key: Key) -> Any:
        """All models."""
        return {"models": await asyncio.to_thread(self.service.models)}

    async def versions(self, request: Request, key: Key) -> Any:
        """A model's versions."""
        return {"versions": await asyncio.to_thread(self.service.versions, name_of(request, "model"))}

    async def version(self, request: Request, key: Key) -> Any:
        """One version."""
        return await asyncio.to_thread(self.service.version, name_of(request, "model"), number_of(request))

    async def delete_model(self, request: Request, key: Key) -> Any:
        """Forget a model."""
        await self.service.delete_model(name_of(request, "model"))
        return Response(status_code=204)

    async def delete_version(self, request: Request, key: Key) -> Any:
        """Forget a version."""
        await self.service.delete_version(name_of(request, "model"), number_of(request))
        return Response(status_code=204)

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

    async def deploy(self, request: Request, key: Key) -> Any:
        """Receive an upload and begin its deploy."""
        name = name_of(request, "endpoint")
        filename = request.query_params.get("filename", "")
        limits = {"replicas": 1e6, "timeout_s": 1e6, "memory_mb": 1e9, "threads": 256}
        asked = {field: number(request, field, -1.0, 0, high) for field, high in limits.items()}
        changes = {field: value if field == "timeout_s" else int(value) for field, value in asked.items() if value >= 0}
        check_changes(changes)
        start = time.monotonic()
        archive = await self._receive(request)
        upload = Upload(
            endpoint=name,
            filename=filename,
            archive=archive,
            changes=changes,
            created_by=key.name,
            receive_ms=(time.monotonic() - start) * 1000,
        )
        return Json({"operation": self.service.deploy(upload).id}, status_code=202)

    async def operation(self, request: Request, key: Key) -> Any:
        """Follow an operation."""
        operation = self.service.operations.get(request.path_params["id"])
        after = int(number(request, "after", 0, 0, 1e9))
        return await operation.wait(after, number(request, "wait", 0.0, 0.0, MAX_WAIT_S))

    async def rollback(self, request: Request, key: Key) -> Any:
        """Go back to an earlier revision."""
        body = await read(request, RollbackBody)
        return await self.service.rollback(name_of(request, "endpoint"), body.revision)

    async def scale(self, request: Request, key: Key) -> Any:
        """Change the number of replicas."""
        body = await read(request, ScaleBody)
        return await self.service.scale(name_of(request, "endpoint"), body.replicas, key.name)

    async def keys(self, request: Request, key: Key) -> Any:
        """All keys."""
        return {"keys": await asyncio.to_thread(self.service.keys)}

    async def create_key(self, request: Request, key: Key) -> Any:
        """Mint a key."""
        body = await read(request, KeyBody)
        made = await self.service.create_key(body.name, body.role, body.endpoints, body.expires_s)
        return Json(made, status_code=201)

    async def revoke_key(self, request: Request, key: Key) -> Any:
        """Forget a key."""
        await self.service.revoke_key(request.path_params["key"])
        return Response(status_code=204)

    async def run_doctor(self, request: Request, key: Key) -> Any:
        """Check everything."""
        return await self.doctor.run()

    async def _receive(self, request: Request) -> Path:
        """Write the upload into a staging folder of its own; it is removed when this fails."""
        folder = self.service.site.staging / secrets.token_hex(8)
        archive = folder / "upload.tar"
        received = 0
        try:
            folder.mkdir(mode=0o700)
            with archive.open("wb") as file:
                async for chunk in request.stream():
                    received += len(chunk)
                    if received > self.max_upload:
                        raise TooLarge(
                            f"The upload is over the limit of {self.max_upload} bytes.",
                            help="Remove what the model does not need.",
                        )
                    await asyncio.to_thread(file.write, chunk)
        except BaseException as error:
            await asyncio.to_thread(remove, folder)
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StorageFull(
                    "The disk is full; nothing was changed.", help="Free space and deploy again."
                ) from error
            raise
        return archive


def remove(folder: Path) -> None:
    """Remove a staging folder with its upload."""
    (folder / "upload.tar").unlink(missing_ok=True)
    if folder.exists():
        os.rmdir(folder)  # noqa: PTH106 - the counterpart of mkdir


def build(api: Api, guard: Guard) -> Starlette:
    """The ASGI app."""
    endpoint, model = "/v1/endpoints/{endpoint}", "/v1/models/{model}"
    routes = [
        Route("/healthz", healthz),
        guard.route("GET", "/v1/info", "metadata", api.info),
        guard.route("GET", "/v1/models", "read", api.models),
        guard.route("DELETE", model, "write", api.delete_model),
        guard.route("GET", model + "/versions", "read", api.versions),
        guard.route("GET", model + "/versions/{number}", "read", api.version),
        guard.route("DELETE", model + "/versions/{number}", "write", api.delete_version),
        guard.route("GET", "/v1/endpoints", "read", api.endpoints),
        guard.route("GET", endpoint, "read", api.endpoint),
        guard.route("DELETE", endpoint, "write", api.delete_endpoint),
        guard.route("GET", endpoint + "/logs", "read", api.logs),
        guard.route("POST", endpoint + "/deploy", "write", api.deploy),
        guard.route("POST", endpoint + "/rollback", "write", api.rollback),
        guard.route("POST", endpoint + "/scale", "write", api.scale),
        guard.route("GET", "/v1/operations/{id}", "read", api.operation),
        guard.route("GET", "/v1/keys", "admin", api.keys),
        guard.route("POST", "/v1/keys", "admin", api.create_key),
        guard.route("DELETE", "/v1/keys/{key}", "admin", api.revoke_key),
        guard.route("GET", "/v1/doctor", "read", api.run_doctor),
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


async def read(request: Request, kind: type[T]) -> T:
    """A JSON body of a known shape. Raises InvalidInput."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_JSON:
            raise TooLarge(f"The body is over {MAX_JSON} bytes.", help="This route takes a small JSON object.")
    try:
        return msgspec.json.decode(bytes(body) or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidInput(f"The body does not fit this route: {error}.", help="See docs/control-api.md.") from error


def name_of(request: Request, field: str) -> str:
    """A checked name from the path."""
    return check_name(request.path_params[field], f"{field} name")


def number_of(request: Request) -> int:
    """A version number from the path."""
    text = request.path_params["number"]
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise InvalidInput(f"{text[:20]!a} is not a version number.", help="Use 1, 2, 3...")
    return int(text)


def number(request: Request, name: str, default: float, low: float, high: float) -> float:
    """A number from the query. Raises InvalidInput."""
    text = request.query_params.get(name)
    if text is None or text == "":
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise InvalidInput(
            f"The parameter {name} must be a number from {low:.0f} to {high:.0f}.",
            help=f"Leave it out for {default:g}.",
        )
    return value
