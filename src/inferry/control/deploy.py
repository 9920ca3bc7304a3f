"""Deploy: from an uploaded file or folder to a served revision, or to nothing at all.

Data flow: staged upload -> detect -> environment -> inspect (sandbox) -> convert (sandbox) -> pack -> bundle kept ->
one replica answers the example -> one transaction (version, revision, traffic) -> routing
table. Whatever fails or dies before the transaction leaves no version behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from inferry import plugins
from inferry.bundles.converting import workbench
from inferry.bundles.pack import ENGINES, source_digest
from inferry.bundles.upload import unpack_upload
from inferry.control.build import Builder
from inferry.control.callers import Callers
from inferry.control.collector import Collector
from inferry.control.convert import note
from inferry.control.fleet import Fleet
from inferry.control.operations import Operation
from inferry.control.reconciler import Reconciler, group_of
from inferry.control.wishes import Outcome, Pushed, Upload, Wish
from inferry.errors import Conflict, EnvironmentFailed, InferryError
from inferry.interfaces.aliases import AliasStore
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.environments import Say
from inferry.interfaces.store import MetadataStore
from inferry.policy import configure, devices, traffic
from inferry.policy.options import settle
from inferry.types.bundle import Detected
from inferry.types.options import Option
from inferry.types.registry import Commit, Endpoint, NewVersion, Revision, RevisionConfig, Version
from inferry.types.replicas import replica_group
from inferry.types.text import first_line
from inferry.types.webhooks import Event

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Received:
    """An unpacked upload. `source`: the digest by which the same bytes are recognised."""

    artifact: Path
    sample: Path | None
    detected: Detected
    source: str


class Deployer:
    """Runs deploys; one at a time for each endpoint (the caller holds its lock)."""

    def __init__(
        self,
        store: MetadataStore,
        versions: AliasStore,
        blobs: BlobStore,
        builder: Builder,
        fleet: Fleet,
        reconciler: Reconciler,
        collector: Collector,
    ) -> None:
        self.callers = Callers(store)
        self.collector = collector
        self.store = store
        self.versions = versions
        self.blobs = blobs
        self.builder = builder
        self.fleet = fleet
        self.reconciler = reconciler

    async def push(self, operation: Operation, upload: Upload) -> Pushed:
        """A version that no endpoint serves yet."""
        async with self._staged(operation, upload) as staging:
            received = await self._receive(operation, upload, staging)
            known = await asyncio.to_thread(self.store.find_version, upload.model, received.source)
            if known is not None:
                return Pushed(version=known, new_version=False, notes=(again(known, upload),))
            new, notes = await self._build(operation, upload, received, staging, RevisionConfig())
            version, made = await asyncio.to_thread(self.versions.commit_version, new, time.time())
            return Pushed(version=version, new_version=made, notes=notes)

    async def deploy(self, operation: Operation, upload: Upload, wish: Wish) -> Outcome:
        """All steps. Raises an InferryError that says what to do; then nothing has changed."""
        async with self._staged(operation, upload) as staging:
            received = await self._receive(operation, upload, staging, wish)
            known = await asyncio.to_thread(self.store.find_version, upload.model, received.source)
            if known is not None:
                return await self._serve_known(operation, known, wish, (again(known, upload),))
            detected = received.detected
            serving, config = await self._config(wish, detected.runtime, detected.options)
            new, notes = await self._build(operation, upload, received, staging, config)
            candidate = Version(
                model=new.model, number=0, bundle=new.bundle, source=received.source, runtime=new.manifest.runtime,
                size=new.size, created=0.0, created_by=new.created_by, manifest=new.manifest, lineage=new.lineage,
            )  # fmt: skip
            version, revision, made = await self._serve(operation, candidate, wish, config)
            rollout = wish.begins_rollout(serving)
            return Outcome(version=version, revision=revision, new_version=made, notes=notes, rollout=rollout)

    async def release(self, operation: Operation, version: Version, wish: Wish) -> Outcome:
        """Serve a version that is there."""
        async with self.collector.working():
            return await self._serve_known(operation, version, wish, ())

    @contextlib.asynccontextmanager
    async def _staged(self, operation: Operation, upload: Upload) -> AsyncIterator[Path]:
        """The folder of an upload, while one works on it."""
        staging = upload.archive.parent
        operation.timings["receive"] = round(upload.receive_ms, 1)
        try:
            async with self.collector.working():
                yield staging
        finally:
            await asyncio.to_thread(shutil.rmtree, staging, True)

    async def _receive(self, operation: Operation, upload: Upload, staging: Path, wish: Wish | None = None) -> Received:
        async with operation.step("detect") as say:
            artifact, sample = await asyncio.to_thread(unpack_upload, upload.archive, staging / "in")
            detected = await asyncio.to_thread(detected_in, artifact, upload.filename)
            if wish is not None:
                detected = await self._by_engine(detected, wish, say)
            native = upload.convert == "never" and bool(workbench(detected))
            engine = detected.runtime if detected.runtime in ENGINES else ""
            source = await asyncio.to_thread(partial(source_digest, artifact, sample, native=native, engine=engine))
            say(detected.why)
        return Received(artifact=artifact, sample=sample, detected=detected, source=source)

    async def _by_engine(self, detected: Detected, wish: Wish, say: Say) -> Detected:
        """The model as an engine in its framework's place serves it, where there is one for its device."""
        serving = await asyncio.to_thread(self.callers.serving, wish.endpoint)
        before = serving.config if serving else RevisionConfig()
        engine = str(wish.changes.get("options", {}).get("engine") or before.options.get("engine") or "auto")
        made = devices.by_engine(detected)
        if made is None or engine not in ("auto", made.runtime):
            return detected
        device = wish.changes.get("device", before.device)
        found = await asyncio.to_thread(self.fleet.find)
        if device not in ("auto", "cuda") or not found.gpus:
            if engine == made.runtime:
                raise Conflict(f"The engine {engine} computes on GPUs only.", help="Leave the option engine out.")
            return detected
        try:
            await asyncio.to_thread(self.builder.environments.lock, made.requirements, say)
        except EnvironmentFailed as error:
            if engine == made.runtime:
                raise
            why = f"{made.runtime} cannot be installed, so {detected.runtime} serves it: {first_line(error.message)}"
            return msgspec.structs.replace(detected, notes=(*detected.notes, why))
        return made

    async def _build(
        self, operation: Operation, upload: Upload, received: Received, staging: Path, config: RevisionConfig
    ) -> tuple[NewVersion, tuple[str, ...]]:
        """Its bundle, kept, and what to tell about it."""
        detected = received.detected
        device, gpus = self.fleet.placement(config, detected.runtime, await asyncio.to_thread(self.fleet.find))
        manifest, staged, digest, size = await self.builder.build(
            operation, staging, received.artifact, received.sample, detected, config.memory_mb, device, gpus,
            upload.convert, config.options,
        )  # fmt: skip
        await asyncio.to_thread(self.blobs.adopt, staged, digest)
        told = (note(manifest.conversion),) if manifest.conversion and upload.convert != "never" else ()
        new = NewVersion(
            model=upload.model, bundle=digest, manifest=manifest, size=size, created_by=upload.created_by,
            lineage=upload.lineage,
        )  # fmt: skip
        return new, (*detected.notes, *manifest.inspection.notes, *told)

    async def _config(
        self, wish: Wish, runtime: str, made: Mapping[str, Any]
    ) -> tuple[Revision | None, RevisionConfig]:
        """What serves now, and what a model of this runtime shall run with. `made`: what detection found."""
        serving = await asyncio.to_thread(self.callers.serving, wish.endpoint)
        before = serving.config if serving else RevisionConfig()
        changes = dict(wish.changes)
        options = settle(runtime, declared(runtime, made), before.options, changes.pop("options", {}))
        return serving, configure.changed(before, {**changes, "options": options})

    async def _serve_known(self, operation: Operation, version: Version, wish: Wish, notes: tuple[str, ...]) -> Outcome:
        """Serve a version that is there, unless it is served already."""
        serving, config = await self._config(wish, version.runtime, version.manifest.options)
        there = serving is not None and serving.model == version.model
        if serving is not None and there and (serving.version, serving.config) == (version.number, config):
            return Outcome(version=version, revision=serving, new_version=False, unchanged=True, notes=notes)
        await self.builder.restore(version, operation.say("environment"))
        version, revision, _ = await self._serve(operation, version, wish, config)
        rollout = wish.begins_rollout(serving)
        return Outcome(version=version, revision=revision, new_version=False, notes=notes, rollout=rollout)

    async def _serve(
        self, operation: Operation, candidate: Version, wish: Wish, config: RevisionConfig
    ) -> tuple[Version, Revision, bool]:
        """Start the copies, then make everything visible at once. `candidate` has the number 0 until it is made."""
        commit = Commit(
            model=candidate.model, endpoint=wish.endpoint, bundle=candidate.bundle, manifest=candidate.manifest,
            size=candidate.size, config=config, created_by=wish.created_by, lineage=candidate.lineage,
            version=candidate.number, percent=wish.percent, keep_warm=wish.keep_warm, strategy=wish.strategy,
        )  # fmt: skip
        if not wish.allow_breaking and (wish.percent or wish.strategy is not None):
            await asyncio.to_thread(self.callers.refuse_version, wish.endpoint, candidate)
        group = replica_group(wish.endpoint, candidate.bundle, config)
        with self.reconciler.hold(group):
            async with operation.step("start"):
                missing = config.first - len(self.fleet.of(group))
                if missing > 0:
                    start = self.fleet.start
                    await gather(*(start(candidate, wish.endpoint, config) for _ in range(missing)))
            async with operation.step("traffic"):
                made = await asyncio.to_thread(self.store.commit_deploy, commit, time.time())
                await self.reconciler.refresh(wish.endpoint)
        return made

    async def rescale(self, name: str, version: Version, config: RevisionConfig, who: str, *, instead: int) -> Revision:
        """A revision of the same version with another config in the place of `instead`, once its copies run."""
        group = replica_group(name, version.bundle, config)
        with self.reconciler.hold(group):
            known = {revision.number: revision for revision in await asyncio.to_thread(self.store.revisions, name)}
            same = group_of(known[instead]) == group  # then it was seen to answer, and may go on sleeping
            missing = (config.least if same else config.first) - len(self.fleet.of(group))
            await gather(*(self.fleet.start(version, name, config) for _ in range(missing)))
            commit = self.store.commit_revision
            revision = await asyncio.to_thread(commit, name, instead, config, time.time(), who)
            await self.reconciler.refresh(name)
        return revision

    async def share_out(self, name: str, change: Callable[[Endpoint], Endpoint], *told: Event) -> Endpoint:
        """Bring up the replicas that a change of traffic needs, then let requests find them."""
        return await self.ready_for(name, change, partial(self.store.change_traffic, name, change, time.time(), *told))

    async def ready_for(self, name: str, change: Callable[[Endpoint], Endpoint], keep: Callable[[], T]) -> T:
        """Bring up the replicas that a change of traffic needs, `keep` that change, then let requests find them."""
        endpoint = await asyncio.to_thread(self.store.endpoint, name)
        known = {revision.number: revision for revision in await asyncio.to_thread(self.store.revisions, name)}
        wanted = change(endpoint).running
        with contextlib.ExitStack() as held:
            for number in sorted(wanted & known.keys()):  # the store refuses what is not there
                held.enter_context(self.reconciler.hold(group_of(known[number])))
                await self._bring_up(known[number], new=number not in endpoint.running)
            made = await asyncio.to_thread(keep)
            await self.reconciler.refresh(name)
        return made

    async def _bring_up(self, revision: Revision, *, new: bool) -> None:
        """What it runs with at least; one that did not run gets a replica too, though it may sleep."""
        wanted = revision.config.first if new else revision.config.least
        missing = wanted - len(self.fleet.of(group_of(revision)))
        if missing > 0:
            version = await asyncio.to_thread(self.store.version, revision.model, revision.version)
            await self.builder.restore(version, lambda _: None)
            await gather(*(self.fleet.start(version, revision.endpoint, revision.config) for _ in range(missing)))


