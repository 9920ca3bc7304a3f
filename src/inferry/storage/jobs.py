"""Jobs: the queue, as a table whose running rows are leases with a fence.

Data flow: orders -> one transaction -> rows -> Job. An order is refused before it writes, so one that is refused leaves
the others of its transaction as they are. `rank` is the priority upside down: one index gives the order of beginning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, and_, delete, func, insert, or_, select, update

from inferry.errors import Conflict, IdempotencyMismatch, InferryError, NotFound
from inferry.policy.events import job_ended
from inferry.storage.base import Base, any_row
from inferry.storage.chunks import chunks, padded
from inferry.storage.rows import plain, to_text
from inferry.storage.schema import open_database
from inferry.storage.tables import job_bodies, jobs, keys
from inferry.storage.told import tell
from inferry.types.job_orders import Add, Again, Cancel, End, Order, Purge, Reclaim, Renew, Retry, Take, Taken
from inferry.types.jobs import ENDED, REQUEST, RESULT, Headers, Job, Reason

TOP = 9

_HEADERS = msgspec.json.Decoder(Headers)
_REASON = msgspec.json.Decoder(Reason | None)


def open_jobs(url: str) -> SqlJobs:
    """The queue in a database whose schema is at the head."""
    return SqlJobs(open_database(url))


class SqlJobs(Base):
    """interfaces.jobs.JobStore and Usage. One process writes these tables."""

    def write(self, orders: Sequence[Order]) -> list[Any]:
        """All in one transaction."""
        with self._writing() as connection:
            return [_carried_out(connection, order) for order in orders]

    def job(self, id: str) -> Job | None:
        """One job."""
        with self._reading() as connection:
            return _found(connection, id)

    def jobs(self, key: str, endpoint: str, state: str, before: str, limit: int) -> list[Job]:
        """The newest first."""
        query = select(jobs).order_by(jobs.c.id.desc()).limit(limit)
        for column, value in ((jobs.c.key, key), (jobs.c.endpoint, endpoint), (jobs.c.state, state)):
            if value:
                query = query.where(column == value)
        if before:
            query = query.where(jobs.c.id < before)
        with self._reading() as connection:
            return [_job(row) for row in connection.execute(query).mappings()]

    def ahead(self, job: Job) -> int:
        """Those with a better rank, and the older ones of the same."""
        rank = TOP - job.priority
        before = or_(jobs.c.rank < rank, and_(jobs.c.rank == rank, jobs.c.id < job.id))
        query = select(func.count()).where(jobs.c.endpoint == job.endpoint, jobs.c.state == "waiting", before)
        with self._reading() as connection:
            return int(connection.execute(query).scalar_one())

    def body(self, id: str, part: str) -> bytes:
        """A body that is a row."""
        query = select(job_bodies.c.body).where(job_bodies.c.job == id, job_bodies.c.part == part)
        with self._reading() as connection:
            body = connection.execute(query).scalar_one_or_none()
        if body is None:
            raise NotFound("The job's body is not there any more.", help="Send the request again.")
        return bytes(body)

    def usage(self) -> dict[str, tuple[int, int]]:
        """By key."""
        held = func.sum(jobs.c.size + jobs.c.answer_size)
        query = select(jobs.c.key, held).group_by(jobs.c.key)
        open_ = select(jobs.c.key, func.count()).where(jobs.c.state.not_in(ENDED)).group_by(jobs.c.key)
        with self._reading() as connection:
            counts = {row[0]: int(row[1]) for row in connection.execute(open_)}
            return {row[0]: (counts.get(row[0], 0), int(row[1])) for row in connection.execute(query)}

    def endpoints(self) -> list[str]:
        """Where jobs wait."""
        with self._reading() as connection:
            return list(connection.scalars(select(jobs.c.endpoint).where(jobs.c.state == "waiting").distinct()))

    def any(self) -> bool:
        """Whether there is a job, of any state."""
        with self._reading() as connection:
            return any_row(connection, jobs)

    def known(self, ids: Sequence[str]) -> dict[str, Job]:
        """Those that are there."""
        found: dict[str, Job] = {}
        with self._reading() as connection:
            for chunk in chunks(ids):
                query = select(jobs).where(jobs.c.id.in_(chunk))
                found |= {row["id"]: _job(row) for row in connection.execute(query).mappings()}
        return found


def _carried_out(connection: Connection, order: Order) -> Any:
    try:
        return _HANDS[type(order)](connection, order)
    except InferryError as refusal:
        return refusal


def _add(connection: Connection, order: Add) -> Job:
    job = order.job
    if job.idem:
        same = (jobs.c.key == job.key) & (jobs.c.idem == job.idem)
        row = connection.execute(select(jobs).where(same)).mappings().one_or_none()
        if row is not None:
            return same_request(_job(row), job.digest)
    connection.execute(insert(jobs).values(_row(job)))
    if order.body is not None:
        connection.execute(insert(job_bodies).values(job=job.id, part=REQUEST, body=order.body))
    return job


def same_request(known: Job, digest: str) -> Job:
    """The job that has a caller's idempotency key already. Raises IdempotencyMismatch when it is of another request."""
    if known.digest != digest:
        raise IdempotencyMismatch(f"The idempotency key {known.idem[:60]!a} came before, with another request.")
    return known


