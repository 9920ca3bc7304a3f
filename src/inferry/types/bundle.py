"""Bundle: the content-addressed directory that a version pins.

Layout on disk:
    manifest.json          this Manifest, canonical JSON; its sha256 is the bundle's digest
    artifact/...           the model file or folder as it was given
    environment/lock.txt   pinned packages with hashes (absent: the platform's own environment)
    converted/model.onnx   the artifact as ONNX, when that serves in its place
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.signature import Inspection, Signature

CONVERTED = "converted"


class FileEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a bundle: `path` relative with forward slashes, `sha256` hex, `size` bytes."""

    path: str
    sha256: str
    size: int


class EnvironmentSpec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The packages a bundle needs. `digest` "platform" is the platform's own environment."""

    digest: str = "platform"
    requirements: tuple[str, ...] = ()
    python: str = ""


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """Pinned packages with hashes for one version of Python ("3.11"). `requirements`: the lines it came from."""

    digest: str
    text: str
    requirements: tuple[str, ...] = ()
    python: str = ""


class Conversion(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of converting a model to ONNX. `serves`: the converted one does; else `reason` says why not.

    `runtime`, `entry`, `options` and `environment` are those of the native model. Numbers were compared on
    `rows` rows: the `largest` difference was found in `where`, and is within `atol + rtol * |native|`.
    `native_us` and `onnx_us`: microseconds of a prediction of one row.
    """

    serves: bool = False
    reason: str = ""
    asked: str = "auto"
    runtime: str = ""
    entry: str = ""
    options: dict[str, Any] = {}
    environment: EnvironmentSpec = EnvironmentSpec()
    converter: str = ""
    rows: int = 0
    largest: float = 0.0
    where: str = ""
    rtol: float = 0.0
    atol: float = 0.0
    native_us: float = 0.0
    onnx_us: float = 0.0

    @property
    def speed_up(self) -> float:
        """How many times faster the converted model answers one row; 0 when it was not measured."""
        return round(self.native_us / self.onnx_us, 1) if self.onnx_us else 0.0


class Manifest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a bundle holds. `source` is the sha256 over what the user gave (artifact files
    and sample), so that the same bytes are recognised even when the lock would differ."""

    format: int = 1
    runtime: str
    entry: str
    source: str
    options: dict[str, Any] = {}
    environment: EnvironmentSpec = EnvironmentSpec()
    files: tuple[FileEntry, ...] = ()
    inspection: Inspection
    conversion: Conversion | None = None

    @property
    def folder(self) -> str:
        """The folder of the bundle that its runtime loads from. Nothing else is read by replicas."""
        return CONVERTED if self.conversion and self.conversion.serves else "artifact"

    @property
    def signature(self) -> Signature:
        """The inputs and outputs, as inspected."""
        return self.inspection.signature


class Detected(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What static detection says of an artifact, before anything of it runs.

    `runtime` names the plugin; `entry` the path of the main file inside the artifact
    folder ("" for the folder itself); `requirements` what its environment needs
    (empty: the platform's own); `why` a short reason for people.
    """

    runtime: str
    entry: str
    requirements: tuple[str, ...] = ()
    options: dict[str, Any] = {}
    why: str = ""
    notes: tuple[str, ...] = ()
