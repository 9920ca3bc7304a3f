"""Flows of the control API: one function a call, each the whole logic of one method of the client.

Data flow: typed arguments -> Request -> Response -> typed answer (`answers`). `deploy` also
streams the upload and then follows the operation until it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from inferry.client import upload
from inferry.client.answers import (
    Deployed,
    Diagnosis,
    EndpointDetails,
    EndpointInfo,
    Info,
    KeyInfo,
    ModelInfo,
    NewKey,
    Progress,
    Switched,
    VersionDetails,
    VersionInfo,
)
from inferry.client.settings import Settings
from inferry.client.wire import Flow, Pause, Request, Response, failure, read, send
from inferry.errors import Forbidden, MethodNotAllowed, NotFound, Unavailable
from inferry.types.names import check_name, suggest_name
from inferry.version import __version__

T = TypeVar("T")

_UPLOAD_S = 600.0
_POLL_S = 20.0
_SWITCH_S = 300.0
_LOST_POLLS = 20


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


class _Models(msgspec.Struct):
    models: list[ModelInfo]


class _Versions(msgspec.Struct):
    versions: list[VersionInfo]


class _Endpoints(msgspec.Struct):
    endpoints: list[EndpointInfo]


class _Keys(msgspec.Struct):
    keys: list[KeyInfo]


class _Lines(msgspec.Struct):
    lines: list[str]


class _Accepted(msgspec.Struct):
    operation: str


class _Operation(msgspec.Struct):
    state: str
    events: list[Progress] = []
    result: Deployed | None = None
    error: dict[str, Any] | None = None


def info(session: Session) -> Flow[Info]:
    """The platform's version and the address of its inference listener."""
    return (yield from _get(session, "/v1/info", Info))


def models(session: Session) -> Flow[list[ModelInfo]]:
    """All models, by name."""
    return (yield from _get(session, "/v1/models", _Models)).models


def versions(session: Session, model: str) -> Flow[list[VersionInfo]]:
    """All versions of a model, oldest first."""
    return (yield from _get(session, f"/v1/models/{check_name(model)}/versions", _Versions)).versions


def version(session: Session, model: str, number: int) -> Flow[VersionDetails]:
    """One version, with its manifest."""
    return (yield from _get(session, _version_path(model, number), VersionDetails))


def endpoints(session: Session) -> Flow[list[EndpointInfo]]:
    """All endpoints, by name."""
    return (yield from _get(session, "/v1/endpoints", _Endpoints)).endpoints


def describe(session: Session, endpoint: str) -> Flow[EndpointDetails]:
    """Everything about one endpoint: signature, example, traffic, revisions."""
    return (yield from _get(session, _endpoint_path(endpoint), EndpointDetails))


def rollback(session: Session, endpoint: str, revision: int | None = None) -> Flow[Switched]:
    """Point an endpoint at the revision before, or at the one given; returns when that serves."""
    body = {} if revision is None else {"revision": revision}
    response = yield from _call(session, "POST", _endpoint_path(endpoint) + "/rollback", body, timeout=_SWITCH_S)
    return read(response, Switched)


def scale(session: Session, endpoint: str, replicas: int) -> Flow[Switched]:
    """Run an endpoint's version with another number of replicas; returns when they serve."""
    body = {"replicas": replicas}
    response = yield from _call(session, "POST", _endpoint_path(endpoint) + "/scale", body, timeout=_SWITCH_S)
    return read(response, Switched)


def logs(session: Session, endpoint: str, lines: int = 200) -> Flow[list[str]]:
    """The last lines that an endpoint's replicas wrote."""
    return (yield from _get(session, f"{_endpoint_path(endpoint)}/logs?lines={int(lines)}", _Lines)).lines


def delete(session: Session, endpoint: str) -> Flow[None]:
    """Remove an endpoint and its revisions. Its model and versions stay."""
    yield from _call(session, "DELETE", _endpoint_path(endpoint), timeout=_SWITCH_S)


def delete_version(session: Session, model: str, number: int) -> Flow[None]:
    """Remove a version that no endpoint uses. Its number is never given again."""
    yield from _call(session, "DELETE", _version_path(model, number))


def delete_model(session: Session, model: str) -> Flow[None]:
    """Remove a model and its versions, when no endpoint uses one."""
    yield from _call(session, "DELETE", f"/v1/models/{check_name(model)}")


