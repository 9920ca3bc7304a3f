"""Flows that send a model and follow what becomes of it.

Data flow: path -> the tar, streamed -> an operation's id -> its events, long-polled -> what it made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from inferry.client import upload
from inferry.client.answers import Deployed, Progress, Pushed
from inferry.client.session import Session, call, endpoint_path, get
from inferry.client.wire import Flow, Pause, Request, Response, failure, read, send
from inferry.errors import InvalidInput, NotFound, Unavailable
from inferry.types.decoding import decoder
from inferry.types.lineage import Lineage
from inferry.types.names import check_name, is_reference, parse_reference, suggest_name
from inferry.types.options import Value
from inferry.types.rollout import Strategy

T = TypeVar("T")

_UPLOAD_S = 600.0
_POLL_S = 20.0
_LOST_POLLS = 20


class Accepted(msgspec.Struct):
    """What a route says that begins an operation."""

    operation: str


class _Operation(msgspec.Struct):
    state: str
    events: list[Progress] = []
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


def deploy(
    session: Session,
    path: str | Path,
    name: str | None = None,
    sample: str | Path | None = None,
    *,
    replicas: int | None = None,
    min_replicas: int | None = None,
    max_replicas: int | None = None,
    target_concurrency: float | None = None,
    target_latency_s: float | None = None,
    idle_timeout_s: float | None = None,
    timeout_s: float | None = None,
    memory_mb: int | None = None,
    threads: int | None = None,
    device: str | None = None,
    gpus: float | None = None,
    gpu_memory_mb: int | None = None,
    cpus: float | None = None,
    resources: Mapping[str, float] | None = None,
    options: Mapping[str, Value] | None = None,
    convert: str | None = None,
    traffic: int | None = None,
    keep_warm: bool = False,
    rollout: Strategy | Literal["default"] | None = None,
    allow_breaking: bool = False,
    lineage: Lineage | None = None,
    data: str | Path | None = None,
    on_event: Callable[[Progress], None] | None = None,
) -> Flow[Deployed]:
    """Turn a model file or folder into a serving endpoint; returns when it truly answers.

    `name` defaults to the file's, `sample` is a CSV or JSON file with example input.
    `replicas`, `timeout_s`, `memory_mb`, `threads`, `device` (auto, cpu, cuda, tpu), `gpus` (the share of GPUs that
    each replica holds), `gpu_memory_mb` and `options` (of the runtime's engine, by name; "" takes one back) configure
    the revision; what is left out stays as it is. `cpus`: processors that each replica may use; on
    Ray, `cpus` and `resources` are what it holds of its node.
    `min_replicas`, `max_replicas`, `target_concurrency` (or `target_latency_s`) and `idle_timeout_s` in place of
    `replicas`: their number varies, as `scale` explains.
    `convert`: "auto" (to ONNX when that is equal and faster), "never", or "require" (fail otherwise).
    `traffic`: the percent of requests that the new revision takes (0: none, it only runs). `keep_warm`: the one
    before goes on running when it loses all of its share, to return to at once.
    `rollout`: give it its traffic step by step while its analysis finds nothing against it; returns when that begins.
    `allow_breaking`: it may take or give something else than the version that serves.
    `lineage`: what is known of where it comes from; git's commit and a training run are found by themselves. `data`:
    the file or folder it was trained on, whose digest is kept.
    `on_event` is called with each step as it begins and ends. The endpoint that was there serves until then.

    A version that is there is deployed by its name: `deploy("fraud:7")` or `deploy("fraud@champion", "fraud-eu")`.
    """
    config = {
        "replicas": replicas, "min_replicas": min_replicas, "max_replicas": max_replicas,
        "target_concurrency": target_concurrency, "target_latency_s": target_latency_s,
        "idle_timeout_s": idle_timeout_s,
        "timeout_s": timeout_s, "memory_mb": memory_mb, "threads": threads,
        "device": device, "gpus": gpus, "gpu_memory_mb": gpu_memory_mb,
        "cpus": cpus, "resource": [f"{key}={value:g}" for key, value in (resources or {}).items()] or None,
        "option": [f"{key}={value}" for key, value in options.items()] if options else None,
        "traffic": traffic, "keep_warm": "yes" if keep_warm else None,
        "allow_breaking": "yes" if allow_breaking else None,
        "rollout": rollout if rollout in (None, "default") else msgspec.json.encode(rollout).decode(),
    }  # fmt: skip
    query = {key: value for key, value in config.items() if value is not None}
    say = on_event or (lambda _: None)
    if names_version(path):
        if sample is not None or convert is not None or lineage is not None or data is not None:
            raise InvalidInput(
                f"{str(path)!r} is a version, whose sample, conversion and lineage are fixed.", help="Leave them out."
            )
        return (yield from _release(session, str(path), name, query, say))
    model = _Model(Path(path), sample, convert, lineage, data)
    address = f"{endpoint_path(name or model.name)}/deploy?{urlencode(model.query | query, doseq=True)}"
    return (yield from follow(session, (yield from _send(session, address, model)), say, Deployed))


def _release(
    session: Session, reference: str, name: str | None, query: dict[str, Any], say: Callable[[Progress], None]
) -> Flow[Deployed]:
    """Deploy a version that is there."""
    target = name or parse_reference(reference).model
    address = f"{endpoint_path(target)}/deploy?{urlencode({'version': reference} | query, doseq=True)}"
    operation = read((yield from call(session, "POST", address)), Accepted).operation
    return (yield from follow(session, operation, say, Deployed))


def push(
    session: Session,
    path: str | Path,
    name: str | None = None,
    sample: str | Path | None = None,
    *,
    convert: str | None = None,
    lineage: Lineage | None = None,
    data: str | Path | None = None,
    on_event: Callable[[Progress], None] | None = None,
) -> Flow[Pushed]:
    """Make a version of a model file or folder without serving it yet. The arguments are those of `deploy`; `name` is
    the model's."""
    model = _Model(Path(path), sample, convert, lineage, data)
    address = f"/v1/models/{check_name(name or model.name, 'model name')}/versions?{urlencode(model.query)}"
    return (
        yield from follow(session, (yield from _send(session, address, model)), on_event or (lambda _: None), Pushed)
    )


def names_version(path: str | Path) -> bool:
    """Whether `fraud:7` or `fraud@champion` is meant, and not a file that is called so."""
    return isinstance(path, str) and is_reference(path) and not Path(path).exists()


class _Model:
    """A model to send: its files, and what the address says of them."""

    def __init__(
        self,
        path: Path,
        sample: str | Path | None,
        convert: str | None,
        lineage: Lineage | None,
        data: str | Path | None,
    ) -> None:
        self.entries = upload.collect(path, "artifact")
        filename = self.entries[0].name.split("/")[1] if path.is_file() else path.expanduser().resolve().name
        self.name = suggest_name(Path(filename).stem)
        self.query: dict[str, Any] = {"filename": filename}
        if sample is not None:
            examples = upload.collect(Path(sample), "sample")
            self.query["sample"] = examples[0].name.split("/")[1]
            self.entries += examples
        if convert is not None:
            self.query["convert"] = convert
        from inferry.client.lineage import lineage_of  # hashes and processes: who only predicts starts without them

        found = lineage_of(path, lineage or Lineage(), None if data is None else Path(data))
        if found != Lineage():
            self.query["lineage"] = msgspec.json.encode(found).decode()


def _send(session: Session, address: str, model: _Model) -> Flow[str]:
    """The operation that works on what was sent."""
    request = Request(
        method="POST",
        url=session.control + address,
        headers={**session.headers, "content-type": "application/x-tar"},
        body=lambda: upload.tar(model.entries),
        timeout=_UPLOAD_S,
    )
    return read((yield from send(request, session.retries)), Accepted).operation


def follow(session: Session, operation: str, on_event: Callable[[Progress], None], made: type[T]) -> Flow[T]:
    """Long polls until the operation is over; a control process that restarts is waited for."""
    seen, lost = 0, 0
    while True:
        path = f"/v1/operations/{quote(operation, safe='')}?after={seen}&wait={_POLL_S:g}"
        try:
            found = yield from get(session, path, _Operation, timeout=_POLL_S + session.timeout)
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
            return decoder(made).decode(msgspec.json.encode(found.result))
        if found.state == "failed":
            raise failure(Response(500, {}, msgspec.json.encode({"error": found.error or {}})))
