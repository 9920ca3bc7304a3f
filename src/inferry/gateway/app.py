"""The gateway's ASGI app: every route off the hot path, on the same port.

Data flow: scope -> key check (but for health and the docs page) -> route table -> JSON from
the routing table, or a prediction whose body came chunked. Renderers are injected: this room
knows no protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import msgspec

from inferry.errors import Forbidden, InferryError, MethodNotAllowed, NotFound, TooLarge
from inferry.gateway.core import Core, no_endpoint, no_version
from inferry.gateway.head import BadHead, Head, Heads
from inferry.gateway.live import LiveEndpoint, LiveRevision
from inferry.security.keys import may
from inferry.types import frames
from inferry.types.registry import Key
from inferry.types.routing import EndpointRoute, RevisionRoute

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class Pages:
    """What the app shows, made by the protocols room."""

    server: Callable[[], dict[str, Any]]
    model: Callable[[EndpointRoute, RevisionRoute], dict[str, Any]]
    config: Callable[[EndpointRoute, RevisionRoute], dict[str, Any]]
    openapi: Callable[[EndpointRoute, RevisionRoute, str], dict[str, Any]]
    asset: Callable[[str], tuple[str, bytes]]


@dataclass(frozen=True, kw_only=True)
class Page:
    """One response."""

    body: bytes | memoryview
    status: int = 200
    content: str = "application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


CSP = (
    b"content-security-policy",
    (
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
)
COMMON = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


class FutureAsker:
    """Waits for one prediction on the slow path."""

    def __init__(self) -> None:
        self.done: asyncio.Future[tuple[LiveRevision, frames.Reply]] = asyncio.get_running_loop().create_future()

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:  # noqa: ARG002
        """A replica's reply."""
        if not self.done.done():
            self.done.set_result((revision, reply))

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Never: no head on this path asks for parts."""

    def refuse(self, head: Head, error: InferryError) -> None:  # noqa: ARG002
        """An error of the gateway's own."""
        if not self.done.done():
            self.done.set_exception(error)


