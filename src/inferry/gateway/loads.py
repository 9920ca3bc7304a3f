"""Loads: what the gateway tells control of revisions whose replicas vary in number.

Data flow: series, links and held requests -> a Load for each elastic revision -> those that changed, once a second;
at once when a request waits for a revision that sleeps. Nothing is counted for this while requests are answered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from inferry.gateway.core import Core
from inferry.gateway.holding import Named
from inferry.gateway.link import Link
from inferry.gateway.live import LiveEndpoint, LiveRevision, Pending
from inferry.telemetry.metrics import slower
from inferry.types.scaling import Load, Loads

REPORT_S = 1.0


class Reporter:
    """Tells loads. `send` hands them to control; False when it is not there. `epoch`: when this gateway began."""

    def __init__(self, core: Core, send: Callable[[Loads], bool], epoch: int) -> None:
        self._core = core
        self._send = send
        self._epoch = epoch
        self._told: dict[Named, Load] = {}
        self._numbers: dict[bytes, set[Named]] = {}
        self._awake: set[bytes] = set()
        core.holding.wake = self.wake

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(REPORT_S)
            self.report()

    def report(self, *, anew: bool = False) -> None:
        """Tell what changed, or all to a control process that came `anew`. Endpoints that sleep are not looked at."""
        core = self._core
        names = set(core.endpoints) if anew else self._awake | core.news | core.holding.names
        loads: dict[Named, Load] = {}
        for name in names:
            endpoint = core.endpoints.get(name)
            for revision in endpoint.revisions if endpoint is not None else ():
                if endpoint is not None and revision.plan.elastic:
                    loads[name, revision.plan.number] = load_of(core, endpoint, revision)
        changed = tuple(load for name, load in loads.items() if anew or self._told.get(name) != load)
        if not (changed or self._told or anew) or self._send(Loads(epoch=self._epoch, of=changed)):
            self._told |= loads
            self._settle(names, loads)

    def _settle(self, names: set[bytes], loads: dict[Named, Load]) -> None:
        """Control knows: look at those again that do something, and forget revisions that are gone."""
        core = self._core
        core.news -= names
        self._awake -= names
        for name in names:
            endpoint = core.endpoints.get(name)
            running = {(name, number) for number in endpoint.by_number} if endpoint is not None else set()
            for gone in [known for known in self._numbers.get(name, ()) if known not in running]:
                self._told.pop(gone, None)
                core.holding.held_us.pop(gone, None)
            self._numbers.pop(name, None)
            for revision in endpoint.revisions if endpoint is not None else ():
                revision.missed = 0
                load = loads.get((name, revision.plan.number))
                if load is not None:
                    self._numbers[name] = running
                    if revision.links or load.waiting or load.in_flight or load.missed:
                        self._awake.add(name)

    def wake(self, endpoint: LiveEndpoint, revision: LiveRevision) -> None:
        """Tell the load of one revision now: somebody waits for it."""
        load = load_of(self._core, endpoint, revision)
        self._core.news.add(endpoint.name)  # the next report tells what became of it
        self._send(Loads(epoch=self._epoch, of=(load,)))


def load_of(core: Core, endpoint: LiveEndpoint, revision: LiveRevision) -> Load:
    """The load of one revision now."""
    name, number = endpoint.name, revision.plan.number
    now = time.monotonic_ns() // 1000
    links = [link for link in revision.links if link.ready]
    under_way = [pending for link in links for pending in link.inflight.values() if is_of(pending, name, number)]
    waiting = sum(is_of(pending, name, number) for pending in endpoint.held)
    series = revision.series.values()
    answered_us = sum(one.total_us for one in series) + sum(now - pending.start for pending in under_way)
    services = [us for us in map(service_us, links) if us]
    return Load(
        endpoint=endpoint.plan.name,
        revision=number,
        busy_us=max(0, answered_us - core.holding.held_us.get((name, number), 0)),
        arrived=sum(sum(one.statuses.values()) for one in series) + len(under_way) + waiting,
        waiting=waiting,
        in_flight=len(under_way),
        missed=revision.missed,
        service_us=round(sum(services) / len(services), 1) if services else 0.0,
        late=round(sum(slower(one.buckets, revision.plan.target_latency_s) for one in series), 1),
    )


def is_of(pending: Pending, endpoint: bytes, number: int) -> bool:
    """Whether a request is for a revision: copies of one bundle may be shared by several."""
    return pending.endpoint.name == endpoint and pending.revision is not None and pending.revision.plan.number == number


def service_us(link: Link) -> float:
    """The time between two answers; a first call of a model takes longer than the latest, and is not taken for it."""
    return min(link.pace.service_us, link.pace.predict_us or link.pace.service_us)
