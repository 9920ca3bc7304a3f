"""JobStore and BodyStore: where jobs live. A call that returned is durable; one that raised changed nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from inferry.types.job_orders import Order
from inferry.types.jobs import Job


class JobStore(Protocol):
    """The queue, as a table of leases. Raises StorageFull and Unavailable."""

    def write(self, orders: Sequence[Order]) -> list[Any]:
        """Carry out orders in one transaction; for each what it gives, or the InferryError that refuses it."""
        ...

    def job(self, id: str) -> Job | None:
        """One job."""
        ...

    def jobs(self, key: str, endpoint: str, state: str, before: str, limit: int) -> list[Job]:
        """Jobs, the newest first; an empty word stands for any."""
        ...

    def ahead(self, job: Job) -> int:
        """How many jobs of the endpoint begin before this one."""
        ...

    def body(self, id: str, part: str) -> bytes:
        """A body that is a row. Raises NotFound."""
        ...


class Usage(Protocol):
    """What the queue holds when the process starts."""

    def usage(self) -> dict[str, tuple[int, int]]:
        """Key -> how many of its jobs have not ended, and the bytes of all its requests and results."""
        ...

    def endpoints(self) -> list[str]:
        """Endpoints with jobs that wait."""
        ...

    def any(self) -> bool:
        """Whether there is a job, of any state."""
        ...

    def known(self, ids: Sequence[str]) -> dict[str, Job]:
        """Those of these jobs that are there."""
        ...


class BodyStore(Protocol):
    """Bodies that are too large for rows."""

    def put(self, name: str, body: bytes) -> None:
        """Keep it. Raises StorageFull."""
        ...

    def get(self, name: str) -> bytes:
        """Raises NotFound."""
        ...

    def discard(self, name: str) -> None:
        """Forget one body."""
        ...

    def drop(self, id: str) -> None:
        """Forget all bodies of a job."""
        ...

    def ids(self) -> set[str]:
        """Jobs that have bodies here."""
        ...
