"""Orders: what changes the tables of jobs. All orders of one moment are one transaction.

Data flow: an order -> the store -> what stands behind the arrow in its words, or the error that refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from inferry.types.jobs import Headers, Job, Reason, State


@dataclass(frozen=True, kw_only=True)
class Add:
    """Keep a job -> the Job, or the one that has its idempotency key already. `body`: None when it lies in a file."""

    job: Job
    body: bytes | None


@dataclass(frozen=True, kw_only=True)
class Take:
    """Begin the next jobs of an endpoint -> Taken."""

    endpoint: str
    most: int
    now: float
    lease: float


@dataclass(frozen=True, kw_only=True)
class Taken:
    """Jobs that were begun, with the requests that are rows; `revoked`: those whose key is gone; `due`: when the next
    one may begin, None for no more."""

    jobs: tuple[Job, ...]
    bodies: dict[str, bytes]
    revoked: frozenset[str]
    due: float | None


@dataclass(frozen=True, kw_only=True)
class Renew:
    """Go on holding jobs (id, fence) -> the ids that are not held any more."""

    held: tuple[tuple[str, int], ...]
    lease: float


@dataclass(frozen=True, kw_only=True)
class End:
    """A job's end -> the Job, None when it was somebody else's to end. `body`: None when it lies in a file."""

    id: str
    fence: int
    now: float
    state: State
    status: int = 0
    answer: Headers = ()
    answer_size: int = 0
    body: bytes | None = None
    reason: Reason | None = None


@dataclass(frozen=True, kw_only=True)
class Again:
    """Let a job wait for its next attempt -> the Job, None when it was somebody else's."""

    id: str
    fence: int
    due: float
    reason: Reason
    failed: bool
    lost: bool


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Give a job up -> the Job. Raises Conflict when it has ended otherwise."""

    id: str
    now: float


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Let a job that is dead or cancelled begin anew -> the Job. Raises Conflict."""

    id: str
    now: float


@dataclass(frozen=True, kw_only=True)
class Reclaim:
    """Take back jobs whose lease ended before `now` -> those jobs; the ones lost too often are dead now."""

    now: float
    due: float
    most_losses: int


@dataclass(frozen=True, kw_only=True)
class Purge:
    """Forget jobs whose time is over -> their ids."""

    now: float
    most: int = 500


Order: TypeAlias = Add | Take | Renew | End | Again | Cancel | Retry | Reclaim | Purge
