"""Bundle: the content-addressed directory that a version pins.

Layout on disk:
    manifest.json          this Manifest, canonical JSON; its sha256 is the bundle's digest
    artifact/...           the model file or folder as it was given
    environment/lock.txt   pinned packages with hashes (absent: the platform's own environment)
"""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.signature import Inspection, Signature


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