def _take(connection: Connection, order: Take) -> Taken:
    mine = (jobs.c.endpoint == order.endpoint) & (jobs.c.state == "waiting")
    query = select(jobs).where(mine, jobs.c.due <= order.now).order_by(jobs.c.rank, jobs.c.id).limit(order.most)
    found = [_job(row) for row in connection.execute(query).mappings()]
    ids = padded([job.id for job in found])
    if ids:
        begun = {"state": "running", "lease": order.lease, "fence": jobs.c.fence + 1}
        connection.execute(update(jobs).where(jobs.c.id.in_(ids)).values(begun))
        connection.execute(update(jobs).where(jobs.c.id.in_(ids), jobs.c.started == 0).values(started=order.now))
    rows = connection.execute(
        select(job_bodies.c.job, job_bodies.c.body).where(job_bodies.c.job.in_(ids), job_bodies.c.part == REQUEST)
    )
    bodies = {row[0]: bytes(row[1]) for row in rows} if ids else {}
    callers = padded({job.key for job in found})
    good = set(connection.scalars(select(keys.c.id).where(keys.c.id.in_(callers))))
    revoked = frozenset(job.id for job in found if job.key not in good)
    taken = tuple(
        msgspec.structs.replace(
            job, state="running", lease=order.lease, fence=job.fence + 1, started=job.started or order.now
        )
        for job in found
    )
    if len(found) == order.most:
        return Taken(jobs=taken, bodies=bodies, revoked=revoked, due=order.now)
    due = connection.execute(select(func.min(jobs.c.due)).where(mine)).scalar()
    return Taken(jobs=taken, bodies=bodies, revoked=revoked, due=due)


def _renew(connection: Connection, order: Renew) -> list[str]:
    lost = []
    for id, fence in order.held:
        if connection.execute(update(jobs).where(_held(id, fence)).values(lease=order.lease)).rowcount == 0:
            lost.append(id)
    return lost


def _end(connection: Connection, order: End) -> Job | None:
    values = {
        "state": order.state, "ended": order.now, "expires": order.now + jobs.c.keep_s, "status": order.status,
        "answer": to_text(order.answer), "answer_size": order.answer_size, "reason": to_text(order.reason),
    }  # fmt: skip
    if order.state == "dead":
        values["failures"] = jobs.c.failures + 1
    if connection.execute(update(jobs).where(_held(order.id, order.fence)).values(values)).rowcount == 0:
        return None
    if order.body is not None:
        connection.execute(insert(job_bodies).values(job=order.id, part=RESULT, body=order.body))
    if order.state == "succeeded":
        connection.execute(delete(job_bodies).where(job_bodies.c.job == order.id, job_bodies.c.part == REQUEST))
    return _told(connection, order.id)


def _again(connection: Connection, order: Again) -> Job | None:
    values = {
        "state": "waiting", "due": order.due, "reason": to_text(order.reason),
        "failures": jobs.c.failures + int(order.failed), "losses": jobs.c.losses + int(order.lost),
    }  # fmt: skip
    if connection.execute(update(jobs).where(_held(order.id, order.fence)).values(values)).rowcount == 0:
        return None
    return _found(connection, order.id)


