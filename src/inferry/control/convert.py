"""Converter: whether a model serves as ONNX, and the ONNX file when it does.

Data flow: inspected native model -> the converter's packages, locked beside the model's own -> candidates and
the native answers (sandboxed, in the model's environment) -> chosen candidate (sandboxed, in the platform's)
-> Conversion. Whatever fails costs the conversion only: then the native model serves, and the reason is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from inferry.bundles.converting import kept_native, workbench
from inferry.errors import InferryError, InvalidModel
from inferry.interfaces.backend import Backend
from inferry.interfaces.environments import EnvironmentStore
from inferry.policy.speed import faster
from inferry.types.bundle import Conversion, Detected, EnvironmentSpec, Lock
from inferry.types.conversion import ATOL, MODEL, RTOL, CheckTask, Converted, ConvertTask, Draft, Mode
from inferry.types.signature import Inspection

PLATFORM = "platform"


@dataclass(frozen=True, kw_only=True)
class Native:
    """The native model, inspected. `lock` and `spec`: its environment. `device`: where it computes."""

    artifact: Path
    sample: Path | None
    detected: Detected
    lock: Lock
    spec: EnvironmentSpec
    inspection: Inspection
    device: str = "cpu"


@dataclass(frozen=True, kw_only=True)
class Served:
    """What serves in the end: the native model, or `file` in its place. `conversion`: None without a converter."""

    conversion: Conversion | None
    detected: Detected
    inspection: Inspection
    environment: EnvironmentSpec
    file: Path | None = None


class Converter:
    """Tries conversions."""

    def __init__(self, environments: EnvironmentStore, backend: Backend, timeout_s: float) -> None:
        self.environments = environments
        self.backend = backend
        self.timeout_s = timeout_s

    async def convert(
        self, native: Native, scratch: Path, mode: Mode, memory_mb: int, say: Callable[[str], None]
    ) -> Served:
        """The converted model when it is equal and faster, else the native one. Mode "require" raises InvalidModel."""
        detected, inspection = native.detected, native.inspection
        made = Conversion(
            asked=mode, runtime=detected.runtime, entry=detected.entry, options=detected.options,
            environment=native.spec, rtol=RTOL, atol=ATOL, native_us=inspection.batch_us.get("1", 0.0),
        )  # fmt: skip
        if mode == "never":
            return self._native(native, msgspec.structs.replace(made, reason="as it was asked"), say)
        try:
            done, draft = await self._try(native, scratch, memory_mb, say)
        except InferryError as error:
            if mode == "require":
                raise refused(error.message) from error
            return self._native(native, msgspec.structs.replace(made, reason=error.message), say)
        made = msgspec.structs.replace(
            made, converter=done.converter, rows=done.rows, largest=done.largest, where=done.where,
            native_us=done.native_us.get("1", made.native_us), onnx_us=done.batch_us.get("1", 0.0),
        )  # fmt: skip
        slower = faster(done.native_us or inspection.batch_us, done.batch_us)
        if slower and mode != "require":
            return self._native(native, msgspec.structs.replace(made, reason=slower), say)
        say(f"equal on {done.rows} rows, {msgspec.structs.replace(made, serves=True).speed_up:g} times faster")
        plan = {"plan": msgspec.to_builtins(draft.plan)}
        curve = done.batch_us if inspection.batch_us else {}
        return Served(
            conversion=msgspec.structs.replace(made, serves=True),
            detected=msgspec.structs.replace(detected, runtime="onnx", entry=MODEL, options=plan, requirements=()),
            inspection=msgspec.structs.replace(
                inspection, batch_us=curve, threads_gain=done.threads_gain, packing_gain=done.packing_gain
            ),
            environment=EnvironmentSpec(),
            file=scratch / draft.file,
        )

    def _native(self, native: Native, made: Conversion, say: Callable[[str], None]) -> Served:
        say(f"native: {made.reason}")
        return Served(conversion=made, detected=native.detected, inspection=native.inspection, environment=native.spec)

    async def _try(
        self, native: Native, scratch: Path, memory_mb: int, say: Callable[[str], None]
    ) -> tuple[Converted, Draft]:
        """What was found of the draft that is equal. Raises an InferryError with the reason why there is none."""
        detected = native.detected
        if reason := kept_native(detected, native.device):
            raise InvalidModel(reason)
        lines = workbench(detected)
        try:
            lock = await asyncio.to_thread(self.environments.beside, native.lock, lines, say)
            await asyncio.to_thread(self.environments.ensure, lock, say)
        except InferryError as error:
            raise InvalidModel(f"the converter cannot be installed: {error.message}") from error
        say("converting")
        convert = ConvertTask(
            artifact=str(native.artifact), entry=detected.entry, runtime=detected.runtime, scratch=str(scratch),
            packages=str(self.environments.packages(lock.digest)), signature=native.inspection.signature,
            options=detected.options, sample=str(native.sample) if native.sample else "", memory_mb=memory_mb,
            timeout_s=self.timeout_s,
        )  # fmt: skip
        made = await self.backend.convert(convert, native.lock.digest)
        if made.reason:
            raise InvalidModel(made.reason)
        say("comparing")
        check = CheckTask(
            scratch=str(scratch), drafts=made.drafts, signature=native.inspection.signature, memory_mb=memory_mb,
            timeout_s=self.timeout_s,
        )  # fmt: skip
        done = await self.backend.convert(check, PLATFORM)
        if done.reason or not 0 <= done.chosen < len(made.drafts):
            raise InvalidModel(done.reason or "the comparison chose no candidate")
        done = msgspec.structs.replace(done, converter=made.converter, native_us=made.native_us)
        return done, made.drafts[done.chosen]


def refused(reason: str) -> InvalidModel:
    """The error of a deploy that requires a conversion which cannot be had."""
    return InvalidModel(
        f"The model cannot serve as ONNX: {reason.rstrip('.')}.",
        help="Leave out --convert=require to serve it natively.",
    )


def note(made: Conversion) -> str:
    """One line for the person who deploys."""
    if made.serves:
        gain = f", {made.speed_up:g} times faster than natively" if made.speed_up else ""
        return f"Converted to ONNX: equal on {made.rows} rows{gain}."
    return f"Served natively, not as ONNX: {made.reason.rstrip('.')}."