def keys(session: Session) -> Flow[list[KeyInfo]]:
    """All keys, without their secrets."""
    return (yield from _get(session, "/v1/keys", _Keys)).keys


def create_key(
    session: Session, name: str, *, role: str = "invoker", endpoints: Iterable[str] = ("*",), expires_s: float = 0
) -> Flow[NewKey]:
    """Make a key. `role`: invoker, viewer or admin; `expires_s` 0: never. Its secret is shown once, here."""
    body = {"name": check_name(name), "role": role, "endpoints": list(endpoints), "expires_s": expires_s}
    return read((yield from _call(session, "POST", "/v1/keys", body)), NewKey)


def revoke_key(session: Session, id_or_name: str) -> Flow[None]:
    """Make a key worthless at once."""
    yield from _call(session, "DELETE", f"/v1/keys/{quote(id_or_name, safe='')}")


def doctor(session: Session) -> Flow[Diagnosis]:
    """Check the platform: storage, environments, sandbox, endpoints."""
    return (yield from _get(session, "/v1/doctor", Diagnosis))


def deploy(
    session: Session,
    path: str | Path,
    name: str | None = None,
    sample: str | Path | None = None,
    *,
    replicas: int | None = None,
    timeout_s: float | None = None,
    memory_mb: int | None = None,
    threads: int | None = None,
    on_event: Callable[[Progress], None] | None = None,
) -> Flow[Deployed]:
    """Turn a model file or folder into a serving endpoint; returns when it truly answers.

    `name` defaults to the file's, `sample` is a CSV or JSON file with example input.
    `replicas`, `timeout_s`, `memory_mb` and `threads` configure the revision; what is left out stays as it is.
    `on_event` is called with each step as it begins and ends. The endpoint that was there serves until then.
    """
    source = Path(path)
    entries = upload.collect(source, "artifact")
    filename = entries[0].name.split("/")[1] if source.is_file() else source.expanduser().resolve().name
    query: dict[str, Any] = {"filename": filename}
    if sample is not None:
        examples = upload.collect(Path(sample), "sample")
        query["sample"] = examples[0].name.split("/")[1]
        entries += examples
    config = {"replicas": replicas, "timeout_s": timeout_s, "memory_mb": memory_mb, "threads": threads}
    query |= {key: value for key, value in config.items() if value is not None}
    endpoint = check_name(name) if name is not None else suggest_name(Path(filename).stem)
    request = Request(
        method="POST",
        url=f"{session.control}{_endpoint_path(endpoint)}/deploy?{urlencode(query)}",
        headers={**session.headers, "content-type": "application/x-tar"},
        body=lambda: upload.tar(entries),
        timeout=_UPLOAD_S,
    )
    operation = read((yield from send(request, session.retries)), _Accepted).operation
    return (yield from _follow(session, operation, on_event or (lambda _: None)))


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


def _follow(session: Session, operation: str, on_event: Callable[[Progress], None]) -> Flow[Deployed]:
    """Long polls until the operation is over; a control process that restarts is waited for."""
    seen, lost = 0, 0
    while True:
        path = f"/v1/operations/{quote(operation, safe='')}?after={seen}&wait={_POLL_S:g}"
        try:
            found = yield from _get(session, path, _Operation, timeout=_POLL_S + session.timeout)
        except Unavailable:
            lost += 1
            if lost > _LOST_POLLS:
                raise
            yield Pause(0.5)
            continue
        except NotFound as error:
            raise Unavailable(
                "The platform restarted during this deploy; nothing was changed.", help="Deploy again."
            ) from error
        lost = 0
        for event in found.events:
            seen = max(seen, event.seq)
            on_event(event)
        if found.result is not None:
            return found.result
        if found.state == "failed":
            raise failure(Response(500, {}, msgspec.json.encode({"error": found.error or {}})))


def _get(session: Session, path: str, type_: type[T], *, timeout: float | None = None) -> Flow[T]:
    return read((yield from _call(session, "GET", path, timeout=timeout)), type_)


def _call(
    session: Session, method: str, path: str, body: Any = None, *, timeout: float | None = None
) -> Flow[Response]:
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


def _endpoint_path(name: str) -> str:
    return f"/v1/endpoints/{check_name(name, 'endpoint name')}"


def _version_path(model: str, number: int) -> str:
    return f"/v1/models/{check_name(model, 'model name')}/versions/{int(number)}"