def _cancel(connection: Connection, order: Cancel) -> Job:
    job = _needed(connection, order.id)
    if job.state == "cancelled":
        return job
    if job.over:
        raise Conflict(f"The job has ended already: it {_WORDS[job.state]}.", help="There is nothing to cancel.")
    values = {"state": "cancelled", "ended": order.now, "expires": order.now + jobs.c.keep_s}
    connection.execute(update(jobs).where(jobs.c.id == order.id).values(values))
    return _told(connection, order.id)


_WORDS = {"succeeded": "succeeded", "dead": "failed"}


def _retry(connection: Connection, order: Retry) -> Job:
    job = _needed(connection, order.id)
    if job.state not in ("dead", "cancelled"):
        raise Conflict(f"The job is {job.state}; only one that failed or was cancelled can begin anew.")
    values = {
        "state": "waiting", "due": order.now, "failures": 0, "losses": 0, "ended": 0.0, "expires": 0.0,
        "created": order.now, "reason": "null",
    }  # fmt: skip
    connection.execute(update(jobs).where(jobs.c.id == order.id).values(values))
    return _needed(connection, order.id)


def _reclaim(connection: Connection, order: Reclaim) -> list[Job]:
    over = (jobs.c.state == "running") & (jobs.c.lease < order.now)
    ids = list(connection.scalars(select(jobs.c.id).where(over)))
    given_up = Reason(
        code="lost", message=f"It was begun {order.most_losses} times, and nothing was heard of it again."
    )
    for id in ids:
        this = jobs.c.id == id
        connection.execute(update(jobs).where(this).values(state="waiting", due=order.due, losses=jobs.c.losses + 1))
        connection.execute(
            update(jobs)
            .where(this, jobs.c.losses >= order.most_losses)
            .values(state="dead", ended=order.due, expires=order.due + jobs.c.keep_s, reason=to_text(given_up))
        )
    back = [_needed(connection, id) for id in ids]
    tell(connection, *(job_ended(job) for job in back if job.over))
    return back


def _purge(connection: Connection, order: Purge) -> list[Job]:
    old = (jobs.c.expires > 0) & (jobs.c.expires < order.now)
    found = [_job(row) for row in connection.execute(select(jobs).where(old).limit(order.most)).mappings()]
    if found:
        ids = padded([job.id for job in found])
        connection.execute(delete(job_bodies).where(job_bodies.c.job.in_(ids)))
        connection.execute(delete(jobs).where(jobs.c.id.in_(ids)))
    return found


_HANDS: dict[type, Callable[[Connection, Any], Any]] = {
    Add: _add, Take: _take, Renew: _renew, End: _end, Again: _again, Cancel: _cancel, Retry: _retry,
    Reclaim: _reclaim, Purge: _purge,
}  # fmt: skip


def _held(id: str, fence: int) -> ColumnElement[bool]:
    """The job, as long as whoever began it with this fence may end it."""
    return and_(jobs.c.id == id, jobs.c.fence == fence, jobs.c.state == "running")


def _told(connection: Connection, id: str) -> Job:
    """A job that ended in this transaction, told to whoever asked for it."""
    job = _needed(connection, id)
    tell(connection, job_ended(job))
    return job


def _found(connection: Connection, id: str) -> Job | None:
    row = connection.execute(select(jobs).where(jobs.c.id == id)).mappings().one_or_none()
    return None if row is None else _job(row)


def _needed(connection: Connection, id: str) -> Job:
    job = _found(connection, id)
    if job is None:
        raise NotFound(f"There is no job {id[:40]!a}.", help="Jobs are forgotten some time after their end.")
    return job


def _row(job: Job) -> dict[str, Any]:
    values = {
        **plain(job), "idem": job.idem or None, "rank": TOP - job.priority, "headers": to_text(job.headers),
        "answer": to_text(job.answer), "reason": to_text(job.reason),
    }  # fmt: skip
    del values["priority"]
    return values


def _job(row: RowMapping) -> Job:
    values = {
        **row, "idem": row["idem"] or "", "priority": TOP - row["rank"], "headers": _HEADERS.decode(row["headers"]),
        "answer": _HEADERS.decode(row["answer"]), "reason": _REASON.decode(row["reason"]),
    }  # fmt: skip
    del values["rank"]
    return Job(**values)
