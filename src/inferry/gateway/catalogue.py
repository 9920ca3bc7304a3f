"""Catalogue: what is served, told to those who may know it, in the words of each protocol.

Data flow: verb + path parts + the caller's key -> the live table -> a Page. Open Inference
Protocol under /v2, TensorFlow Serving and KServe v1 under /v1, our own under /endpoints and /metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from inferry.errors import Forbidden, MethodNotAllowed, NotFound, Unavailable, Unsupported
from inferry.gateway import lookup
from inferry.gateway.core import Core
from inferry.gateway.live import LiveEndpoint, LiveRevision
from inferry.gateway.page import Page, as_json, header, only
from inferry.gateway.peers import Peers
from inferry.security.keys import may
from inferry.types.registry import Key
from inferry.types.routing import EndpointRoute, RevisionRoute
from inferry.types.signature import NO_EXAMPLE

ROUTES_HELP = "The routes are in docs/tasks/predict.md."


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What the protocols room makes of the table."""

    server: Callable[[], dict[str, Any]]
    model: Callable[[EndpointRoute, RevisionRoute], dict[str, Any]]
    config: Callable[[EndpointRoute, RevisionRoute], dict[str, Any]]
    servable: Callable[[EndpointRoute, RevisionRoute], dict[str, Any]]
    openapi: Callable[[EndpointRoute, RevisionRoute, str], dict[str, Any]]
    asset: Callable[[str], tuple[str, bytes]]


