"""Builder: from an unpacked artifact to a staged bundle.

Data flow: artifact + sample -> environment (locked, built) -> inspection (sandboxed process in
that environment) -> conversion to ONNX, where that is equal and faster -> packed bundle.
Nothing here is visible to anybody until it is adopted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import msgspec

from inferry.bundles.converting import workbench
from inferry.bundles.pack import pack
from inferry.control.convert import Converter, Native, Served, refused
from inferry.interfaces.backend import Backend
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.environments import EnvironmentStore, Say
from inferry.policy.devices import PACKAGES
from inferry.types.bundle import Detected, EnvironmentSpec, Lock, Manifest
from inferry.types.conversion import Mode
from inferry.types.options import Value
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
        self.converter = Converter(environments, backend, inspect_timeout_s)

    async def build(
        self,
        steps: Steps,
        staging: Path,
        artifact: Path,
        sample: Path | None,
        detected: Detected,
        memory_mb: int = 0,
        device: str = "cpu",
        gpus: tuple[str, ...] = (),
        mode: Mode = "auto",
        options: Mapping[str, Value] = MappingProxyType({}),
    ) -> tuple[Manifest, Path, str, int]:
        """The manifest, the staged bundle, its digest and its size in bytes.

        `memory_mb` 0: what the host can spare. `device` and `gpus`: where it is inspected, as it will compute.
        `options`: of the engine, that the revision will run with; they are no part of the bundle.
        """
        detected = on_device(detected, device)
        environment, lock = EnvironmentSpec(), Lock(digest=PLATFORM, text="")
        async with steps.step("environment") as say:
            if detected.requirements:
                lock = await asyncio.to_thread(self.environments.lock, detected.requirements, say)
                await asyncio.to_thread(self.environments.ensure, lock, say)
                environment = EnvironmentSpec(digest=lock.digest, requirements=tuple(detected.requirements))
            else:
                say("the platform's own packages")
        async with steps.step("inspect"):
            scratch = staging / "scratch"
            scratch.mkdir(mode=0o700)
            task = InspectTask(
                artifact=str(artifact), entry=detected.entry, runtime=detected.runtime, scratch=str(scratch),
                options={**detected.options, **options}, sample=str(sample) if sample else "",
                timeout_s=self.inspect_timeout_s, memory_mb=memory_mb, device=device, gpus=gpus,
            )  # fmt: skip
            inspection = await self.backend.inspect(task, environment.digest)
        served = Served(conversion=None, detected=detected, inspection=inspection, environment=environment)
        if workbench(detected):
            native = Native(
                artifact=artifact, sample=sample, detected=detected, lock=lock, inspection=inspection, spec=environment,
                device=device,
            )  # fmt: skip
            async with steps.step("convert") as say:
                served = await self.converter.convert(native, scratch, mode, memory_mb, say)
        elif mode == "require" and detected.runtime != "onnx":
            raise refused(f"there is no converter for the runtime {detected.runtime}")
        async with steps.step("pack"):
            staged = staging / "bundle"
            digest, manifest, size = await asyncio.to_thread(
                pack, artifact, sample, served.detected, served.environment, lock.text, served.inspection, staged,
                served.conversion, served.file,
            )  # fmt: skip
        return manifest, staged, digest, size

    async def restore(self, version: Version, say: Say) -> None:
        """Build a version's environment again when it is not there."""
        digest = version.manifest.environment.digest
        if digest != PLATFORM:
            bundle = await asyncio.to_thread(self.blobs.path, version.bundle)
            text = await asyncio.to_thread((bundle / "environment" / "lock.txt").read_text)
            await asyncio.to_thread(self.environments.restore, digest, text, say)


def on_device(detected: Detected, device: str) -> Detected:
    """With the packages that its runtime needs on a device, in an environment of its own."""
    more = PACKAGES.get((detected.runtime, device), ())
    return msgspec.structs.replace(detected, requirements=(*detected.requirements, *more)) if more else detected
