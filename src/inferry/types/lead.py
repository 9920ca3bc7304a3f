"""Who leads: one of several control processes, for as long as its lease lasts.

Data flow: the row `leader` of the database -> Lease, with the database's own clock beside it -> `policy.lead`.
"""

from __future__ import annotations

import msgspec


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who leads or led last. `epoch` counts leaders, one up with each; `holder` is one process of one machine, `name`
    the same for people, `place` the run of a platform that it belongs to. Times are the database's, in seconds."""

    epoch: int
    holder: str
    name: str
    place: str
    since: float
    until: float


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """One look at the database: the lease (None: nobody ever led) and the time there."""

    lease: Lease | None
    now: float


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A process that leads (its `epoch`) or would like to (0)."""

    holder: str
    epoch: int = 0
