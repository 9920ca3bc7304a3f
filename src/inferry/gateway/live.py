"""The moving parts of the gateway: requests under way, and revisions with the links to their replicas.

Data flow: a request's head and Body -> Pending -> held by its endpoint, or by the link it was sent
over -> the Asker's answer.
"""

from __future__ import annotations

import copy
from collections import deque
from typing import TYPE_CHECKING, Protocol

import msgspec

from inferry.errors import InferryError
from inferry.gateway.head import Head
from inferry.gateway.segments import Lease
from inferry.gateway.series import DoorSeries
from inferry.policy import route
from inferry.types import frames
from inferry.types.routing import EndpointRoute, RevisionRoute

if TYPE_CHECKING:
    from inferry.gateway.link import Link
    from inferry.gateway.mirror import Pair

Body = bytes | bytearray | Lease
"""A request's body: bytes, or where it lies in a replica's shared memory."""


class Asker(Protocol):
    """Who waits for an answer: an HTTP connection, or the ASGI app."""

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> bytes | None:
        """Deliver a replica's reply. Returns the name by which the client knows its request (empty when it was told
        none), None for an answer that is not to be kept."""
        ...

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Deliver a part of an answer that goes on. Only for a head with FLAG_STREAM; `answer` ends it."""
        ...

    def refuse(self, head: Head, error: InferryError) -> None:
        """Deliver an error of the gateway's own, also behind parts."""
        ...


class Pending(msgspec.Struct, eq=False):
    """One request under way. Times are CLOCK_MONOTONIC microseconds. `size`: of its body. `heard`: whether a part of
    its answer came. `copy`: the same request at a shadow revision."""

    asker: Asker
    head: Head
    body: Body
    size: int
    endpoint: LiveEndpoint
    start: int
    deadline: int
    revision: LiveRevision | None = None
    id: int = 0
    moves: int = 0
    streaming: bool = False
    heard: bool = False
    link: Link | None = None
    copy: Pair | None = None


class LiveRevision:
    """A revision with its links, its constant response headers and its metrics.

    `answer_size`: bytes of its largest answer of late that came over the socket although it was large. `missed`:
    copies of requests since the last report that found no replica. `cold_ms`: for how long a request waited for this
    to start.
    """

    def __init__(self, endpoint: bytes, plan: RevisionRoute, links: list[Link], series: DoorSeries) -> None:
        self.plan = plan
        self.links = links
        self.series = series
        self.answer_size = 0
        self.missed = 0
        self.cold_ms = 0
        self.timeout_us = int(plan.timeout_s * 1e6)
        self.version = str(plan.version).encode()
        self.target = bytes((len(endpoint), len(self.version))) + endpoint + self.version
        self.headers = b"inferry-version: %d\r\ninferry-revision: %d\r\n" % (plan.version, plan.number)

    def after(self, waited_us: int) -> LiveRevision:
        """The same for a request that waited so long for it to start, which is told with the answer."""
        told = copy.copy(self)
        told.cold_ms = max(1, round(waited_us / 1000))
        told.headers = b"%bx-inferry-cold-start: %d\r\n" % (self.headers, told.cold_ms)
        return told


class LiveEndpoint:
    """An endpoint with its live revisions and the requests held until a replica is there.

    `sole`: the only revision, when a request has no choice. `key_header`, `key_field`: where a request's key is.
    """

    def __init__(self, plan: EndpointRoute, revisions: list[LiveRevision], held: deque[Pending] | None = None) -> None:
        self.plan = plan
        self.name = plan.name.encode()
        self.revisions = revisions
        self.held: deque[Pending] = deque() if held is None else held
        self.by_version = {revision.version: revision for revision in revisions}
        self.by_number = {revision.plan.number: revision for revision in revisions}
        split = plan.split
        self.owners = route.Owners(split.places) if split.places else None
        self.pins = {key.encode(): number for key, number in split.pins.items() if number in self.by_number}
        place, _, name = split.key.partition(":")
        self.key_header = name.lower().encode() if place == "header" else b""
        self.key_field = name if place == "body" else ""
        self.shadow = self.by_number.get(split.mirror.revision) if split.mirror is not None else None
        self.default = max(revisions, key=lambda revision: revision.plan.weight) if revisions else None
        alone = sum(revision.plan.weight > 0 for revision in revisions) == 1
        self.sole = self.default if alone and not self.pins else None

    def named(self, version: bytes, number: bytes) -> LiveRevision | None:
        """The revision of a version or of a revision's own number, None when it does not run."""
        if number:
            found = self.by_number.get(int(number)) if number.isdigit() else None
            return found if found is None or not version or found.version == version else None
        return self.by_version.get(version)

    def owner(self, key: bytes) -> LiveRevision | None:
        """The revision that answers a key."""
        pinned = self.pins.get(key)
        if pinned is not None:
            return self.by_number[pinned]
        if self.owners is None:
            return self.default
        return self.by_number.get(self.owners.of(route.bucket(self.name, key)))
