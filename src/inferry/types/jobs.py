"""Jobs: predictions that were accepted now and are answered later.

    waiting -> running -> succeeded | dead
       ^          |
       +----------+  an attempt that may succeed another time        cancelled: from waiting or running

Data flow: a caller's request -> gateway -> Ask -> the jobs process -> Told -> gateway -> the caller.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

State: TypeAlias = Literal["waiting", "running", "succeeded", "dead", "cancelled"]
STATES = ("waiting", "running", "succeeded", "dead", "cancelled")
ENDED = ("succeeded", "dead", "cancelled")

INLINE = 64 << 10
"""Bodies up to this size are rows, larger ones files."""

REQUEST, RESULT = "request", "result"
Headers: TypeAlias = tuple[tuple[str, str], ...]


class Reason(msgspec.Struct, frozen=True, kw_only=True):
    """Why an attempt failed, or the job was given up. `status`: of the answer, 0 when there was none."""

    code: str
    message: str
    status: int = 0


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One job as it is kept. Times are Unix seconds, 0 for not yet.

    `fence`: how often it was begun; who began it the last time is the only one who can end it. `failures`: attempts
    that failed, of `attempts` that it may have; `losses`: those of which nothing was heard. `due`: not to begin before.
    `lease`: taken from who began it when not renewed by then. `digest`: of the request, compared when `idem`, the
    caller's idempotency key, comes again. `path`, `headers`: what is sent; `status`, `answer`: what came.
    """

    id: str
    key: str
    endpoint: str
    state: State = "waiting"
    priority: int = 5
    created: float
    due: float = 0.0
    fence: int = 0
    failures: int = 0
    attempts: int = 5
    losses: int = 0
    lease: float = 0.0
    started: float = 0.0
    ended: float = 0.0
    keep_s: float = 86_400.0
    expires: float = 0.0
    idem: str = ""
    digest: str = ""
    path: str
    headers: Headers = ()
    size: int = 0
    status: int = 0
    answer: Headers = ()
    answer_size: int = 0
    reason: Reason | None = None

    @property
    def over(self) -> bool:
        """Whether it will not change any more by itself."""
        return self.state in ENDED


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What a caller may ask of a job. `keep_s`: how long its result is kept."""

    idem: str = ""
    priority: int = 5
    attempts: int = 5
    keep_s: float = 86_400.0


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway asks the jobs process on behalf of a key that it has checked; a body of `size` bytes follows.

    `admin`: the key may see all jobs. `path`, `headers`: the request to keep; `query`: of the listing.
    """

    verb: Literal["add", "list", "show", "result", "cancel", "retry"]
    key: str
    admin: bool = False
    id: str = ""
    endpoint: str = ""
    path: str = ""
    headers: Headers = ()
    options: Options = Options()
    state: str = ""
    limit: int = 50
    before: str = ""
    wait_s: float = 0.0
    size: int = 0


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """An InferryError on its way."""

    code: str
    status: int
    message: str
    help: str = ""
    retry_after: float | None = None


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to an Ask; a body of `size` bytes follows."""

    status: int = 200
    headers: Headers = ()
    size: int = 0
    error: Refusal | None = None
