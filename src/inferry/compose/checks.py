"""The doctor's checks, bound to this platform's parts."""

from __future__ import annotations

import shutil
import stat
from pathlib import Path

from inferry.bundles.pack import verify
from inferry.compose.settings import Layout
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
) -> dict[str, Check]:
    """Name -> check."""
    return {
        "database": lambda: database(store),
        "bundles": lambda: bundles(store, blobs),
        "staging": lambda: staging(layout),
        "files": lambda: files(layout),
        "disk": lambda: disk(layout.home),
        "gateway": lambda: gateway(publisher),
        "replicas": lambda: replicas(fleet, reconciler),
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


def bundles(store: MetadataStore, blobs: BlobStore) -> list[Finding]:
    """Every pinned bundle is there and whole; nothing else is kept."""
    pinned, kept = store.bundles(), blobs.digests()
    findings = [
        Finding("fail", f"The bundle {digest[:12]} is missing.", "Deploy it again.") for digest in pinned - kept
    ]
    for digest in pinned & kept:
        try:
            verify(blobs.path(digest), digest)
        except InferryError as error:
            findings.append(Finding("fail", error.message, "Deploy it again."))
    findings += [
        Finding("warn", f"The bundle {digest[:12]} belongs to no version.", "It goes with the next start.")
        for digest in kept - pinned
    ]
    return findings or [Finding("ok", f"{len(pinned)} verified")]


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
    """Control and gateway are connected."""
    if publisher.connected:
        return [Finding("ok", "connected")]
    return [Finding("fail", "Control cannot reach the gateway.", "See logs/gateway.log.")]


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


def sandbox() -> list[Finding]:
    """What the host allows."""
    return [Finding("ok" if feature.available else "warn", f"{feature.name}: {feature.detail}") for feature in probe()]
