"""Lookup: what is served, as facts that every protocol tells in its own words.

Data flow: the caller's key, a name, a version -> the live table -> an endpoint and a revision, an
index, counters. What a key may not see is refused, or left out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from inferry.errors import Forbidden, NotFound
from inferry.gateway.core import Core
from inferry.gateway.head import Head
from inferry.gateway.live import LiveEndpoint, LiveRevision
from inferry.gateway.peers import Peers
from inferry.gateway.refusals import no_endpoint, no_version
from inferry.gateway.statistics import statistics as told
from inferry.security.keys import may
from inferry.types.registry import Key

LABELS = ("latest", "stable")


def find(core: Core, key: Key, name: str, version: str) -> tuple[LiveEndpoint, LiveRevision]:
    """The endpoint of a name and its revision of a version. Raises Forbidden or NotFound."""
    if not may(key, "metadata", name):
        raise Forbidden("This key may not see this endpoint.", help="Ask for a key with a role for it.")
    endpoint = core.endpoints.get(name.encode("utf-8", "replace"))
    if endpoint is None:
        raise no_endpoint(name.encode("utf-8", "replace"))
    revision = endpoint.by_version.get(version.encode("utf-8", "replace")) if version else endpoint.default
    if revision is None:
        head = Head()
        head.version = version.encode("utf-8", "replace")
        raise no_version(endpoint, head)
    return endpoint, revision


def visible(core: Core, key: Key) -> list[LiveEndpoint]:
    """The endpoints that a key may know of."""
    return [endpoint for endpoint in core.endpoints.values() if may(key, "metadata", endpoint.plan.name)]


def is_ready(revision: LiveRevision) -> bool:
    """Whether it can answer: a replica is there, or the next request starts one."""
    if not revision.links:
        return revision.plan.sleeps
    return any(link.ready and not link.suspect for link in revision.links)


def versions(revisions: Iterable[LiveRevision]) -> list[tuple[int, bool]]:
    """Each version, the newest first, and whether a replica of it can answer now."""
    found: dict[int, bool] = {}
    for revision in revisions:
        found[revision.plan.version] = found.get(revision.plan.version, False) or is_ready(revision)
    return sorted(found.items(), reverse=True)


def check_label(label: str) -> None:
    """Refuse a version label that names nothing: the two there are name what is served."""
    if label not in LABELS:
        raise NotFound(
            f"Unrecognized servable version label: {ascii(label[:60])[1:-1]}.", help=f"Use {' or '.join(LABELS)}."
        )


def index(core: Core, key: Key) -> list[dict[str, str]]:
    """The Open Inference Protocol's repository index."""
    return [
        {
            "name": endpoint.plan.name,
            "version": str(revision.plan.version),
            "state": "READY" if is_ready(revision) else "UNAVAILABLE",
            "reason": "",
        }
        for endpoint in visible(core, key)
        for revision in endpoint.revisions
    ]


async def statistics(core: Core, peers: Peers, key: Key, name: str, version: str) -> dict[str, Any]:
    """The Open Inference Protocol's statistics of an endpoint, or of all when `name` is empty: of all gateways."""
    if not name:
        pairs = [(endpoint, revision) for endpoint in visible(core, key) for revision in endpoint.revisions]
    else:
        endpoint, found = find(core, key, name, version)
        pairs = [(endpoint, revision) for revision in ([found] if version else endpoint.revisions)]
    return told(pairs, await peers.counted(name))
