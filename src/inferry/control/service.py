"""Service: what the control API can ask, in terms of the rooms below.

Each endpoint has a lock: deploy, rollback, scale and delete of one endpoint happen one after
the other, those of different endpoints side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inferry.control import snippets
from inferry.control.deploy import Deployer, Upload, previous
from inferry.control.fleet import Fleet
from inferry.control.operations import Operation, Operations
from inferry.control.reconciler import Reconciler, group_of
from inferry.errors import InvalidInput
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.store import MetadataStore
from inferry.security.keys import mint
from inferry.types.names import check_name
from inferry.types.registry import Endpoint, Key, Revision, Version

ROLES = ("admin", "viewer", "invoker")
MAX_REPLICAS = 256
LOG_TAIL = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Site:
    """Where this platform is: addresses and folders."""

    http: str
    key_file: Path
    logs: Path
    staging: Path
    version: str


class Service:
    """The platform's verbs."""

    def __init__(
        self,
        site: Site,
        store: MetadataStore,
        blobs: BlobStore,
        fleet: Fleet,
        reconciler: Reconciler,
        deployer: Deployer,
        pepper: bytes,
    ) -> None:
        self.site = site
        self.store = store
        self.blobs = blobs
        self.fleet = fleet
        self.reconciler = reconciler
        self.deployer = deployer
        self.operations = Operations()
        self._pepper = pepper
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    # deploy, roll back, scale

    def deploy(self, upload: Upload) -> Operation:
        """Begin a deploy."""

        async def work(operation: Operation) -> dict[str, Any]:
            start = time.monotonic()
            async with self._locks[upload.endpoint]:
                outcome = await self.deployer.deploy(operation, upload)
            timings = operation.timings
            timings["total"] = round((time.monotonic() - start) * 1000 + upload.receive_ms, 1)
            inspection = outcome.version.manifest.inspection
            return {
                **self._where(upload.endpoint, outcome.revision),
                "model": outcome.version.model,
                "new_version": outcome.new_version,
                "unchanged": outcome.unchanged,
                "runtime": outcome.version.runtime,
                "bundle": outcome.version.bundle,
                "signature": msgspec.to_builtins(inspection.signature),
                "example": inspection.example,
                "answer": inspection.answer,
                **self._snippets(upload.endpoint, inspection.example),
                "notes": list(outcome.notes),
                "timings": timings,
            }

        return self.operations.start(work)

    async def rollback(self, name: str, wanted: int | None) -> dict[str, Any]:
        """Point the endpoint at the revision it served before (or at `wanted`)."""
        async with self._locks[name]:
            endpoint = await asyncio.to_thread(self.store.endpoint, name)
            known = await asyncio.to_thread(self.store.revisions, name)
            current = next(revision for revision in known if revision.number == endpoint.revision)
            target = previous(current, known, wanted)
            await self.deployer.move(name, target)
        return {**self._where(name, target), "previous_revision": current.number}

    async def scale(self, name: str, replicas: int, who: str) -> dict[str, Any]:
        """A new revision of the version now served, with another number of replicas."""
        if not 1 <= replicas <= MAX_REPLICAS:
            raise InvalidInput(f"{replicas} is not a number of replicas.", help=f"Use 1 to {MAX_REPLICAS}.")
        async with self._locks[name]:
            endpoint = await asyncio.to_thread(self.store.endpoint, name)
            known = await asyncio.to_thread(self.store.revisions, name)
            current = next(revision for revision in known if revision.number == endpoint.revision)
            if current.config.replicas == replicas:
                return {**self._where(name, current), "previous_revision": current.number}
            config = msgspec.structs.replace(current.config, replicas=replicas)
            version = await asyncio.to_thread(self.store.version, current.model, current.version)
            revision = await self.deployer.rescale(name, version, config, who)
        return {**self._where(name, revision), "previous_revision": current.number}

    async def delete_endpoint(self, name: str) -> None:
        """Stop serving a name; model and versions stay."""
        async with self._locks[name]:
            await asyncio.to_thread(self.store.delete_endpoint, name)
            await self.reconciler.refresh()

    async def delete_version(self, model: str, number: int) -> None:
        """Forget a version that nothing serves."""
        version = await asyncio.to_thread(self.store.version, model, number)
        await asyncio.to_thread(self.store.delete_version, model, number)
        await self._collect({version.bundle})

    async def delete_model(self, model: str) -> None:
        """Forget a model that nothing serves."""
        versions = await asyncio.to_thread(self.store.versions, model)
        await asyncio.to_thread(self.store.delete_model, model)
        await self._collect({version.bundle for version in versions})

    async def _collect(self, bundles: set[str]) -> None:
        pinned = await asyncio.to_thread(self.store.bundles)
        for digest in bundles - pinned:
            await asyncio.to_thread(self.blobs.delete, digest)

    # look

    def models(self) -> list[dict[str, Any]]:
        """All models."""
        return [msgspec.to_builtins(model) for model in self.store.models()]

    def versions(self, model: str) -> list[dict[str, Any]]:
        """A model's versions, with the endpoints that serve each."""
        serving = self._serving()
        return [version_row(version, serving) for version in self.store.versions(model)]

    def version(self, model: str, number: int) -> dict[str, Any]:
        """One version with its manifest."""
        version = self.store.version(model, number)
        return version_row(version, self._serving()) | {"manifest": msgspec.to_builtins(version.manifest)}

    def endpoints(self) -> list[dict[str, Any]]:
        """All endpoints."""
        return [self._endpoint_row(endpoint) for endpoint in self.store.endpoints()]

    def endpoint(self, name: str) -> dict[str, Any]:
        """One endpoint in full."""
        endpoint = self.store.endpoint(name)
        revisions = self.store.revisions(name)
        current = next(revision for revision in revisions if revision.number == endpoint.revision)
        version = self.store.version(current.model, current.version)
        inspection = version.manifest.inspection
        return {
            **self._endpoint_row(endpoint),
            "runtime": version.runtime,
            "signature": msgspec.to_builtins(inspection.signature),
            "example": inspection.example,
            "traffic": {str(number): weight for number, weight in endpoint.traffic.items()},
            "revisions": [
                {
                    "number": revision.number,
                    "version": revision.version,
                    "config": msgspec.to_builtins(revision.config),
                    "replaces": revision.replaces,
                    "created": revision.created,
                    "created_by": revision.created_by,
                }
                for revision in revisions
            ],
            **self._snippets(name, inspection.example),
        }

    def logs(self, name: str, lines: int) -> list[str]:
        """The last lines that an endpoint's replicas printed."""
        self.store.endpoint(name)
        path = self.site.logs / f"{name}.log"
        if not path.exists():
            return []
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_TAIL))
            text = file.read().decode("utf-8", "replace")
        return text.splitlines()[-lines:]

    # keys

    def keys(self) -> list[dict[str, Any]]:
        """All keys, without their hashes."""
        return [key_row(key) for key in self.store.keys()]  # noqa: SIM118 - a method of the store

    async def create_key(self, name: str, role: str, endpoints: tuple[str, ...], expires_s: float) -> dict[str, Any]:
        """Mint a key; its text is told once, here."""
        check_name(name, "key name")
        if role not in ROLES:
            raise InvalidInput(f"{role[:20]!a} is not a role.", help=f"Use one of {', '.join(ROLES)}.")
        for endpoint in endpoints:
            if endpoint != "*":
                check_name(endpoint, "endpoint name")
        if expires_s < 0:
            raise InvalidInput(
                "A key cannot expire in the past.", help="Give expires_s in seconds from now, 0 for never."
            )
        now = time.time()
        key, text = mint(name, role, endpoints, now + expires_s if expires_s else 0.0, now, self._pepper)
        await asyncio.to_thread(self.store.add_key, key)
        await self.reconciler.refresh()
        return key_row(key) | {"key": text}

    async def revoke_key(self, id_or_name: str) -> None:
        """Forget a key; it stops working at once."""
        await asyncio.to_thread(self.store.delete_key, id_or_name)
        await self.reconciler.refresh()

    # shared

    def _where(self, endpoint: str, revision: Revision) -> dict[str, Any]:
        return {
            "endpoint": endpoint,
            "version": revision.version,
            "revision": revision.number,
            "url": f"{self.site.http}/predict/{endpoint}",
        }

    def _snippets(self, endpoint: str, example: Any) -> dict[str, str]:
        return {
            "curl": snippets.curl(self.site.http, endpoint, example, str(self.site.key_file)),
            "python": snippets.python(endpoint, example),
        }

    def _serving(self) -> dict[tuple[str, int], list[str]]:
        found: dict[tuple[str, int], list[str]] = defaultdict(list)
        for live in self.reconciler.desired.live:
            found[live.version.model, live.version.number].append(live.endpoint.name)
        return found

    def _endpoint_row(self, endpoint: Endpoint) -> dict[str, Any]:
        current = next(r for r in self.store.revisions(endpoint.name) if r.number == endpoint.revision)
        group = group_of(current)
        ready, wanted = len(self.fleet.of(group)), current.config.replicas
        problem = self.fleet.problems.get(group) if ready < wanted else None
        state = "ready" if ready >= wanted else "failing" if problem else "starting"
        return {
            "name": endpoint.name,
            "model": current.model,
            "version": current.version,
            "revision": current.number,
            "replicas": {"ready": ready, "wanted": wanted, "pids": [r.status.pid for r in self.fleet.of(group)]},
            "state": state,
            "problem": problem,
            "url": f"{self.site.http}/predict/{endpoint.name}",
            "updated": endpoint.updated,
        }


def version_row(version: Version, serving: dict[tuple[str, int], list[str]]) -> dict[str, Any]:
    """A version as the API shows it in a list."""
    return {
        "model": version.model,
        "number": version.number,
        "bundle": version.bundle,
        "runtime": version.runtime,
        "size": version.size,
        "created": version.created,
        "created_by": version.created_by,
        "serving": serving.get((version.model, version.number), []),
    }


def key_row(key: Key) -> dict[str, Any]:
    """A key as the API shows it."""
    row: dict[str, Any] = msgspec.to_builtins(key)
    del row["digest"]
    return row


def check_changes(changes: dict[str, float | int]) -> None:
    """See that what a client wants of a revision's configuration can be had. Raises InvalidInput."""
    replicas, timeout_s = changes.get("replicas", 1), changes.get("timeout_s", 1.0)
    if not 1 <= replicas <= MAX_REPLICAS:
        raise InvalidInput(f"{replicas:g} is not a number of replicas.", help=f"Use 1 to {MAX_REPLICAS}.")
    if not 0 < timeout_s <= 3600:
        raise InvalidInput(f"{timeout_s:g} s is not a usable timeout.", help="Use over 0 and up to 3600 seconds.")
