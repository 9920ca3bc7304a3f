"""Core: from a request's head and body to the replica that answers it, and back.

Data flow: submit -> key check -> `policy.route` over the live table -> a link, or held (`holding`)
until one is there -> on_reply -> metrics -> the connection that asked. The table is swapped in one
call; links whose replica is still listed are kept, the others finish what they have.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Callable, Iterable, Mapping

from inferry.errors import Forbidden, InferryError
from inferry.gateway.captures import Captures
from inferry.gateway.endings import Endings
from inferry.gateway.head import Head
from inferry.gateway.holding import Holding
from inferry.gateway.keys import key_of
from inferry.gateway.link import Link
from inferry.gateway.live import Asker, Body, LiveEndpoint, LiveRevision, Pending
from inferry.gateway.mirror import Mirror, Pair
from inferry.gateway.refusals import lost, no_endpoint, no_version, too_late
from inferry.gateway.segments import Lease
from inferry.gateway.series import DOOR_NAMES, DoorSeries, labels_of
from inferry.policy import admission, route
from inferry.security.keys import KeyRing, may
from inferry.telemetry.metrics import Metrics
from inferry.types import frames
from inferry.types.routing import EndpointRoute, RevisionRoute, RoutingTable, TableChange

log = logging.getLogger(__name__)

EAGER_US = 100
LONE = 8  # requests one after the other before the gateway takes it for a habit
MAX_TIMEOUT_S = 3600.0
MAX_MOVES = 3
MAX_RISKED = 2  # the same for requests that the model may have begun: those of other machines
TICK_S = 0.05
RECONNECT_S, MOST_RECONNECT_S = 0.02, 1.0


class Core:
    """The gateway's state: one table, the links, the held requests. `tls`: of links to other machines."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        make_ring: Callable[[RoutingTable], KeyRing],
        metrics: Metrics,
        on_stuck: Callable[[str], None],
        tls: Callable[[], ssl.SSLContext] | None = None,
    ) -> None:
        self.loop = loop
        self.metrics = metrics
        self.table = RoutingTable()
        self.endpoints: dict[bytes, LiveEndpoint] = {}
        self.news: set[bytes] = set()  # endpoints whose plan changed since their loads were told
        self.lone = b""  # the only endpoint's name, when there is only one: whom a request means that names none
        self.links: dict[str, Link] = {}
        self.leaving: set[Link] = set()
        self.inflight = 0
        self.bytes = 0
        self.moved = 0  # requests that were sent to another replica because theirs was gone
        self._make_ring = make_ring
        self._on_stuck = on_stuck
        self._tls = tls
        self.ring = make_ring(self.table)
        self._ticking = False
        self._counter = 0
        self._turn = 0
        self._lone = 0
        self._cores = len(os.sched_getaffinity(0))
        self._tasks: set[asyncio.Task[None]] = set()
        self.mirror = Mirror(self)
        self.holding = Holding(self)
        self.endings = Endings(self)
        self.captures: Captures | None = None

    # the table

    def apply(self, table: RoutingTable) -> None:
        """Swap in a new table. What it has of the one before, as the very same object, stays as it is."""
        if table.keys is not self.table.keys:
            self.ring = self._make_ring(table)
        plans = {name: plan for name, plan in table.endpoints.items() if self.table.endpoints.get(name) is not plan}
        gone = [name for name in self.table.endpoints if name not in table.endpoints]
        self.table = table
        self._exchange(plans, gone)

    def change(self, change: TableChange) -> bool:
        """Swap in what differs from the table that is there; False when it was made against another one."""
        if (change.epoch, change.base) != (self.table.epoch, self.table.generation):
            return False
        endpoints = self.table.endpoints
        endpoints.update(change.endpoints)
        gone = [name for name in change.gone if endpoints.pop(name, None) is not None]
        keys = self.table.keys if change.keys is None else change.keys
        self.table = RoutingTable(generation=change.generation, epoch=change.epoch, endpoints=endpoints, keys=keys)
        if change.keys is not None:
            self.ring = self._make_ring(self.table)
        self._exchange(change.endpoints, gone)
        return True

    def _exchange(self, plans: Mapping[str, EndpointRoute], gone: Iterable[str]) -> None:
        """Serve these endpoints by these plans, and others no more: in time proportional to their number."""
        left: set[str] = set()
        for name, plan in plans.items():
            known = self.endpoints.get(name.encode())
            wanted = {replica.id: replica.socket for revision in plan.revisions for replica in revision.replicas}
            left |= replicas_of(known) - wanted.keys()
            for replica, path in wanted.items():
                if replica not in self.links:
                    self._open(replica, path)
            revisions = [self._live(plan, revision, known) for revision in plan.revisions]
            self.endpoints[name.encode()] = LiveEndpoint(plan, revisions, known.held if known else None)
            self.news.add(name.encode())
        orphans = [self.endpoints.pop(name.encode()) for name in gone]
        for endpoint in orphans:
            self.news.add(endpoint.name)
            left |= replicas_of(endpoint)
        self.lone = next(iter(self.endpoints)) if len(self.endpoints) == 1 else b""
        self.mirror.keep(self.endpoints)
        for replica in left & self.links.keys():
            link = self.links.pop(replica)
            if link.inflight:  # else nothing would ever look at it again
                self.leaving.add(link)
            link.retire()
        for endpoint in orphans:
            self.holding.orphan(endpoint)
        self.holding.flush()

    def _live(self, endpoint: EndpointRoute, plan: RevisionRoute, known: LiveEndpoint | None) -> LiveRevision:
        labels = labels_of(endpoint, plan)
        before = known.by_number.get(plan.number) if known else None
        series = before.series if before and before.series.labels == labels else DoorSeries(self.metrics, labels)
        return LiveRevision(endpoint.name.encode(), plan, [self.links[replica.id] for replica in plan.replicas], series)

    def _open(self, replica: str, path: str) -> None:
        link = self.links[replica] = Link(self, replica, path, self._tls)
        task = self.loop.create_task(self._connect(link))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, link: Link) -> None:
        """Until it works, or the table no longer lists the replica."""
        pause = RECONNECT_S
        while self.links.get(link.replica) is link and not link.ready:
            try:
                await link.connect(self.loop)
            except OSError as error:
                if link.host:
                    if isinstance(error, ssl.SSLError):
                        log.warning("replica %s at %s: %s", link.replica, link.path, error)
                    pause = min(MOST_RECONNECT_S, pause * 2)
                await asyncio.sleep(pause)
        self.on_recovered()

    # requests

    def admit(self, head: Head) -> None:
        """Check the key: before a body is waited for, and again when the request is whole. Raises and counts.

        A head that comes again is the same head, so its key need not be looked at twice by the same ring.
        """
        if head.ring is self.ring and (not head.expires or time.time() < head.expires):
            return
        name = head.endpoint or self.lone
        try:
            key = self.ring.check(head.authorization, time.time())
            if head.door in frames.OPENAI and not head.endpoint:
                return  # the body will tell for what, and then the head is looked at again
            if not may(key, "predict", name.decode("latin-1")):
                raise Forbidden(
                    "This key may not call this endpoint.", help="Ask for a key with the role invoker for it."
                )
            head.ring, head.expires = self.ring, key.expires
        except InferryError as error:
            self._count(self.endpoints.get(name), head, error.status)
            raise

    def receive(self, head: Head) -> bytearray | Lease:
        """Where to receive the body of an admitted request: a replica's shared memory when one can take it now.

        Raises Overloaded before any of it is read when it could not be answered in time.
        """
        if head.door in frames.OPENAI:
            return bytearray(head.length)
        endpoint = self.endpoints.get(head.endpoint or self.lone)
        if endpoint is None or endpoint.key_field:  # the body itself will say for which replica it is
            return bytearray(head.length)
        revision = self.revision_for(endpoint, head, b"")
        if revision is not None:
            timeout_us = self._timeout_us(head, revision)
            try:
                link = self._choose(revision, head.length, timeout_us)
            except InferryError as error:
                self._count(endpoint, head, error.status)
                raise
            lease = link.pool.take(head.length, head.json_size) if link is not None else None
            if lease is not None:
                return lease
        return bytearray(head.length)

    def submit(self, asker: Asker, head: Head, body: Body) -> Pending | None:
        """Take a request; its answer comes through the asker, perhaps before this returns."""
        now = time.monotonic_ns() // 1000
        endpoint = self.endpoints.get(head.endpoint or self.lone)
        try:
            self.admit(head)
        except InferryError as error:
            asker.refuse(head, error)
            return None
        try:
            if endpoint is None:
                raise no_endpoint(head.endpoint)
            revision = self.revision_for(endpoint, head, body)
            if revision is None:
                raise no_version(endpoint, head)
            timeout_us = self._timeout_us(head, revision)
            link = self._choose(revision, len(body), timeout_us)
        except InferryError as error:
            self._count(endpoint, head, error.status)
            asker.refuse(head, error)
            return None
        pending = Pending(asker, head, body, len(body), endpoint, now, now + timeout_us, revision)
        self.inflight += 1
        self.bytes += pending.size
        if link is not None:
            link.send(pending)
            self._lone = self._lone + 1 if self.inflight == 1 else 0
            if self._lone > LONE and link.pace.predict_us < EAGER_US and self._cores > 1:
                self._look_again(link, pending.id, now)
        else:
            self.holding.hold(pending)
        if endpoint.shadow is not None:
            self.mirror.copy(pending)
        if not self._ticking:
            self._ticking = True
            self.loop.call_later(TICK_S, self._tick)
        return pending

    def send_copy(self, copy: Pending, link: Link) -> None:
        """Send a copy of a request; it has a deadline like all others."""
        self.inflight += 1
        self.bytes += copy.size
        link.send(copy)

    def _look_again(self, link: Link, number: int, since: int) -> None:
        """Keep the loop from going to sleep while a lone request is at a quick model.

        Waking up would take longer than the answer does. Whoever else wants this core goes first.
        """
        if self.inflight == 1 and number in link.inflight and time.monotonic_ns() // 1000 - since < EAGER_US:
            os.sched_yield()
            self.loop.call_soon(self._look_again, link, number, since)

    def _timeout_us(self, head: Head, revision: LiveRevision) -> int:
        return int(min(head.timeout, MAX_TIMEOUT_S) * 1e6) if head.timeout else revision.timeout_us

    def _choose(self, revision: LiveRevision, size: int, timeout_us: int) -> Link | None:
        """The link for a new request, None to hold it. Raises Overloaded when it would wait for nothing."""
        admission.admit(self.inflight, self.bytes, size)
        link = self.free_link(revision)
        if link is not None:
            link.admit(timeout_us)
        return link

    def revision_for(self, endpoint: LiveEndpoint, head: Head, body: Body) -> LiveRevision | None:
        """The revision for a request: the one it names, or the owner of its key. None when it names one that is not
        there."""
        if head.version or head.revision:
            return endpoint.named(head.version, head.revision)
        if endpoint.sole is not None:
            return endpoint.sole
        if isinstance(body, Lease):  # chosen before the body came: it lies in a replica's memory
            for revision in endpoint.revisions:
                if any(link.pool is body.pool for link in revision.links):
                    return revision
        key = key_of(endpoint, head, body)
        if not key:
            self._counter += 1
            key = self._counter.to_bytes(8, "little")
        return endpoint.owner(key)

    def free_link(self, revision: LiveRevision) -> Link | None:
        """The ready link with the fewest requests under way."""
        links = revision.links
        if len(links) == 1:
            link = links[0]
            return link if link.ready and not link.suspect else None
        usable = [link for link in links if link.ready]
        self._turn += 1
        loads, suspect = [len(link.inflight) for link in usable], [link.suspect for link in usable]
        place = route.choose_replica(loads, suspect, self._turn)
        return None if place is None else usable[place]

    def cancel(self, pending: Pending) -> None:
        """The asker is gone."""
        pending.copy = None
        if pending.link is not None:
            if pending.link.inflight.get(pending.id) is pending:
                pending.link.cancel(pending)
                self._leave(pending)
            elif self.endings.drop(pending):
                self._leave(pending)
        elif self.holding.drop(pending):
            self._leave(pending)

    def _leave(self, pending: Pending) -> None:
        self.inflight -= 1
        self.bytes -= pending.size

    def trim(self) -> None:
        """Let go of shared memory that lay idle since the last call."""
        for link in self.links.values():
            link.trim()

    # answers

    def on_reply(self, pending: Pending, reply: frames.Reply) -> None:
        """Count and deliver."""
        self.inflight -= 1
        self.bytes -= pending.size
        revision = pending.revision
        assert revision is not None
        if len(reply.body) >= frames.BIG and type(reply.body) is bytes:
            revision.answer_size = max(revision.answer_size, len(reply.body))
        series = revision.series[pending.head.door]
        spent = time.monotonic_ns() // 1000 - pending.start
        series.observe(reply.status, spent, reply.queue_us, reply.predict_us, reply.batch, reply.rows)
        if reply.tokens != frames.NO_TOKENS:
            series.count_tokens(*reply.tokens)
        if pending.copy is not None:
            pending.copy.primary(reply.status, reply, spent)
        name = pending.asker.answer(pending.head, revision, reply)
        if name is not None and self.captures is not None:
            self.captures.take(pending, reply, name)

    def on_part(self, pending: Pending, reply: frames.Reply) -> None:
        """Deliver one part; the answer is counted when it ends, and the next part has as long as the first had."""
        assert pending.revision is not None
        now = time.monotonic_ns() // 1000
        if not pending.heard:
            pending.heard = True
            pending.revision.series[pending.head.door].observe_first(now - pending.start)
        pending.deadline = now + self._timeout_us(pending.head, pending.revision)
        pending.asker.part(pending.head, pending.revision, reply)

    def on_lost(self, link: Link, untouched: list[Pending], begun: list[Pending]) -> None:
        """A replica is gone: what may go elsewhere does, the rest fails. Others of its machine are doubted first."""
        for other in self.links.values() if link.host else ():
            if other is not link and other.host == link.host:
                other.doubt()
        if self.links.get(link.replica) is link:
            self._open(link.replica, link.path)
            fresh = self.links[link.replica]
            for endpoint in self.endpoints.values():
                for revision in endpoint.revisions:
                    if link in revision.links:
                        revision.links = [fresh if old is link else old for old in revision.links]
        self.endings.fail(link.replica, begun)
        for pending in untouched:
            if isinstance(pending.asker, Pair):  # a copy is for this revision only
                self.finish(pending, lost(message="The shadow's replica died."))
                continue
            pending.moves += 1
            self.moved += 1
            # It may be what kills them: one request must not end all replicas.
            if pending.moves > (MAX_RISKED if link.host else MAX_MOVES):
                self.finish(pending, lost(message="Every replica that was given this request died."))
                continue
            known = self.endpoints.get(pending.endpoint.name)
            if known is None:
                self.finish(pending, no_endpoint(pending.endpoint.name))
                continue
            pending.endpoint = known
            self.holding.again(pending)
        self.on_recovered()

    def on_recovered(self) -> None:
        """A replica can take requests: send what is held."""
        self.holding.flush()

    def finish(self, pending: Pending, error: InferryError) -> None:
        """End a request with an error of the gateway's own."""
        self._leave(pending)
        self._count(pending.endpoint, pending.head, error.status, pending.revision)
        if pending.copy is not None:
            pending.copy.primary(error.status, None, 0)
        pending.asker.refuse(pending.head, error)

    def _count(
        self, endpoint: LiveEndpoint | None, head: Head, status: int, revision: LiveRevision | None = None
    ) -> None:
        if revision is None and endpoint is not None:
            revision = endpoint.default
        if revision is not None:
            series = revision.series[head.door]
        else:
            series = self.metrics.get((("endpoint", ""), ("door", DOOR_NAMES[head.door])))
        series.statuses[status] = series.statuses.get(status, 0) + 1

    def _tick(self) -> None:
        """Refuse what is past its deadline. Runs only while something is under way."""
        now = time.monotonic_ns() // 1000
        self.leaving = {link for link in self.leaving if link.inflight}
        for link in (*self.links.values(), *self.leaving):
            late = [pending for pending in link.inflight.values() if pending.deadline <= now]
            if late and not link.accused and silent(link, late[0], now):
                link.suspect = link.accused = True
                self._on_stuck(link.replica)
            for pending in late:
                link.forget(pending)
                self.finish(pending, too_late(pending))
        self.holding.expire(now)
        self._ticking = self.inflight > 0
        if self._ticking:
            self.loop.call_later(TICK_S, self._tick)


def silent(link: Link, late: Pending, now: int) -> bool:
    """Whether a replica has said nothing for its revision's own timeout: a client that allows less is no proof."""
    assert late.revision is not None
    return link.silent_since > 0 and now - link.silent_since >= late.revision.plan.timeout_s * 1e6


def replicas_of(endpoint: LiveEndpoint | None) -> set[str]:
    """The replicas of an endpoint."""
    revisions = endpoint.plan.revisions if endpoint is not None else ()
    return {replica.id for revision in revisions for replica in revision.replicas}