class Catalogue:
    """The routes that tell what is served; all of them need a key."""

    def __init__(self, core: Core, pages: Pages, peers: Peers) -> None:
        self.core = core
        self.pages = pages
        self.peers = peers

    async def page(self, scope: dict[str, Any], verb: str, parts: list[str], key: Key) -> Page:
        """The page of one route. Raises NotFound when there is none."""
        match parts:
            case ["v2", *rest]:
                return await self._oip(verb, rest, key)
            case ["v1", "models", *rest]:
                return self._tfs(verb, rest, key)
            case ["version"]:
                only(verb, "GET")
                return Page(body=self.pages.server()["version"].encode(), content="text/plain; charset=utf-8")
            case ["endpoints", name, *rest]:
                return self._endpoint(scope, verb, lookup.find(self.core, key, name, ""), rest)
            case ["metrics"]:
                only(verb, "GET")
                return await self._metrics(key)
        raise NotFound("There is no such route.", help=ROUTES_HELP)

    # Open Inference Protocol

    async def _oip(self, verb: str, parts: list[str], key: Key) -> Page:
        match parts:
            case []:
                only(verb, "GET")
                return as_json(self.pages.server())
            case ["repository", "index"]:
                only(verb, "POST", "GET")
                return as_json(lookup.index(self.core, key))
            case ["models", "stats"] if b"stats" not in self.core.endpoints:
                only(verb, "GET")
                return as_json(await lookup.statistics(self.core, self.peers, key, "", ""))
            case ["models", name, *rest]:
                only(verb, "GET")
                return await self._model(key, name, rest)
        raise NotFound("There is no such route.", help=ROUTES_HELP)

    async def _model(self, key: Key, name: str, rest: list[str]) -> Page:
        version = ""
        if rest[:1] == ["versions"] and len(rest) > 1:
            version, rest = rest[1], rest[2:]
        endpoint, revision = lookup.find(self.core, key, name, version)
        match rest:
            case []:
                return as_json(self.pages.model(endpoint.plan, revision.plan))
            case ["ready"]:
                ready = lookup.is_ready(revision)
                return as_json({"name": name, "ready": ready}, status=200 if ready else 503)
            case ["config"]:
                return as_json(self.pages.config(endpoint.plan, revision.plan))
            case ["stats"]:
                return as_json(await lookup.statistics(self.core, self.peers, key, name, version))
            case ["infer"]:
                raise MethodNotAllowed("A prediction is asked with POST.", help="Use POST.")
        raise NotFound("There is no such route.", help=ROUTES_HELP)

    # TensorFlow Serving and KServe v1

    def _tfs(self, verb: str, parts: list[str], key: Key) -> Page:
        """Status of all models or one, metadata; what is asked behind a colon is predicted elsewhere."""
        if not parts:
            only(verb, "GET")
            names = [endpoint.plan.name for endpoint in lookup.visible(self.core, key)]
            return as_json({"object": "list", "data": [card(name) for name in names], "models": names})
        last, _, action = parts[-1].partition(":")
        name, *rest = (*parts[:-1], last)
        version = ""
        if rest[:1] == ["versions"] and len(rest) > 1:
            version, rest = "" if rest[1] == "0" else rest[1], rest[2:]
        elif rest[:1] == ["labels"] and len(rest) > 1:
            lookup.check_label(rest[1])
            rest = rest[2:]
        if action == "explain" and not rest:
            only(verb, "POST")
            raise Unsupported("Explanations are not offered.", help="Ask for predictions with :predict.")
        if action or rest not in ([], ["metadata"]):
            raise NotFound("There is no such route.", help=ROUTES_HELP)
        only(verb, "GET")
        endpoint, revision = lookup.find(self.core, key, name, version)
        if rest:
            return as_json(self.pages.servable(endpoint.plan, revision.plan))
        return status_page(name, endpoint.revisions if parts == [name] else [revision])

    # our own

    def _endpoint(
        self, scope: dict[str, Any], verb: str, found: tuple[LiveEndpoint, LiveRevision], rest: list[str]
    ) -> Page:
        endpoint, revision = found
        only(verb, "GET")
        match rest:
            case []:
                return as_json(describe(endpoint, revision))
            case ["example"]:
                if revision.plan.example == NO_EXAMPLE:
                    raise NotFound("No example of this model is known.", help="Push it with --sample FILE.")
                return Page(body=bytes(revision.plan.example), content="application/json")
            case ["openapi.json"]:
                host = (header(scope, b"host") or b"").decode("latin-1")
                return as_json(self.pages.openapi(endpoint.plan, revision.plan, f"{scope['scheme']}://{host}"))
            case ["ping"]:
                if not lookup.is_ready(revision):
                    raise Unavailable("No replica of the endpoint is ready.", retry_after=1.0)
                return as_json({"status": "Healthy"})
        raise NotFound("There is no such route.", help=ROUTES_HELP)

    async def _metrics(self, key: Key) -> Page:
        if not may(key, "metrics"):
            raise Forbidden("This key may not read metrics.", help="Use a key with the role viewer or admin.")
        return Page(body=(await self.peers.metrics()).encode(), content="text/plain; version=0.0.4")


def status_page(name: str, revisions: list[LiveRevision]) -> Page:
    """KServe's readiness, TensorFlow Serving's status and OpenAI's card together; 503 unless a version can answer."""
    versions = lookup.versions(revisions)
    status = [
        {
            "version": str(version),
            "state": "AVAILABLE" if ready else "LOADING",
            "status": {"error_code": "OK", "error_message": ""},
        }
        for version, ready in versions
    ]
    ready = any(ready for _, ready in versions)
    body = {**card(name), "name": name, "ready": ready, "model_version_status": status}
    return as_json(body, status=200 if ready else 503)


def card(name: str) -> dict[str, Any]:
    """OpenAI's few words about a model."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "inferry"}


def describe(endpoint: LiveEndpoint, revision: LiveRevision) -> dict[str, Any]:
    """What a caller may know of an endpoint."""
    plan = revision.plan
    return {
        "name": endpoint.plan.name,
        "model": endpoint.plan.model,
        "version": plan.version,
        "revision": plan.number,
        "runtime": plan.runtime,
        "timeout_s": plan.timeout_s,
        "signature": msgspec.to_builtins(plan.signature),
        "example": plan.example,
    }