def declared(runtime: str, made: Mapping[str, Any]) -> tuple[Option, ...]:
    """The options of a runtime, or of what it does with one task."""
    known = plugins.names("inferry.options")
    name = next((name for name in (f"{runtime}.{made.get('task', '')}", runtime) if name in known), None)
    return tuple(plugins.load("inferry.options", name)) if name else ()


async def gather(*starts: Any) -> None:
    """Await all; when one fails, end the others and raise its error."""
    try:
        async with asyncio.TaskGroup() as group:
            for start in starts:
                group.create_task(start)
    except* InferryError as errors:
        raise errors.exceptions[0] from None


def again(version: Version, upload: Upload) -> str:
    """What to tell about the bytes of a version that is there. Raises Conflict when another is asked for."""
    made = version.manifest.conversion
    if upload.convert == "require" and version.runtime != "onnx":
        why = made.reason if made else "it was deployed without a conversion"
        raise Conflict(
            f"These bytes are {version.reference} already, which does not serve as ONNX: {why.rstrip('.')}.",
            help="Delete that version to have its conversion tried again.",
        )
    return f"These bytes are {version.reference} already: no new version was made."


def previous(endpoint: Endpoint, known: list[Revision], wanted: int | None) -> tuple[Revision, Revision]:
    """The revision that a rollback leaves, and the one that it goes to. Raises Conflict when there is none.

    Of an endpoint whose traffic is split the newest gives all it has back to the largest of the others.
    """
    by_number = {revision.number: revision for revision in known}
    current = by_number[traffic.newest(endpoint)]
    others = {number: share for number, share in endpoint.traffic.items() if number != current.number}
    back = max(others, key=lambda number: (others[number], -number)) if others else current.replaces
    number = wanted if wanted is not None else back
    if endpoint.traffic.get(number) == 100:
        raise Conflict(f"Revision {number} serves already.", help="Name another with --revision.")
    if number not in by_number:
        there = ", ".join(map(str, by_number))
        what = f"There is no revision {number}." if number else "There is no earlier revision to go back to."
        raise Conflict(what, help=f"Known revisions: {there}.")
    return current, by_number[number]


def detected_in(artifact: Path, filename: str) -> Detected:
    """What an upload is. All formats are imported with the first: a start need not wait for them."""
    from inferry.bundles.detect import detect

    return detect(artifact, filename)
