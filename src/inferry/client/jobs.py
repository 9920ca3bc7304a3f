"""Flows of jobs: predictions that are accepted now and answered later.

Data flow: data, as `ask` takes it -> POST /jobs/ENDPOINT -> a JobInfo; then its state, its result, its end.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import urlencode

import msgspec

from inferry.client import files
from inferry.client.answers import Answer
from inferry.client.job_answers import JobInfo
from inferry.client.session import Session, inference_address
from inferry.client.wire import Flow, Request, Response, read, send
from inferry.errors import DeadlineExceeded
from inferry.types.names import check_name

ROUND_S = 20.0
GRACE_S = 10.0


class _Jobs(msgspec.Struct):
    jobs: list[JobInfo]


def submit_job(
    session: Session,
    endpoint: str,
    data: Any,
    *,
    idempotency_key: str = "",
    priority: int | None = None,
    attempts: int | None = None,
    keep_s: int | None = None,
    timeout: float | None = None,
) -> Flow[JobInfo]:
    """Have a prediction made later. When this returns, the job is kept, whatever dies then.

    `data`: as `Endpoint.ask` takes it. `idempotency_key`: the same key gives the same job, so that one may ask again
    when unsure. `priority`: 0 to 9, higher first. `attempts`: how often it may fail. `keep_s`: how long its result is
    kept. `timeout`: seconds for one attempt.
    """
    body, media = files.body_of(data)
    headers = {"content-type": media}
    wanted = {
        "idempotency-key": idempotency_key, "inferry-priority": priority, "inferry-attempts": attempts,
        "inferry-keep": keep_s, "inferry-timeout": None if timeout is None else f"{timeout:.6f}",
    }  # fmt: skip
    headers |= {name: str(value) for name, value in wanted.items() if value not in (None, "")}
    path = f"/jobs/{check_name(endpoint, 'endpoint name')}"
    response = yield from _ask(session, "POST", path, body=body, headers=headers, repeatable=bool(idempotency_key))
    return read(response, JobInfo)


def job(session: Session, id: str, *, wait: float = 0.0) -> Flow[JobInfo]:
    """A job as it is now, or as it is when it ended or `wait` seconds are over."""
    return (yield from _waited(session, id, wait))


def jobs(
    session: Session, *, endpoint: str = "", state: str = "", limit: int = 50, before: str = ""
) -> Flow[list[JobInfo]]:
    """Your jobs, the newest first; an admin's key sees all. `before`: only those older than this id."""
    query = urlencode({"endpoint": endpoint, "state": state, "limit": limit, "before": before})
    return read((yield from _ask(session, "GET", f"/jobs?{query}")), _Jobs).jobs


def job_result(session: Session, id: str, *, wait: float = 0.0) -> Flow[Answer]:
    """What a job's prediction answered. Raises JobFailed when it has none, Conflict when it has not ended."""
    if wait > 0:
        found = yield from _waited(session, id, wait)
        if not found.over:
            raise DeadlineExceeded(f"The job has not ended within {wait:g} s.", help="It goes on; ask again later.")
    response = yield from _ask(session, "GET", f"/jobs/{id}/result")
    if response.headers.get("content-type", "").startswith("application/json"):
        return msgspec.structs.replace(read(response, Answer), request_id=id)
    version = response.headers.get("inferry-version", "")
    return Answer(model="", version=version, predictions=response.body, request_id=id)


def cancel_job(session: Session, id: str) -> Flow[JobInfo]:
    """Give a job up, also while it is under way."""
    return read((yield from _ask(session, "DELETE", f"/jobs/{id}")), JobInfo)


def retry_job(session: Session, id: str) -> Flow[JobInfo]:
    """Let a job that failed or was cancelled begin anew."""
    return read((yield from _ask(session, "POST", f"/jobs/{id}/retry")), JobInfo)


def _waited(session: Session, id: str, wait: float) -> Flow[JobInfo]:
    until = time.monotonic() + wait
    while True:
        left = max(0.0, min(ROUND_S, until - time.monotonic()))
        found = read((yield from _ask(session, "GET", f"/jobs/{id}?wait={left:.3f}", patience=left)), JobInfo)
        if found.over or time.monotonic() >= until:
            return found


def _ask(
    session: Session, method: str, path: str, *, body: bytes = b"", headers: dict[str, str] | None = None,
    repeatable: bool = True, patience: float = 0.0,
) -> Flow[Response]:  # fmt: skip
    address = yield from inference_address(session)
    request = Request(
        method=method,
        url=address + path,
        headers={**session.headers, **(headers or {})},
        body=body,
        timeout=session.timeout + patience + GRACE_S,
        repeatable=repeatable,
    )
    return (yield from send(request, session.retries))
