"""Session: what all flows of one client share, and how they ask the control API.

Data flow: a path and a body -> Request with the session's address, key and patience -> typed answer.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from inferry.client.answers import Info
from inferry.client.settings import Settings
from inferry.client.wire import Flow, Request, Response, read, send
from inferry.errors import Forbidden, MethodNotAllowed, NotFound
from inferry.types.names import check_name
from inferry.version import __version__

T = TypeVar("T")

SWITCH_S = 300.0
"""How long to wait for an answer that comes when replicas serve."""


class Session:
    """What all flows of one client share: addresses, key, patience."""

    def __init__(self, settings: Settings, *, timeout: float, retries: int) -> None:
        self.control = settings.control
        self.http = settings.http
        self.timeout = timeout
        self.retries = retries
        self.headers = {"user-agent": f"inferry/{__version__}"}
        if settings.key:
            self.headers["authorization"] = f"Bearer {settings.key}"


def info(session: Session) -> Flow[Info]:
    """The platform's version and the address of its inference listener."""
    return (yield from get(session, "/v1/info", Info))


def inference_address(session: Session) -> Flow[str]:
    """Where predictions go. An address without a control API is itself that place (`inferry serve`)."""
    if not session.http:
        try:
            session.http = (yield from info(session)).http.rstrip("/")
        except (NotFound, MethodNotAllowed):
            session.http = session.control
        except Forbidden as error:
            raise Forbidden(
                "This key may not ask the control API where predictions go.",
                help="Connect to the inference address instead, e.g. http://127.0.0.1:8000.",
            ) from error
    return session.http


def get(session: Session, path: str, type_: type[T], *, timeout: float | None = None) -> Flow[T]:
    """What a path answers, as a value of a type."""
    return read((yield from call(session, "GET", path, timeout=timeout)), type_)


def call(session: Session, method: str, path: str, body: Any = None, *, timeout: float | None = None) -> Flow[Response]:
    """The response to a request of the control API; `body` travels as JSON."""
    headers = session.headers if body is None else {**session.headers, "content-type": "application/json"}
    request = Request(
        method=method,
        url=session.control + path,
        headers=headers,
        body=b"" if body is None else msgspec.json.encode(body),
        timeout=timeout or session.timeout,
        repeatable=method == "GET",
    )
    return (yield from send(request, session.retries))


def endpoint_path(name: str) -> str:
    """Where an endpoint is."""
    return f"/v1/endpoints/{check_name(name, 'endpoint name')}"


def version_path(model: str, version: int | str) -> str:
    """Where a version is, given its number or an alias."""
    last = f"@{check_name(version, 'alias')}" if isinstance(version, str) else int(version)
    return f"/v1/models/{check_name(model, 'model name')}/versions/{last}"
