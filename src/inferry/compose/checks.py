"""The doctor's checks, bound to this platform's parts."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from inferry.backends.cgroups import Cgroups
from inferry.bundles.pack import verify
from inferry.compose.blobs import keeps
from inferry.compose.settings import Layout, gateway_name
from inferry.control.doctor import Check, Finding
from inferry.control.fleet import Fleet
from inferry.control.publisher import Publisher
from inferry.control.reconciler import Reconciler
from inferry.errors import InferryError
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.store import MetadataStore
from inferry.security.sandbox import probe
from inferry.storage.metadata import SqlStore

LOW_DISK = 1 << 30


def make_checks(
    layout: Layout,
    store: SqlStore,
    blobs: BlobStore,
    fleet: Fleet,
    reconciler: Reconciler,
    publisher: Publisher,
    leader: Callable[[], dict[str, Any]] | None,
    standbys: int,
    cgroups: Cgroups,
) -> dict[str, Check]:
    """Name -> check."""
    far = keeps(blobs)
    leading = {} if leader is None else {"leader": lambda: leads(leader(), standbys)}
    return {
        "database": lambda: database(store),
        **leading,
        "bundles": lambda: bundles(store, blobs),
        **({"object storage": lambda: [Finding("ok", far.probe())]} if far is not None else {}),
        "staging": lambda: staging(layout),
        "files": lambda: files(layout),
        "disk": lambda: disk(layout.home),
        "gateway": lambda: gateway(publisher),
        "replicas": lambda: replicas(fleet, reconciler),
        "limits": lambda: limits(cgroups),
        "sandbox": sandbox,
    }


def database(store: SqlStore) -> list[Finding]:
    """It answers and takes changes; references and integrity."""
    place = store.place()
    store.probe()
    found = store.check()
    return [Finding("fail", problem, "Restore the database from a backup.") for problem in found] or [
        Finding("ok", f"{place}, consistent")
    ]


def leads(told: dict[str, Any], wanted: int) -> list[Finding]:
    """Who leads, and whether those that should wait to take over do."""
    since = datetime.fromtimestamp(told["since"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    found = Finding("ok", f"{told['name']}, in epoch {told['epoch']} since {since}")
    if told["standbys"] is None:
        return [found, Finding("warn", "The database does not say who waits to lead.")]
    if len(told["standbys"]) < wanted:
        detail = f"{len(told['standbys'])} of {wanted} standbys wait."
        return [found, Finding("warn", detail, "One may be starting; else see logs/control*.log.")]
    return [found, *([Finding("ok", f"{len(told['standbys'])} more wait to lead")] if wanted else [])]


def bundles(store: MetadataStore, blobs: BlobStore) -> list[Finding]:
    """Every pinned bundle is there and whole; nothing else is kept."""
    pinned, kept = store.bundles(), blobs.digests()
    findings = [
        Finding("fail", f"The bundle {digest[:12]} is missing.", "Deploy it again.") for digest in pinned - kept
    ]
    here = [(digest, path) for digest in pinned & kept if (path := blobs.find(digest)) is not None]
    for digest, path in here:
        try:
            verify(path, digest)
        except InferryError as error:
            findings.append(Finding("fail", error.message, "Deploy it again."))
    findings += [
        Finding("warn", f"The bundle {digest[:12]} belongs to no version.", "It goes with the next start.")
        for digest in kept - pinned
    ]
    elsewhere = f", {len(pinned) - len(here)} more in object storage" if len(pinned) > len(here) else ""
    return findings or [Finding("ok", f"{len(here)} verified{elsewhere}")]


def staging(layout: Layout) -> list[Finding]:
    """Uploads under way."""
    count = sum(1 for _ in layout.staging.iterdir())
    return [Finding("ok", f"{count} deploys under way")]


def files(layout: Layout) -> list[Finding]:
    """Nobody else may read what is ours."""
    paths = [layout.home, layout.database, layout.admin_key, layout.pepper, layout.addresses, layout.run]
    loose = [path for path in paths if path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077]
    return [Finding("fail", f"Others can read {path.name}.", f"chmod go-rwx {path}") for path in loose] or [
        Finding("ok", "private to their owner")
    ]


def disk(home: Path) -> list[Finding]:
    """Free space."""
    free = shutil.disk_usage(home).free
    if free < LOW_DISK:
        return [Finding("warn", f"{free >> 20} MB are free.", "Free some space: deploys need it.")]
    return [Finding("ok", f"{free >> 30} GB free")]


def gateway(publisher: Publisher) -> list[Finding]:
    """Control and the gateways are connected."""
    found = [
        Finding("fail", f"Control cannot reach the {gateway_name(number)}.", f"See logs/{gateway_name(number)}.log.")
        for number in publisher.missing
    ]
    return found or [Finding("ok", "connected")]


def replicas(fleet: Fleet, reconciler: Reconciler) -> list[Finding]:
    """Every endpoint has what it wants."""
    findings = []
    for live in reconciler.desired.live:
        ready, wanted = len(fleet.of(live.group)), reconciler.scaler.count(live.revision)
        if ready < wanted:
            why, name = fleet.problems.get(live.group), live.endpoint.name
            detail = f"{name}: {ready} of {wanted} replicas ({why or 'starting'})"
            findings.append(Finding("fail" if why else "warn", detail, f"inferry logs {name}"))
    return findings or [Finding("ok", f"{len(reconciler.desired.live)} endpoints have all theirs")]


def limits(cgroups: Cgroups) -> list[Finding]:
    """What the kernel limits for each replica."""
    if cgroups.works:
        return [Finding("ok", f"by cgroups, {cgroups.note}")]
    return [Finding("ok", f"by the limits of processes alone: {cgroups.note}")]


def sandbox() -> list[Finding]:
    """What the host allows."""
    return [Finding("ok" if feature.available else "warn", f"{feature.name}: {feature.detail}") for feature in probe()]
