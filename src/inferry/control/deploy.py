"""Deploy: from an uploaded file or folder to a served revision, or to nothing at all.

Data flow: staged upload -> detect -> environment -> inspect (sandbox) -> pack -> bundle kept ->
one replica answers the example -> one transaction (version, revision, traffic) -> routing
table. Whatever fails or dies before the transaction leaves no version behind.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from inferry.bundles.detect import detect
from inferry.bundles.pack import source_digest
from inferry.bundles.upload import unpack_upload
from inferry.control.build import Builder
from inferry.control.fleet import Fleet
from inferry.control.operations import Operation
from inferry.control.reconciler import Reconciler, group_of
from inferry.errors import Conflict, InferryError
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.store import MetadataStore
from inferry.types.registry import Commit, Revision, RevisionConfig, Version
from inferry.types.replicas import replica_group


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A received deploy request. `archive` is the tar as it came, in a staging folder of its own.

    `changes`: fields of RevisionConfig that differ from what the endpoint runs with now.
    """

    endpoint: str
    filename: str
    archive: Path
    changes: dict[str, Any]
    created_by: str
    receive_ms: float


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a deploy led to."""

    version: Version
    revision: Revision
    new_version: bool
    unchanged: bool
    notes: tuple[str, ...]


class Deployer:
    """Runs deploys; one at a time for each endpoint (the caller holds its lock)."""

    def __init__(
        self,
        store: MetadataStore,
        blobs: BlobStore,
        builder: Builder,
        fleet: Fleet,
        reconciler: Reconciler,
    ) -> None:
        self.store = store
        self.blobs = blobs
        self.builder = builder
        self.fleet = fleet
        self.reconciler = reconciler

    async def deploy(self, operation: Operation, upload: Upload) -> Outcome:
        """All steps. Raises an InferryError that says what to do; then nothing has changed."""
        staging = upload.archive.parent
        operation.timings["receive"] = round(upload.receive_ms, 1)
        try:
            return await self._deploy(operation, upload, staging)
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, True)

    async def _deploy(self, operation: Operation, upload: Upload, staging: Path) -> Outcome:
        async with operation.step("detect") as say:
            artifact, sample = await asyncio.to_thread(unpack_upload, upload.archive, staging / "in")
            detected = await asyncio.to_thread(detect, artifact, upload.filename)
            source = await asyncio.to_thread(source_digest, artifact, sample)
            say(detected.why)
        serving = await asyncio.to_thread(self._serving, upload.endpoint)
        config = msgspec.structs.replace(serving.config if serving else RevisionConfig(), **upload.changes)
        known = await asyncio.to_thread(self.store.find_version, upload.endpoint, source)
        if known is not None:
            return await self._again(operation, upload, known, serving, config)
        manifest, staged, digest, size = await self.builder.build(
            operation, staging, artifact, sample, detected, config.memory_mb
        )
        await asyncio.to_thread(self.blobs.adopt, staged, digest)
        candidate = Version(
            model=upload.endpoint, number=0, bundle=digest, source=source, runtime=manifest.runtime,
            size=size, created=0.0, created_by=upload.created_by, manifest=manifest,
        )  # fmt: skip
        commit = Commit(
            model=upload.endpoint, endpoint=upload.endpoint, bundle=digest, manifest=manifest,
            size=size, config=config, created_by=upload.created_by,
        )  # fmt: skip
        version, revision, new = await self._serve(operation, upload, candidate, commit)
        notes = (*detected.notes, *manifest.inspection.notes)
        return Outcome(version=version, revision=revision, new_version=new, unchanged=False, notes=notes)

    async def _again(
        self, operation: Operation, upload: Upload, version: Version, serving: Revision | None, config: RevisionConfig
    ) -> Outcome:
        """The same bytes as an existing version: no new one; serve it unless it is served already."""
        note = f"These bytes are {version.reference} already: no new version was made."
        if serving is not None and (serving.version, serving.config) == (version.number, config):
            return Outcome(version=version, revision=serving, new_version=False, unchanged=True, notes=(note,))
        await self.builder.restore(version, operation.say("environment"))
        commit = Commit(
            model=upload.endpoint, endpoint=upload.endpoint, bundle=version.bundle, manifest=version.manifest,
            size=version.size, config=config, created_by=upload.created_by,
        )  # fmt: skip
        version, revision, _ = await self._serve(operation, upload, version, commit)
        return Outcome(version=version, revision=revision, new_version=False, unchanged=False, notes=(note,))

    async def _serve(
        self, operation: Operation, upload: Upload, candidate: Version, commit: Commit
    ) -> tuple[Version, Revision, bool]:
        """Start the copies, then make everything visible at once."""
        config = commit.config
        group = replica_group(upload.endpoint, candidate.bundle, config)
        with self.reconciler.hold(group):
            async with operation.step("start"):
                missing = config.replicas - len(self.fleet.of(group))
                if missing > 0:
                    start = self.fleet.start
                    await gather(*(start(candidate, upload.endpoint, config) for _ in range(missing)))
            async with operation.step("traffic"):
                made = await asyncio.to_thread(self.store.commit_deploy, commit, time.time())
                await self.reconciler.refresh()
        return made

    async def rescale(self, name: str, version: Version, config: RevisionConfig, who: str) -> Revision:
        """A revision of the same version with another config, once its copies run."""
        group = replica_group(name, version.bundle, config)
        with self.reconciler.hold(group):
            missing = config.replicas - len(self.fleet.of(group))
            await gather(*(self.fleet.start(version, name, config) for _ in range(missing)))
            commit = self.store.commit_revision
            revision = await asyncio.to_thread(commit, name, version.number, config, time.time(), who)
            await self.reconciler.refresh()
        return revision

    async def move(self, endpoint: str, target: Revision) -> None:
        """Bring a revision's replicas up, then point the endpoint at it."""
        version = await asyncio.to_thread(self.store.version, target.model, target.version)
        await self.builder.restore(version, lambda _: None)
        with self.reconciler.hold(group_of(target)):
            missing = target.config.replicas - len(self.fleet.of(group_of(target)))
            await gather(*(self.fleet.start(version, endpoint, target.config) for _ in range(missing)))
            await asyncio.to_thread(self.store.set_traffic, endpoint, {target.number: 100}, time.time())
            await self.reconciler.refresh()

    def _serving(self, name: str) -> Revision | None:
        found = {endpoint.name: endpoint for endpoint in self.store.endpoints()}.get(name)
        if found is None:
            return None
        return next(r for r in self.store.revisions(name) if r.number == found.revision)


async def gather(*starts: Any) -> None:
    """Await all; when one fails, end the others and raise its error."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except* InferryError as errors:
        raise errors.exceptions[0] from None


def previous(current: Revision, known: list[Revision], wanted: int | None) -> Revision:
    """The revision that a rollback goes to. Raises Conflict when there is none."""
    number = wanted if wanted is not None else current.replaces
    found = next((revision for revision in known if revision.number == number), None)
    if number == current.number:
        raise Conflict(f"Revision {number} serves already.", help="Name another with --revision.")
    if found is None:
        there = ", ".join(str(revision.number) for revision in known)
        what = f"There is no revision {number}." if number else "There is no earlier revision to go back to."
        raise Conflict(what, help=f"Known revisions: {there}.")
    return found