class App:
    """ASGI 3."""

    def __init__(
        self, core: Core, heads: Heads, pages: Pages, forms: Mapping[int, Callable[[InferryError], bytes]]
    ) -> None:
        self.core = core
        self.heads = heads
        self.pages = pages
        self.forms = forms

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        door = frames.DOOR_OIP if path.startswith("/v2") else frames.DOOR_PLAIN
        try:
            page = await self._answer(scope, receive, path)
        except BadHead as bad:
            page = self._error(bad.error, bad.door)
        except InferryError as error:
            page = self._error(error, door)
        headers = [
            (b"content-type", page.content.encode()),
            (b"content-length", str(len(page.body)).encode()),
            *COMMON,
            *page.headers,
        ]
        await send({"type": "http.response.start", "status": page.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else page.body
        await send({"type": "http.response.body", "body": body})

    def _error(self, error: InferryError, door: int) -> Page:
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if error.status == 401:
            headers = ((b"www-authenticate", b"Bearer"),)
        elif error.retry_after is not None:
            headers = ((b"retry-after", str(max(1, round(error.retry_after))).encode()),)
        return Page(body=self.forms[door](error), status=error.status, headers=headers)

    async def _answer(self, scope: dict[str, Any], receive: Receive, path: str) -> Page:
        parts = [unquote(part) for part in path.strip("/").split("/")] if path != "/" else []
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]
        match parts:
            case [] | ["healthz"] | ["v2", "health", "live" | "ready"]:
                only(verb, "GET")
                return as_json({"status": "ok", "server": "inferry", "live": True, "ready": True})
            case ["docs-assets", name]:
                only(verb, "GET")
                return self._asset(name)
            case ["endpoints", _, "docs"]:
                only(verb, "GET")
                return self._asset("docs.html")
            case ["predict", _] | ["v2", "models", _, "infer"] | ["v2", "models", _, "versions", _, "infer"]:
                only(verb, "POST")
                return await self._predict(scope, receive)
        key = self.core.ring.check(header(scope, b"authorization"), time.time())
        return self._metadata(scope, verb, parts, key)

    def _metadata(self, scope: dict[str, Any], verb: str, parts: list[str], key: Key) -> Page:
        match parts:
            case ["v2"]:
                only(verb, "GET")
                return as_json(self.pages.server())
            case ["v2", "repository", "index"]:
                only(verb, "POST", "GET")
                return as_json(self._index(key))
            case ["v2", "models", name, *rest]:
                only(verb, "GET")
                return self._model(key, name, rest)
            case ["endpoints", name]:
                only(verb, "GET")
                endpoint, revision = self._find(key, name, "")
                return as_json(describe(endpoint, revision))
            case ["endpoints", name, "openapi.json"]:
                only(verb, "GET")
                endpoint, revision = self._find(key, name, "")
                host = (header(scope, b"host") or b"").decode("latin-1")
                server = f"{scope['scheme']}://{host}"
                return as_json(self.pages.openapi(endpoint.plan, revision.plan, server))
            case ["metrics"]:
                only(verb, "GET")
                if not may(key, "metrics"):
                    raise Forbidden("This key may not read metrics.", help="Use a key with the role viewer or admin.")
                self._gauges()
                return Page(body=self.core.metrics.render().encode(), content="text/plain; version=0.0.4")
        raise NotFound("There is no such route.", help="The routes are in docs/tasks/predict.md.")

    def _model(self, key: Key, name: str, rest: list[str]) -> Page:
        version = ""
        if rest[:1] == ["versions"] and len(rest) > 1:
            version, rest = rest[1], rest[2:]
        endpoint, revision = self._find(key, name, version)
        match rest:
            case []:
                return as_json(self.pages.model(endpoint.plan, revision.plan))
            case ["ready"]:
                ready = any(link.ready and not link.suspect for link in revision.links)
                return as_json({"name": name, "ready": ready}, status=200 if ready else 503)
            case ["config"]:
                return as_json(self.pages.config(endpoint.plan, revision.plan))
            case ["infer"]:
                raise MethodNotAllowed("A prediction is asked with POST.", help="Use POST.")
        raise NotFound("There is no such route.", help="The routes are in docs/tasks/predict.md.")

    def _find(self, key: Key, name: str, version: str) -> tuple[LiveEndpoint, LiveRevision]:
        if not may(key, "metadata", name):
            raise Forbidden("This key may not see this endpoint.", help="Ask for a key with a role for it.")
        endpoint = self.core.endpoints.get(name.encode())
        if endpoint is None:
            raise no_endpoint(name.encode("utf-8", "replace"))
        revision = endpoint.choose(version.encode("utf-8", "replace"), 0)
        if revision is None:
            raise no_version(endpoint, version.encode("utf-8", "replace"))
        return endpoint, revision

    def _index(self, key: Key) -> list[dict[str, str]]:
        rows = []
        for endpoint in self.core.endpoints.values():
            if may(key, "metadata", endpoint.plan.name):
                for revision in endpoint.revisions:
                    ready = any(link.ready for link in revision.links)
                    state = "READY" if ready else "UNAVAILABLE"
                    rows.append(
                        {
                            "name": endpoint.plan.name,
                            "version": str(revision.plan.version),
                            "state": state,
                            "reason": "",
                        }
                    )
        return rows

    def _gauges(self) -> None:
        gauges = self.core.metrics.gauges
        gauges.clear()
        for endpoint in self.core.endpoints.values():
            labels = (("endpoint", endpoint.plan.name),)
            links = [link for revision in endpoint.revisions for link in revision.links]
            gauges["inferry_replicas_ready", labels] = sum(link.ready for link in links)
            gauges["inferry_requests_in_flight", labels] = sum(len(link.inflight) for link in links)
            gauges["inferry_requests_held", labels] = len(endpoint.held)

    def _asset(self, name: str) -> Page:
        content, body = self.pages.asset(name)
        return Page(body=body, content=content, headers=(CSP,))

    async def _predict(self, scope: dict[str, Any], receive: Receive) -> Page:
        """A prediction whose body has no plain length."""
        query = scope["query_string"]
        url = scope["raw_path"] + (b"?" + query if query else b"")
        head = self.heads.build(scope["method"].encode(), url, scope["headers"])
        self.core.admit(head)
        body = bytearray()
        more = True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return Page(body=b"", status=400)
            body += event.get("body", b"")
            more = event.get("more_body", False)
            if len(body) > self.heads.max_body:
                raise BadHead(
                    TooLarge(f"The body is over the limit of {self.heads.max_body} bytes.", help="Send fewer rows."),
                    head.door,
                )
        asker = FutureAsker()
        pending = self.core.submit(asker, head, body)
        try:
            revision, reply = await asker.done
        except InferryError as error:
            return self._error(error, head.door)
        except asyncio.CancelledError:
            if pending is not None:
                self.core.cancel(pending)
            raise
        headers = [
            (b"inferry-version", str(revision.plan.version).encode()),
            (b"inferry-revision", str(revision.plan.number).encode()),
        ]
        if reply.json_size:
            headers.append((b"inference-header-content-length", str(reply.json_size).encode()))
        content = "application/json" if reply.content == frames.CONTENT_JSON else "application/octet-stream"
        return Page(body=reply.body, status=reply.status, content=content, headers=tuple(headers))


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


def as_json(value: Any, status: int = 200) -> Page:
    """A JSON page."""
    return Page(body=msgspec.json.encode(value), status=status)


def only(verb: str, *allowed: str) -> None:
    """Raise MethodNotAllowed unless `verb` is one of `allowed`."""
    if verb not in allowed:
        raise MethodNotAllowed(f"This route does not take {verb}.", help=f"Use {' or '.join(allowed)}.")


def header(scope: dict[str, Any], name: bytes) -> bytes | None:
    """A request header's first value."""
    return next((value for key, value in scope["headers"] if key == name), None)
