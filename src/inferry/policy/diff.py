"""Diff: in what two versions differ. Pure.

Data flow: two versions and the packages of their environments -> differences by section. What is equal is not said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from inferry.types.diff import Difference
from inferry.types.lineage import Lineage
from inferry.types.registry import Version

PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)
DIGITS = 4


def packages_of(lock: str) -> dict[str, str]:
    """Package -> version, of a lock's text."""
    return {name.lower(): version for name, version in PINNED.findall(lock)}


def differences(
    old: Version, new: Version, packages: tuple[Mapping[str, str], Mapping[str, str]]
) -> tuple[Difference, ...]:
    """What differs, section by section. `packages`: of the old one's environment, and of the new one's."""
    found = [
        *_section("model", _model(old), _model(new)),
        *_section("options", old.manifest.options, new.manifest.options),
        *_section("metrics", old.lineage.metrics, new.lineage.metrics),
        *_section("measured", _measured(old), _measured(new)),
        *_section("packages", *packages),
        *_section("lineage", _lineage(old.lineage), _lineage(new.lineage)),
        *_section("labels", old.lineage.labels, new.lineage.labels),
        *_section("files", _files(old), _files(new)),
    ]
    return tuple(found)


def _section(section: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in [*old, *(name for name in new if name not in old)]:
        before, after = old.get(name), new.get(name)
        if before != after:
            yield Difference(section=section, name=name, before=before, after=after)


def _model(version: Version) -> dict[str, Any]:
    manifest, made = version.manifest, version.manifest.conversion
    return {
        "runtime": version.runtime,
        "entry": manifest.entry,
        "task": manifest.inspection.task or None,
        "environment": manifest.environment.digest,
        "converted": None if made is None else "to ONNX" if made.serves else f"no: {made.reason}",
        "converter": made.converter or None if made is not None else None,
        "batchable": manifest.signature.batchable,
        "size": version.size,
    }


def _measured(version: Version) -> dict[str, Any]:
    """Times that were taken when the version was made; they differ a little of themselves."""
    inspection = version.manifest.inspection
    times = {"load_ms": inspection.load_ms, "predict_ms": inspection.predict_ms}
    return {name: float(f"{value:.{DIGITS}g}") for name, value in times.items() if value}


def _lineage(lineage: Lineage) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(lineage)
    return {name: value for name, value in told.items() if name not in {"labels", "metrics"}}


def _files(version: Version) -> dict[str, str]:
    return {file.path: file.sha256 for file in version.manifest.files}
