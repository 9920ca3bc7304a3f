"""Holding: requests for which no replica is there yet.

Data flow: the core's Pending -> held by its endpoint, within bounds -> the first for a revision that sleeps wakes it:
its load is told to control at once -> a table with a replica, or one that speaks again -> the link, or a deadline.
A request that waited for a replica to start tells its client for how long.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from inferry.errors import Unavailable
from inferry.gateway.live import LiveEndpoint, LiveRevision, Pending
from inferry.gateway.refusals import asleep, no_endpoint, no_version, too_late

if TYPE_CHECKING:
    from inferry.gateway.core import Core

MAX_HELD = 1024
"""Requests for one endpoint."""
MAX_BYTES = 128 << 20
"""Of the bodies of all that are held."""

Named = tuple[bytes, int]
"""An endpoint and the number of its revision."""


class Holding:
    """What waits. `wake`: tells control that a revision is waited for; `waking`: since when (monotonic microseconds);
    `held_us`: how long requests of a revision were held that are not any more."""

    def __init__(self, core: Core) -> None:
        self.wake: Callable[[LiveEndpoint, LiveRevision], None] = lambda _endpoint, _revision: None
        self.waking: dict[Named, int] = {}
        self.held_us: dict[Named, int] = {}
        self.bytes = 0
        self.names: set[bytes] = set()  # of the endpoints for which requests wait
        self._core = core

    def hold(self, pending: Pending) -> None:
        """Keep a new request until there is a replica, or refuse it."""
        endpoint, revision = pending.endpoint, pending.revision
        assert revision is not None
        error = self._full(pending, revision)
        if error is None:
            self.again(pending)
        self.rouse(endpoint, revision)
        if error is not None:
            self._core.finish(pending, error)

    def again(self, pending: Pending) -> None:
        """Keep a request that was taken before."""
        pending.link = None
        pending.endpoint.held.append(pending)
        self.names.add(pending.endpoint.name)
        self.bytes += pending.size

    def rouse(self, endpoint: LiveEndpoint, revision: LiveRevision) -> None:
        """Somebody waits for a revision: tell it when it sleeps and that was not told."""
        name = endpoint.name, revision.plan.number
        if revision.plan.sleeps and not revision.links and name not in self.waking:
            self.waking[name] = time.monotonic_ns() // 1000
            self.wake(endpoint, revision)

    def _full(self, pending: Pending, revision: LiveRevision) -> Unavailable | None:
        """Why a request cannot be held."""
        held, left_s = pending.endpoint.held, self._left_s(pending.endpoint, revision)
        if len(held) >= MAX_HELD or self.bytes + pending.size > MAX_BYTES:
            return asleep("The endpoint is starting and too many wait.", left_s)
        if left_s * 1e6 > pending.deadline - pending.start:
            return asleep(f"A replica takes about {left_s:.2g} s to start, longer than the deadline allows.", left_s)
        return None

    def _left_s(self, endpoint: LiveEndpoint, revision: LiveRevision) -> float:
        """How long a start still takes, as far as that is known."""
        if not revision.plan.sleeps or revision.links:
            return 0.0
        now = time.monotonic_ns() // 1000
        since = self.waking.get((endpoint.name, revision.plan.number), now)
        return max(0.0, revision.plan.cold_start_s - (now - since) / 1e6)

    def flush(self) -> None:
        """Send what can be sent: a replica came, or the table changed."""
        for endpoint in self._waited_for():
            self._flush(endpoint)
        for name, number in list(self.waking):
            known = self._core.endpoints.get(name)
            revision = known.by_number.get(number) if known is not None else None
            if revision is None or self._core.free_link(revision) is not None:
                del self.waking[name, number]

    def _waited_for(self) -> list[LiveEndpoint]:
        """The endpoints with requests that wait: few, however many there are."""
        found = [self._core.endpoints[name] for name in self.names if name in self._core.endpoints]
        self.names = {endpoint.name for endpoint in found if endpoint.held}
        return [endpoint for endpoint in found if endpoint.held]

    def _flush(self, endpoint: LiveEndpoint) -> None:
        core, now = self._core, time.monotonic_ns() // 1000
        waiting, endpoint.held = endpoint.held, type(endpoint.held)()
        for pending in waiting:
            pending.endpoint = endpoint
            self.bytes -= pending.size
            revision = self._revision(endpoint, pending)
            if revision is None:
                core.finish(pending, no_version(endpoint, pending.head))
                continue
            pending.revision = revision
            link = core.free_link(revision)
            if link is None:
                self.rouse(endpoint, revision)
                self.again(pending)
                continue
            name = endpoint.name, revision.plan.number
            waited = now - pending.start
            self.held_us[name] = self.held_us.get(name, 0) + waited
            if name in self.waking:
                pending.revision = revision.after(waited)
            link.send(pending)

    def _revision(self, endpoint: LiveEndpoint, pending: Pending) -> LiveRevision | None:
        """The revision that a request was held for while it has its share, else as for a new one."""
        before = pending.revision
        known = endpoint.by_number.get(before.plan.number) if before is not None else None
        if known is not None and before is not None and known.plan.weight == before.plan.weight > 0:
            return known
        return self._core.revision_for(endpoint, pending.head, pending.body)

    def drop(self, pending: Pending) -> bool:
        """Let go of one request; whether it was held."""
        if pending not in pending.endpoint.held:
            return False
        pending.endpoint.held.remove(pending)
        self.bytes -= pending.size
        if not pending.endpoint.held:  # nobody waits any more, and who comes next wakes it again
            self.names.discard(pending.endpoint.name)
            for revision in pending.endpoint.revisions:
                self.waking.pop((pending.endpoint.name, revision.plan.number), None)
        return True

    def orphan(self, endpoint: LiveEndpoint) -> None:
        """The endpoint is not served any more."""
        for pending in endpoint.held:
            self.bytes -= pending.size
            self._core.finish(pending, no_endpoint(endpoint.name))

    def expire(self, now: int) -> None:
        """Refuse what is past its deadline."""
        for endpoint in self._waited_for():
            for pending in [pending for pending in endpoint.held if pending.deadline <= now]:
                self.drop(pending)
                sleeps = pending.revision is not None and pending.revision.plan.sleeps
                self._core.finish(pending, too_late(pending, asleep=sleeps))
