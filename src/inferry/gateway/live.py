"""The moving parts of the gateway: requests under way, and revisions with the links to their replicas.

Data flow: a request's head and Body -> Pending -> held by its endpoint, or by the link it was sent
over -> the Asker's answer.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Protocol

from inferry.errors import InferryError
from inferry.gateway.head import Head
from inferry.gateway.segments import Lease
from inferry.policy import route
from inferry.telemetry.metrics import Series
from inferry.types import frames
from inferry.types.routing import EndpointRoute, RevisionRoute

if TYPE_CHECKING:
    from inferry.gateway.link import Link

Body = bytes | bytearray | Lease
"""A request's body: bytes, or where it lies in a replica's shared memory."""


class Asker(Protocol):
    """Who waits for an answer: an HTTP connection, or the ASGI app."""

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Deliver a replica's reply."""
        ...

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Deliver a part of an answer that goes on. Only for a head with FLAG_STREAM; `answer` ends it."""
        ...

    def refuse(self, head: Head, error: InferryError) -> None:
        """Deliver an error of the gateway's own, also behind parts."""
        ...


class Pending:
    """One request under way. Times are CLOCK_MONOTONIC microseconds."""

    __slots__ = (
        "asker", "body", "deadline", "endpoint", "head", "id", "link",
        "moves", "revision", "size", "start", "streaming",
    )  # fmt: skip

    def __init__(self, asker: Asker, head: Head, body: Body, endpoint: LiveEndpoint, start: int, deadline: int) -> None:
        self.asker = asker
        self.head = head
        self.body = body
        self.size = len(body)
        self.endpoint = endpoint
        self.start = start
        self.deadline = deadline
        self.id = 0
        self.moves = 0
        self.streaming = False
        self.link: Link | None = None
        self.revision: LiveRevision | None = None


class LiveRevision:
    """A revision with its links, its constant response headers and its metrics.

    `answer_size`: bytes of its largest answer of late that came over the socket although it was large.
    """

    def __init__(self, endpoint: bytes, plan: RevisionRoute, links: list[Link], series: dict[int, Series]) -> None:
        self.plan = plan
        self.links = links
        self.series = series
        self.answer_size = 0
        self.timeout_us = int(plan.timeout_s * 1e6)
        self.version = str(plan.version).encode()
        self.target = bytes((len(endpoint), len(self.version))) + endpoint + self.version
        self.headers = b"inferry-version: %d\r\ninferry-revision: %d\r\n" % (plan.version, plan.number)


class LiveEndpoint:
    """An endpoint with its live revisions and the requests held until a replica is there."""

    def __init__(self, plan: EndpointRoute, revisions: list[LiveRevision], held: deque[Pending]) -> None:
        self.plan = plan
        self.name = plan.name.encode()
        self.revisions = revisions
        self.weights = [revision.plan.weight for revision in revisions]
        self.held = held
        self.by_version = {revision.version: revision for revision in revisions}

    def choose(self, version: bytes, place: int) -> LiveRevision | None:
        """The revision for a request: the version asked for, or the owner of `place`."""
        if version:
            return self.by_version.get(version)
        if len(self.revisions) == 1:
            return self.revisions[0]
        return self.revisions[route.choose_revision(self.weights, place)]
