"""Desk: what callers want of their jobs.

Data flow: Ask and body -> kept durably, or looked up -> Told and body. A key sees its own jobs; an admin's sees all.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from inferry.errors import Conflict, InferryError, JobFailed, NotFound
from inferry.interfaces.jobs import BodyStore, JobStore
from inferry.jobs.ledger import Ledger
from inferry.jobs.scribe import Scribe
from inferry.types.job_orders import Add, Cancel, Retry
from inferry.types.jobs import INLINE, REQUEST, RESULT, Ask, Job, Refusal, Told

MOST_WAIT_S = 60.0
MOST_LISTED = 500

Words = dict[str, Any]
Given = tuple[Told, bytes]


class Desk:
    """Answers the gateway. `wake`: an endpoint has work; `abort`: a job that is under way is not wanted any more."""

    def __init__(
        self,
        store: JobStore,
        bodies: BodyStore,
        scribe: Scribe,
        ledger: Ledger,
        wake: Callable[[str], None],
        abort: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._bodies = bodies
        self._scribe = scribe
        self._ledger = ledger
        self._wake = wake
        self._abort = abort
        self._clock = clock
        self._verbs: dict[str, Callable[[Ask, bytes], Awaitable[Given]]] = {
            "add": self._add, "list": self._list, "show": self._show, "result": self._result,
            "cancel": self._cancel, "retry": self._retry,
        }  # fmt: skip

    async def answer(self, ask: Ask, body: bytes) -> Given:
        """One request, refusals included."""
        try:
            return await self._verbs[ask.verb](ask, body)
        except InferryError as error:
            refusal = Refusal(
                code=error.code, status=error.status, message=error.message, help=error.help,
                retry_after=error.retry_after,
            )  # fmt: skip
            return Told(status=error.status, error=refusal), b""

    async def _add(self, ask: Ask, body: bytes) -> Given:
        now = self._clock()
        job = Job(
            id=f"{int(now * 1000):012x}{secrets.token_hex(10)}", key=ask.key, endpoint=ask.endpoint, created=now,
            priority=ask.options.priority, attempts=ask.options.attempts, keep_s=ask.options.keep_s,
            idem=ask.options.idem, digest=digest_of(ask, body), path=ask.path, headers=ask.headers, size=len(body),
        )  # fmt: skip
        self._ledger.reserve(job.key, job.size)
        kept: Job | None = None
        try:
            if job.size > INLINE:
                await asyncio.to_thread(self._bodies.put, f"{job.id}.{REQUEST}", body)
            kept = await self._scribe.one(Add(job=job, body=body if job.size <= INLINE else None))
        finally:
            if kept is None or kept.id != job.id:
                self._ledger.release(job.key, job.size)
            if kept is not None and kept.id != job.id and job.size > INLINE:
                await asyncio.to_thread(self._bodies.drop, job.id)
        again = (("idempotent-replayed", "true"),) if kept.id != job.id else ()
        if not again:
            self._wake(job.endpoint)
        headers = (("location", f"/jobs/{kept.id}"), ("retry-after", "1"), *again)
        return _json(document(kept), 202, headers)

    async def _list(self, ask: Ask, _: bytes) -> Given:
        most = max(1, min(ask.limit, MOST_LISTED))
        whose = "" if ask.admin else ask.key
        found = await asyncio.to_thread(self._store.jobs, whose, ask.endpoint, ask.state, ask.before, most)
        return _json({"jobs": [document(job) for job in found]})

    async def _show(self, ask: Ask, _: bytes) -> Given:
        job = await self._waited(ask)
        ahead = await asyncio.to_thread(self._store.ahead, job) if job.state == "waiting" else None
        return _json(document(job, ahead), headers=() if job.over else (("retry-after", "1"),))

    async def _result(self, ask: Ask, _: bytes) -> Given:
        job = await self._waited(ask)
        if not job.over:
            raise Conflict(f"The job is {job.state}.", help="Ask again later, or with ?wait=SECONDS.", retry_after=1.0)
        if job.state == "cancelled":
            raise JobFailed("The job was cancelled.")
        if job.state == "dead":
            raise JobFailed(f"The job was given up: {job.reason.message if job.reason else 'no reason is known'}")
        if job.answer_size > INLINE:
            body = await asyncio.to_thread(self._bodies.get, f"{job.id}.{job.fence}")
        else:
            body = await asyncio.to_thread(self._store.body, job.id, RESULT)
        return Told(status=job.status, headers=job.answer, size=len(body)), body

    async def _cancel(self, ask: Ask, _: bytes) -> Given:
        await self._mine(ask)
        now = self._clock()
        job: Job = await self._scribe.one(Cancel(id=ask.id, now=now))
        if job.ended == now:
            self._ledger.ended(job)
            self._abort(job.id)
        return _json(document(job))

    async def _retry(self, ask: Ask, _: bytes) -> Given:
        job = await self._mine(ask)
        self._ledger.reserve(job.key, 0)
        try:
            begun: Job = await self._scribe.one(Retry(id=ask.id, now=self._clock()))
        except InferryError:
            self._ledger.release(job.key, 0)
            raise
        self._wake(begun.endpoint)
        return _json(document(begun), 202, (("location", f"/jobs/{begun.id}"),))

    async def _mine(self, ask: Ask) -> Job:
        job = await asyncio.to_thread(self._store.job, ask.id)
        if job is None or not (ask.admin or job.key == ask.key):
            raise NotFound(f"There is no job {ask.id[:40]!a}.", help="Jobs are forgotten some time after their end.")
        return job

    async def _waited(self, ask: Ask) -> Job:
        """The job; when it has not ended, as it is when it ends or the caller's patience does."""
        seconds = min(ask.wait_s, MOST_WAIT_S)
        if seconds <= 0:
            return await self._mine(ask)
        ended = self._ledger.watch(ask.id)
        try:
            job = await self._mine(ask)
            if job.over:
                return job
            await asyncio.wait((ended,), timeout=seconds)
        finally:
            self._ledger.unwatch(ask.id, ended)
        return await self._mine(ask)


def digest_of(ask: Ask, body: bytes) -> str:
    """What two requests must share to be the same one."""
    digest = hashlib.sha256(msgspec.json.encode((ask.endpoint, ask.path, sorted(ask.headers))))
    digest.update(body)
    return digest.hexdigest()


def document(job: Job, ahead: int | None = None) -> Words:
    """A job as its callers see it."""
    words: Words = {
        "id": job.id, "endpoint": job.endpoint, "state": job.state, "priority": job.priority, "begun": job.fence,
        "failures": job.failures, "attempts": job.attempts, "created": job.created, "started": job.started,
        "ended": job.ended, "expires": job.expires, "size": job.size, "result_size": job.answer_size,
        "idempotency_key": job.idem, "url": f"/jobs/{job.id}",
    }  # fmt: skip
    if ahead is not None:
        words["position"] = ahead + 1
    if job.state == "succeeded":
        words["result"] = f"/jobs/{job.id}/result"
    if job.reason is not None:
        words["reason"] = job.reason
    return words


def _json(words: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> tuple[Told, bytes]:
    body = msgspec.json.encode(words)
    return Told(status=status, headers=(("content-type", "application/json"), *headers), size=len(body)), body
