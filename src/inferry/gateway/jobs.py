"""Jobs: requests that are kept now and answered later; the jobs process keeps them, this room only asks it.

    POST   /jobs/ENDPOINT             a prediction of the plain door, later      -> 202 and where it is
    POST   any prediction, with Prefer: respond-async                            -> the same
    GET    /jobs   /jobs/ID   /jobs/ID/result        ?wait=SECONDS: until it ended
    DELETE /jobs/ID                   gives it up
    POST   /jobs/ID/retry             lets one that failed begin anew

Data flow: a request -> its key checked, its body received -> Ask, over a connection of its own to the private socket ->
Told -> a Page. Nothing of it is on the hot path.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import msgspec

from inferry.errors import (
    Forbidden,
    InferryError,
    InvalidInput,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    TooLarge,
    Unavailable,
    Unsupported,
)
from inferry.gateway.head import BadHead, Head
from inferry.gateway.page import Page, header
from inferry.gateway.refusals import no_endpoint
from inferry.security.keys import may
from inferry.types.jobs import STATES, Ask, Headers, Options, Told
from inferry.types.names import check_name
from inferry.types.registry import Key

if TYPE_CHECKING:
    from inferry.gateway.app import App

Receive = Callable[[], Awaitable[dict[str, Any]]]

LINE_LIMIT = 1 << 20

_TOLD = msgspec.json.Decoder(Told)
MOST_ASKED = 1024
MOST_BYTES = 256 << 20
PATIENCE_S = 30.0
"""So long the jobs process may take, over what its caller waits for: it may have to be started first."""
MOST_KEEP_S = 30 * 86_400.0
IDEM = re.compile(r"[!-~]{1,128}")
ID = re.compile(r"[0-9a-f]{32}")
KEPT = (
    "content-type", "content-encoding", "accept", "inference-header-content-length", "inferry-timeout",
    "inferry-revision", "inferry-request-id", "x-request-id",
)  # fmt: skip


class Jobs:
    """The way to the jobs process, and how much is on it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._asked = 0
        self._bytes = 0

    async def ask(self, ask: Ask, body: bytes | bytearray = b"") -> tuple[Told, bytes]:
        """What the jobs process says. Raises Unavailable when it is not there, Overloaded when too much is asked."""
        if self._asked >= MOST_ASKED or self._bytes + len(body) > MOST_BYTES:
            raise Overloaded("Too many ask for jobs at once.", help="Retry.", retry_after=1.0)
        self._asked += 1
        self._bytes += len(body)
        try:
            async with asyncio.timeout(PATIENCE_S + ask.wait_s):
                return await self._ask(ask, body)
        except (OSError, asyncio.IncompleteReadError, msgspec.DecodeError) as error:
            unsure = " It may have been accepted: send it again with the same Idempotency-Key." * (ask.verb == "add")
            raise Unavailable(f"The jobs process does not answer.{unsure}", retry_after=1.0) from error
        finally:
            self._asked -= 1
            self._bytes -= len(body)

    async def _ask(self, ask: Ask, body: bytes | bytearray) -> tuple[Told, bytes]:
        reader, writer = await asyncio.open_unix_connection(self._path, limit=LINE_LIMIT)
        try:
            writer.write(msgspec.json.encode(ask) + b"\n")
            writer.write(body)
            await writer.drain()
            told = _TOLD.decode(await reader.readline())
            return told, await reader.readexactly(told.size)
        finally:
            writer.close()


async def page(scope: dict[str, Any], receive: Receive, verb: str, parts: list[str], key: Key, app: App) -> Page:
    """A route under /jobs."""
    if not may(key, "predict"):
        raise Forbidden("This key may not have jobs.", help="Use a key with the role invoker.")
    admin = may(key, "admin")
    query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
    match verb, parts:
        case "GET", []:
            state = query.get("state", "")
            if state and state not in STATES:
                raise InvalidInput(f"{state[:20]!a} is no state of a job.", help=f"States: {', '.join(STATES)}.")
            ask = Ask(
                verb="list", key=key.id, admin=admin, state=state, endpoint=query.get("endpoint", ""),
                limit=int(seconds(query, "limit", 50)), before=query.get("before", ""),
            )  # fmt: skip
        case "GET", [id]:
            ask = Ask(verb="show", key=key.id, admin=admin, id=known(id), wait_s=seconds(query, "wait", 0))
        case "GET", [id, "result"]:
            ask = Ask(verb="result", key=key.id, admin=admin, id=known(id), wait_s=seconds(query, "wait", 0))
        case "DELETE", [id]:
            ask = Ask(verb="cancel", key=key.id, admin=admin, id=known(id))
        case "POST", [id, "retry"]:
            ask = Ask(verb="retry", key=key.id, admin=admin, id=known(id))
        case "POST", [endpoint]:
            return await add(scope, receive, key, endpoint, f"/predict/{endpoint}", app)
        case _, [] | [_] | [_, "result" | "retry"]:
            raise MethodNotAllowed(f"This route does not take {verb}.", help="See docs/tasks/jobs.md.")
        case _:
            raise NotFound("There is no such route.", help="The routes are in docs/tasks/jobs.md.")
    return told_page(*await kept_by(app).ask(ask))


