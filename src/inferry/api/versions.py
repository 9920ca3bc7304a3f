"""Models, versions and aliases: looked at, named, protected and forgotten."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from inferry.api.access import Guard, Json
from inferry.api.parse import name_of, read, version_of
from inferry.control.service import Service
from inferry.errors import InvalidInput
from inferry.types.names import NUMBER, check_name, version_reference
from inferry.types.registry import Key
from inferry.types.trials import Report

MAX_REASON = 500


class AliasBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT .../aliases/{alias}. `version`: a number, or another alias's name; `expected`: where it points now."""

    version: int | str
    expected: int | None = None


class ProtectBody(msgspec.Struct, forbid_unknown_fields=True):
    """PUT .../protection."""

    reason: str = ""


class Versions:
    """Handlers of models, versions and aliases."""

    def __init__(self, service: Service) -> None:
        self.kept = service.versions

    def routes(self, guard: Guard) -> list[Route]:
        """The routes."""
        model = "/v1/models/{model}"
        version, alias = model + "/versions/{number}", model + "/aliases/{alias}"
        return [
            guard.route("GET", "/v1/models", "read", self.models),
            guard.route("DELETE", model, "write", self.delete_model),
            guard.route("GET", model + "/versions", "read", self.versions),
            guard.route("GET", version, "read", self.version),
            guard.route("DELETE", version, "write", self.delete_version),
            guard.route("GET", version + "/bundle", "write", self.bundle),
            guard.route("GET", version + "/tests", "read", self.trials),
            guard.route("POST", version + "/tests", "write", self.keep_trial),
            guard.route("GET", model + "/tests/{test}", "read", self.trial_report),
            guard.route("PUT", version + "/protection", "write", self.protect),
            guard.route("DELETE", version + "/protection", "write", self.unprotect),
            guard.route("GET", "/v1/diff", "read", self.diff),
            guard.route("GET", model + "/aliases", "read", self.aliases),
            guard.route("PUT", alias, "write", self.move_alias),
            guard.route("DELETE", alias, "write", self.delete_alias),
        ]

    async def models(self, request: Request, key: Key) -> Any:
        """All models."""
        return {"models": await asyncio.to_thread(self.kept.models)}

    async def versions(self, request: Request, key: Key) -> Any:
        """A model's versions."""
        return {"versions": await asyncio.to_thread(self.kept.of, name_of(request, "model"))}

    async def version(self, request: Request, key: Key) -> Any:
        """One version."""
        return await asyncio.to_thread(self.kept.show, name_of(request, "model"), version_of(request))

    async def delete_model(self, request: Request, key: Key) -> Any:
        """Forget a model."""
        await self.kept.delete_model(name_of(request, "model"))
        return Response(status_code=204)

    async def bundle(self, request: Request, key: Key) -> Any:
        """A version's bundle as a tar: all that the model is, so only for who may change it."""
        from inferry.client.upload import Entry, tar

        folder, names = await asyncio.to_thread(self.kept.files, name_of(request, "model"), version_of(request))
        entries = [Entry(name, folder / name, (folder / name).stat().st_size) for name in names]
        return StreamingResponse(tar(entries), media_type="application/x-tar")

    async def trials(self, request: Request, key: Key) -> Any:
        """The tests of a version."""
        return {"tests": await asyncio.to_thread(self.kept.trials, name_of(request, "model"), version_of(request))}

    async def keep_trial(self, request: Request, key: Key) -> Any:
        """Keep what came of a version's gates."""
        report = await read(request, Report)
        model, version = name_of(request, "model"), version_of(request)
        return Json(await asyncio.to_thread(self.kept.keep_trial, model, version, report, key.name), status_code=201)

    async def trial_report(self, request: Request, key: Key) -> Any:
        """One report."""
        number = request.path_params["test"]
        if not NUMBER.fullmatch(number):
            raise InvalidInput(f"{number[:20]!a} is not the number of a test.", help="Use 1, 2, 3...")
        return await asyncio.to_thread(self.kept.trial_report, name_of(request, "model"), int(number))

    async def delete_version(self, request: Request, key: Key) -> Any:
        """Forget a version."""
        await self.kept.delete(name_of(request, "model"), version_of(request))
        return Response(status_code=204)

    async def diff(self, request: Request, key: Key) -> Any:
        """In what two versions differ."""
        before, after = (version_reference(request.query_params.get(name, "")) for name in ("from", "to"))
        return await asyncio.to_thread(self.kept.diff, before, after)

    async def protect(self, request: Request, key: Key) -> Any:
        """Let a version not be removed."""
        body = await read(request, ProtectBody)
        model, version, reason = name_of(request, "model"), version_of(request), body.reason[:MAX_REASON]
        return await asyncio.to_thread(self.kept.protect, model, version, key.name, reason)

    async def unprotect(self, request: Request, key: Key) -> Any:
        """Lift that."""
        return await asyncio.to_thread(self.kept.unprotect, name_of(request, "model"), version_of(request))

    async def aliases(self, request: Request, key: Key) -> Any:
        """A model's aliases and their moves."""
        return await asyncio.to_thread(self.kept.aliases, name_of(request, "model"))

    async def move_alias(self, request: Request, key: Key) -> Any:
        """Point an alias at a version."""
        body = await read(request, AliasBody)
        version = body.version if isinstance(body.version, int) else check_name(body.version, "alias")
        model, alias = name_of(request, "model"), name_of(request, "alias")
        return await asyncio.to_thread(self.kept.move_alias, model, alias, version, key.name, body.expected)

    async def delete_alias(self, request: Request, key: Key) -> Any:
        """Forget an alias."""
        await asyncio.to_thread(self.kept.delete_alias, name_of(request, "model"), name_of(request, "alias"), key.name)
        return Response(status_code=204)
