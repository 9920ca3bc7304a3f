"""Mirror: copies of requests at a shadow revision, whose answers are compared and thrown away.

Data flow: a request under way -> its copy -> the shadow's link; both answers -> Pair -> `policy.compare`
-> the report of the two revisions. A copy never delays or fails its original: it is only sent to a replica
with little to do, and dropped (and counted) otherwise.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from inferry.errors import InferryError
from inferry.gateway.head import Head
from inferry.gateway.live import LiveEndpoint, LiveRevision, Pending
from inferry.gateway.segments import Lease
from inferry.policy import compare
from inferry.types import frames
from inferry.types.traffic import MirrorReport

if TYPE_CHECKING:
    from inferry.gateway.core import Core

MAX_COPIES = 64
MAX_QUEUE = 8  # of one shadow replica
MAX_BODY = 1 << 20
MAX_COMPARED = 256 << 10  # JSON answers up to this size are compared by field, larger ones as bytes

Names = tuple[str, int, int]
"""An endpoint, its revision that answers, its shadow."""


class Pair:
    """One request's two answers."""

    __slots__ = ("_mirror", "_names", "_primary", "_shadow", "_start")

    def __init__(self, mirror: Mirror, names: Names) -> None:
        self._mirror = mirror
        self._names = names
        self._primary: tuple[int, frames.Reply | None, int] | None = None
        self._shadow: tuple[int, frames.Reply | None, int] | None = None
        self._start = time.monotonic_ns() // 1000

    def primary(self, status: int, reply: frames.Reply | None, spent_us: int) -> None:
        """What the client gets."""
        self._primary = status, _kept(reply), spent_us
        self._meet()

    # core.Asker: the copy's own answer

    def answer(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> bytes | None:  # noqa: ARG002
        """The shadow's reply."""
        self._shadow = reply.status, _kept(reply), time.monotonic_ns() // 1000 - self._start
        self._over()
        return None

    def part(self, head: Head, revision: LiveRevision, reply: frames.Reply) -> None:
        """Never: no copy asks for parts."""

    def refuse(self, head: Head, error: InferryError) -> None:  # noqa: ARG002
        """The shadow did not answer."""
        self._shadow = error.status, None, 0
        self._over()

    def _over(self) -> None:
        self._mirror.copies -= 1
        self._meet()

    def _meet(self) -> None:
        if self._primary is not None and self._shadow is not None:
            self._mirror.compare(self._names, self._primary, self._shadow)


class Mirror:
    """The copies under way, and the reports. `copies`: how many wait for their answer."""

    def __init__(self, core: Core) -> None:
        self.copies = 0
        self.reports: dict[Names, MirrorReport] = {}
        self._core = core

    def keep(self, endpoints: Mapping[bytes, LiveEndpoint]) -> None:
        """Forget reports of what is not mirrored any more."""
        for names in list(self.reports):
            endpoint = endpoints.get(names[0].encode())
            shadow = endpoint.shadow.plan.number if endpoint is not None and endpoint.shadow is not None else 0
            if endpoint is None or names[1] not in endpoint.by_number or names[2] != shadow:
                del self.reports[names]

    def report(self, endpoint: str, shadow: int) -> MirrorReport | None:
        """All that was compared with a shadow, whichever revision answered."""
        found = [report for names, report in self.reports.items() if (names[0], names[2]) == (endpoint, shadow)]
        if not found:
            return None
        total = MirrorReport()
        for report in found:
            for name in ("compared", "equal", "failed", "recovered", "dropped", "primary_us", "shadow_us"):
                setattr(total, name, getattr(total, name) + getattr(report, name))
            compare.add(total.fields, report.fields)
        return total

    def copy(self, original: Pending) -> None:
        """Send a copy of a request, unless it is not its turn or there is too much to do."""
        endpoint, revision = original.endpoint, original.revision
        shadow, plan = endpoint.shadow, endpoint.plan.split.mirror
        if shadow is None or plan is None or revision is None or shadow is revision:
            return
        if original.head.flags & frames.FLAG_STREAM or random.random() * 100 >= plan.percent:  # noqa: S311
            return
        names = endpoint.plan.name, revision.plan.number, shadow.plan.number
        link = self._core.free_link(shadow)
        if link is None:
            shadow.missed += 1
            self._core.news.add(endpoint.name)
            self._core.holding.rouse(endpoint, shadow)
        full = self.copies >= MAX_COPIES or original.size > MAX_BODY
        if full or link is None or len(link.inflight) >= MAX_QUEUE:
            self.reports.setdefault(names, MirrorReport()).dropped += 1
            return
        body = bytes(original.body.body()) if isinstance(original.body, Lease) else original.body
        pair = Pair(self, names)
        twin = Pending(pair, original.head, body, len(body), endpoint, original.start, original.deadline, shadow)
        original.copy = pair
        self.copies += 1
        self._core.send_copy(twin, link)

    def compare(
        self,
        names: Names,
        primary: tuple[int, frames.Reply | None, int],
        shadow: tuple[int, frames.Reply | None, int],
    ) -> None:
        """Note what became of a pair."""
        report = self.reports.setdefault(names, MirrorReport())
        good = primary[0] == 200, shadow[0] == 200
        if not all(good):
            report.failed += good[0]
            report.recovered += good[1]
            return
        if primary[1] is None or shadow[1] is None:
            report.dropped += 1
            return
        differences = _differences(primary[1], shadow[1])
        report.compared += 1
        report.equal += compare.agree(differences)
        report.primary_us += primary[2]
        report.shadow_us += shadow[2]
        compare.add(report.fields, differences)


def _kept(reply: frames.Reply | None) -> frames.Reply | None:
    """A reply whose body stays, None for one that is too large."""
    if reply is None or len(reply.body) > MAX_BODY:
        return None
    return msgspec.structs.replace(reply, body=bytes(reply.body))


def _differences(one: frames.Reply, other: frames.Reply) -> compare.Differences:
    """By field where both are JSON, else as a whole."""
    both_json = one.content == other.content == frames.CONTENT_JSON and not (one.json_size or other.json_size)
    if both_json and max(len(one.body), len(other.body)) <= MAX_COMPARED:
        with contextlib.suppress(ValueError, RecursionError):  # a model's own process says what it likes
            return compare.compare(msgspec.json.decode(one.body), msgspec.json.decode(other.body))
    return compare.compare({"(bytes)": bytes(one.body)}, {"(bytes)": bytes(other.body)})
