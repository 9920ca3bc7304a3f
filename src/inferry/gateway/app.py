"""The gateway's ASGI app: every route off the hot path, on the same port.

Data flow: scope -> health, the docs page, or a prediction whose body came chunked; all else
behind a key check -> `catalogue`. Renderers are injected: this room knows no protocol.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote

from inferry.errors import InferryError, TooLarge
from inferry.gateway import jobs
from inferry.gateway.addressed import addressed
from inferry.gateway.catalogue import Catalogue, Pages
from inferry.gateway.core import Core
from inferry.gateway.events import MEDIA, UNBUFFERED, Listener
from inferry.gateway.head import BadHead, Head, Heads
from inferry.gateway.hear import Hear, hear
from inferry.gateway.jobs import Jobs
from inferry.gateway.live import LiveRevision
from inferry.gateway.page import Page, as_json, header, only
from inferry.gateway.peers import Peers
from inferry.gateway.routes import door_of, prediction
from inferry.types import frames

Send = Callable[[dict[str, Any]], Awaitable[None]]
Receive = Callable[[], Awaitable[dict[str, Any]]]

CSP = (
    b"content-security-policy",
    (
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
)
READY = {"status": "ok", "server": "inferry", "live": True, "ready": True}
HEALTH = {
    "/": {"status": "alive", "server": "inferry"},  # KServe v1's word
    "/healthz": READY,
    "/v2/health/live": READY,
    "/v2/health/ready": READY,
    "/ping": {"status": "Healthy"},
    "/health": {"status": "Healthy"},
}
COMMON = ((b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-store"))


class FutureAsker:
    """Waits for one prediction on the slow path. `name`: the request's."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.done: asyncio.Future[tuple[LiveRevision, frames.Reply]] = asyncio.get_running_loop().create_future()

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> bytes | None:  # noqa: ARG002
        """A replica's reply."""
        if not self.done.done():
            self.done.set_result((revision, reply))
        return self.name

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Never: no head on this path asks for parts."""

    def refuse(self, head: Head, error: InferryError) -> None:  # noqa: ARG002
        """An error of the gateway's own."""
        if not self.done.done():
            self.done.set_exception(error)


class App:
    """ASGI 3. `told`: who hears feedback, `jobs`: who keeps jobs; None where nobody does. `peers`: None for a gateway
    that is alone."""

    def __init__(
        self,
        core: Core,
        heads: Heads,
        pages: Pages,
        forms: Mapping[int, Callable[[InferryError], bytes]],
        told: Hear | None = None,
        jobs: Jobs | None = None,
        peers: Peers | None = None,
    ) -> None:
        self.core = core
        self.told = told
        self.jobs = jobs
        self.heads = heads
        self.pages = pages
        self.catalogue = Catalogue(core, pages, peers or Peers(core))
        self.forms = forms

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        try:
            page = await self._answer(scope, receive)
        except BadHead as bad:
            page = self._error(bad.error, bad.door)
        except InferryError as error:
            page = self._error(error, door_of(scope["raw_path"]))
        headers = [(b"content-type", page.content.encode()), *COMMON, *page.headers]
        if page.events is None:
            headers.append((b"content-length", str(len(page.body)).encode()))
        await send({"type": "http.response.start", "status": page.status, "headers": headers})
        if page.events is not None:
            async for event in page.events:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        body = b"" if scope["method"] == "HEAD" else page.body
        await send({"type": "http.response.body", "body": body})

    def _error(self, error: InferryError, door: int) -> Page:
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if error.status == 401:
            headers = ((b"www-authenticate", b"Bearer"),)
        elif error.retry_after is not None:
            headers = ((b"retry-after", str(max(1, round(error.retry_after))).encode()),)
        headers = ((b"inferry-error", error.code.encode()), *headers)
        return Page(body=self.forms[door](error), status=error.status, headers=headers)

    async def _answer(self, scope: dict[str, Any], receive: Receive) -> Page:
        path: str = scope["path"]
        parts = [unquote(part) for part in path.strip("/").split("/")] if path != "/" else []
        verb = "GET" if scope["method"] == "HEAD" else scope["method"]
        target = prediction(scope["raw_path"])
        if target is not None and (verb == "POST" or target.door != frames.DOOR_HANDLER):
            only(verb, "POST")
            return await self._predict(scope, receive)
        health = HEALTH.get("/" + path.strip("/"))
        if health is not None:
            only(verb, "GET")
            return as_json(health)
        match parts:
            case ["docs-assets", name] | ["endpoints", name, "docs"]:
                only(verb, "GET")
                return self._asset(name if parts[0] == "docs-assets" else "docs.html")
        key = self.core.ring.check(header(scope, b"authorization"), time.time())
        match parts:
            case ["jobs", *rest]:
                return await jobs.page(scope, receive, verb, rest, key, self)
            case ["feedback"]:
                only(verb, "POST")
                return await hear(scope, receive, key, self.told)
        return await self.catalogue.page(scope, verb, parts, key)

    def _asset(self, name: str) -> Page:
        content, body = self.pages.asset(name)
        return Page(body=body, content=content, headers=(CSP,))

    async def _predict(self, scope: dict[str, Any], receive: Receive) -> Page:
        """A prediction whose body has no plain length."""
        head = self.heads.build(scope["method"].encode(), scope["raw_path"], scope["headers"])
        self.core.admit(head)
        if head.later and head.endpoint and self.jobs is not None:
            return await jobs.later(scope, receive, head, self)
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
        if head.door in frames.OPENAI:
            head = addressed(head, body)
        if head.flags & frames.FLAG_STREAM:
            return await self._stream(head, body, receive)
        asker = FutureAsker(head.id or self.heads.next_id())
        pending = self.core.submit(asker, head, body)
        try:
            revision, reply = await asker.done
        except InferryError as error:
            return self._error(error, head.door)
        except asyncio.CancelledError:
            if pending is not None:
                self.core.cancel(pending)
            raise
        headers = answer_headers(asker.name, revision)
        if reply.json_size:
            headers.append((b"inference-header-content-length", str(reply.json_size).encode()))
        if reply.content == frames.CONTENT_NAMED:
            media, body_sent = frames.named(reply.body)
            return Page(body=body_sent, status=reply.status, content=media.decode(), headers=tuple(headers))
        content = frames.MEDIA_TYPES[reply.content]
        return Page(body=reply.body, status=reply.status, content=content, headers=tuple(headers))

    async def _stream(self, head: Head, body: bytearray, receive: Receive) -> Page:
        """A prediction whose answer comes in parts. An error before the first is an ordinary one."""
        listener = Listener(self.core, self.forms)
        listener.submit(head, body)
        gone = asyncio.ensure_future(receive())  # nothing more comes, but word that the client is gone
        gone.add_done_callback(lambda _: listener.hang_up())
        try:
            revision, reply = await listener.first
        except InferryError as error:
            return self._error(error, head.door)
        headers = tuple(answer_headers(head.id or self.heads.next_id(), revision))
        if reply.status != 200:
            return Page(body=reply.body, status=reply.status, headers=headers)
        return Page(events=listener.events(), content=MEDIA, headers=(*headers, UNBUFFERED))


def answer_headers(name: bytes, revision: LiveRevision) -> list[tuple[bytes, bytes]]:
    """Who answered what."""
    return [
        (b"inferry-request-id", name),
        (b"inferry-version", str(revision.plan.version).encode()),
        (b"inferry-revision", str(revision.plan.number).encode()),
        *([(b"x-inferry-cold-start", b"%d" % revision.cold_ms)] if revision.cold_ms else ()),
    ]
