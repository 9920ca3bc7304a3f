"""Status: the platform in a few lines, also while its database is away.

Data flow: what control knows -> the version, the addresses, what is wrong, who leads, how many endpoints have what they
want.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import msgspec

from inferry.control.database import DatabaseWatch
from inferry.control.reconciler import Reconciler, group_of
from inferry.types.registry import Revision


def state_of(reconciler: Reconciler, revision: Revision) -> str:
    """How a revision is: ready, asleep, waiting (for memory), failing or starting."""
    fleet, group = reconciler.fleet, group_of(revision)
    ready, wanted = len(fleet.of(group)), reconciler.scaler.count(revision)
    if ready >= wanted:
        return "ready" if ready else "asleep"
    if fleet.room.waits(group):
        return "waiting"
    return "failing" if fleet.problems.get(group) else "starting"


class Status:
    """`leader`: who leads, None where there can be only one; `database`: what keeps the state, for people."""

    def __init__(
        self,
        version: str,
        http: str,
        database: str,
        watch: DatabaseWatch,
        reconciler: Reconciler,
        leader: Callable[[], dict[str, Any]] | None,
    ) -> None:
        self._version = version
        self._http = http
        self._database = database
        self._watch = watch
        self._reconciler = reconciler
        self._leader = leader

    def told(self) -> dict[str, Any]:
        """All of it. May ask the database."""
        live = self._reconciler.desired.live
        fleet, scaler = self._reconciler.fleet, self._reconciler.scaler
        ready = [len(fleet.of(one.group)) >= scaler.count(one.revision) for one in live]
        return {
            "version": self._version,
            "http": self._http,
            "database": self._database,
            "problem": self._watch.problem,
            "leader": self._who(),
            "endpoints": len({one.endpoint.name for one in live}),
            "revisions": len(live),
            "ready": sum(ready),
        }

    def now(self) -> dict[str, Any]:
        """What changes all the time: revisions by state, and memory. In the loop that changes it."""
        live = self._reconciler.desired.live
        return {
            "states": dict(Counter(state_of(self._reconciler, one.revision) for one in live)),
            "memory": msgspec.to_builtins(self._reconciler.fleet.room.status()),
        }

    def _who(self) -> dict[str, Any] | None:
        return None if self._leader is None else self._leader()
