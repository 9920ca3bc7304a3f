"""Builder: from an unpacked artifact to a staged bundle.

Data flow: artifact + sample -> environment (locked, built) -> inspection (sandboxed process in
that environment) -> packed bundle. Nothing here is visible to anybody until it is adopted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Protocol

from inferry.bundles.pack import pack
from inferry.interfaces.backend import Backend
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.environments import EnvironmentStore, Say
from inferry.types.bundle import Detected, EnvironmentSpec, Manifest
from inferry.types.registry import Version
from inferry.types.replicas import InspectTask

PLATFORM = "platform"


class Steps(Protocol):
    """Who is told how the work goes."""

    def step(self, name: str, message: str = "") -> AbstractAsyncContextManager[Callable[[str], None]]:
        """Time one step; yields its progress callback."""
        ...


class Builder:
    """Builds bundles and the environments they need."""

    def __init__(
        self, environments: EnvironmentStore, backend: Backend, blobs: BlobStore, inspect_timeout_s: float = 120.0
    ) -> None:
        self.environments = environments
        self.backend = backend
        self.blobs = blobs
        self.inspect_timeout_s = inspect_timeout_s

    async def build(
        self,
        steps: Steps,
        staging: Path,
        artifact: Path,
        sample: Path | None,
        detected: Detected,
        memory_mb: int = 0,
    ) -> tuple[Manifest, Path, str, int]:
        """The manifest, the staged bundle, its digest and its size in bytes. `memory_mb` 0: what the host can spare."""
        environment, lock_text = EnvironmentSpec(), ""
        async with steps.step("environment") as say:
            if detected.requirements:
                lock = await asyncio.to_thread(self.environments.lock, detected.requirements, say)
                await asyncio.to_thread(self.environments.ensure, lock, say)
                environment = EnvironmentSpec(digest=lock.digest, requirements=tuple(detected.requirements))
                lock_text = lock.text
            else:
                say("the platform's own packages")
        async with steps.step("inspect"):
            scratch = staging / "scratch"
            scratch.mkdir(mode=0o700)
            task = InspectTask(
                artifact=str(artifact), entry=detected.entry, runtime=detected.runtime, scratch=str(scratch),
                options=detected.options, sample=str(sample) if sample else "", timeout_s=self.inspect_timeout_s,
                memory_mb=memory_mb,
            )  # fmt: skip
            inspection = await self.backend.inspect(task, environment.digest)
        async with steps.step("pack"):
            staged = staging / "bundle"
            digest, manifest, size = await asyncio.to_thread(
                pack, artifact, sample, detected, environment, lock_text, inspection, staged
            )
        return manifest, staged, digest, size

    async def restore(self, version: Version, say: Say) -> None:
        """Build a version's environment again when it is not there."""
        digest = version.manifest.environment.digest
        if digest != PLATFORM:
            lock = self.blobs.path(version.bundle) / "environment" / "lock.txt"
            text = await asyncio.to_thread(lock.read_text)
            await asyncio.to_thread(self.environments.restore, digest, text, say)