async def later(scope: dict[str, Any], receive: Receive, head: Head, app: App) -> Page:
    """A prediction that whoever asks would rather have later. Its key was found good for it."""
    key = app.core.ring.check(head.authorization, time.time())
    name = head.endpoint.decode("latin-1")
    try:
        made = await add(scope, receive, key, name, scope["raw_path"].decode("latin-1"), app)
    except InferryError as error:
        raise BadHead(error, head.door) from error
    return Page(body=made.body, status=made.status, headers=(*made.headers, (b"preference-applied", b"respond-async")))


async def add(scope: dict[str, Any], receive: Receive, key: Key, endpoint: str, path: str, app: App) -> Page:
    """Keep a request. `path`: where it would have gone."""
    jobs = kept_by(app)
    check_name(endpoint, "endpoint name")
    if not may(key, "predict", endpoint):
        raise Forbidden("This key may not call this endpoint.", help="Ask for a key with the role invoker for it.")
    if endpoint.encode() not in app.core.endpoints:
        raise no_endpoint(endpoint.encode())
    options = options_of(scope)
    app.heads.build(b"POST", path.encode("latin-1"), scope["headers"])  # what is refused then is refused now
    body = bytearray()
    more = True
    while more:
        event = await receive()
        if event["type"] == "http.disconnect":
            return Page(status=400)
        body += event.get("body", b"")
        more = event.get("more_body", False)
        if len(body) > app.heads.max_body:
            raise TooLarge(f"The body is over the limit of {app.heads.max_body} bytes.", help="Send fewer rows.")
    ask = Ask(
        verb="add", key=key.id, endpoint=endpoint, path=path, headers=kept(scope), options=options, size=len(body)
    )
    return told_page(*await jobs.ask(ask, body))


def kept_by(app: App) -> Jobs:
    """Who keeps jobs here."""
    if app.jobs is None:
        raise Unsupported("This server keeps no jobs.", help="Serve the model with inferry up.")
    return app.jobs


def kept(scope: dict[str, Any]) -> Headers:
    """The headers that say how a body is to be read and answered. An answer in parts would have no reader."""
    found = []
    for name in KEPT:
        value = header(scope, name.encode())
        if value is not None and not (name == "accept" and b"text/event-stream" in value.lower()):
            found.append((name, value.decode("latin-1")))
    return tuple(found)


def options_of(scope: dict[str, Any]) -> Options:
    """The headers that say what is wanted of the job."""
    idem = (header(scope, b"idempotency-key") or b"").decode("latin-1")
    if idem and not IDEM.fullmatch(idem):
        raise InvalidInput("The header idempotency-key must be 1 to 128 visible ASCII characters.", help="Send a UUID.")
    return Options(
        idem=idem,
        priority=int(bounded(scope, "inferry-priority", 5, 0, 9)),
        attempts=int(bounded(scope, "inferry-attempts", 5, 1, 100)),
        keep_s=bounded(scope, "inferry-keep", 86_400.0, 1, MOST_KEEP_S),
    )


def bounded(scope: dict[str, Any], name: str, default: float, least: float, most: float) -> float:
    """A whole number from a header."""
    value = header(scope, name.encode())
    if value is None:
        return default
    if not re.fullmatch(rb"[0-9]{1,9}", value) or not least <= int(value) <= most:
        raise InvalidInput(f"The header {name} must be a whole number from {least:g} to {most:g}.", help="Or leave it.")
    return float(value)


def seconds(query: dict[str, str], name: str, default: float) -> float:
    """A number from the query."""
    text = query.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise InvalidInput(f"{name} must be a number.", help=f"For example: ?{name}=20")
    return float(text)


def known(id: str) -> str:
    """An id that a job may have. Raises NotFound."""
    if not ID.fullmatch(id):
        raise NotFound(f"There is no job {id[:40]!a}.", help="An id is 32 hexadecimal digits.")
    return id


def told_page(told: Told, body: bytes) -> Page:
    """The answer as a response. Raises what the jobs process refused."""
    if told.error is not None:
        error = InferryError(told.error.message, help=told.error.help, retry_after=told.error.retry_after)
        error.code, error.status = told.error.code, told.error.status
        raise error
    headers = dict(told.headers)
    content = headers.pop("content-type", "application/octet-stream")
    extra = tuple((name.encode(), value.encode("latin-1")) for name, value in headers.items())
    return Page(body=body, status=told.status, content=content, headers=extra)
