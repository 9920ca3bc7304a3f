"""Versions: looked at, named by aliases, protected, forgotten.

Data flow: a call -> the stores -> rows as the API shows them; a deleted version -> its bundle and its environment,
when nothing else needs them, are removed as well.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from inferry.bundles.pack import MANIFEST
from inferry.control.collector import Collector
from inferry.control.reconciler import Live
from inferry.errors import InvalidInput
from inferry.interfaces.aliases import AliasStore
from inferry.interfaces.blobs import BlobStore
from inferry.interfaces.store import MetadataStore
from inferry.interfaces.trials import TrialStore
from inferry.policy import compatibility
from inferry.policy.diff import differences, packages_of
from inferry.types.diff import VersionDiff
from inferry.types.names import check_alias
from inferry.types.registry import Alias, Protection, Version
from inferry.types.trials import Report, Trial

SHOWN = (
    "reason", "runtime", "converter", "rows", "largest", "where", "rtol", "atol", "native_us", "onnx_us",
)  # fmt: skip


class Versions:
    """`live`: the revisions that the store wants to run."""

    def __init__(
        self,
        store: MetadataStore,
        named: AliasStore,
        tested: TrialStore,
        blobs: BlobStore,
        collector: Collector,
        live: Callable[[], Sequence[Live]],
        clock: Callable[[], float],
    ) -> None:
        self._tested = tested
        self._store = store
        self._named = named
        self._blobs = blobs
        self._collector = collector
        self._live = live
        self._clock = clock

    # look

    def models(self) -> list[dict[str, Any]]:
        """All models."""
        return [msgspec.to_builtins(model) for model in self._store.models()]

    def of(self, model: str) -> list[dict[str, Any]]:
        """A model's versions, oldest first."""
        row = self._rows(model)
        return [row(version) for version in self._store.versions(model)]

    def show(self, model: str, version: int | str) -> dict[str, Any]:
        """One version with its manifest."""
        found = self.resolve(model, version)
        return self._rows(model)(found) | {"manifest": found.manifest}

    def resolve(self, model: str, version: int | str) -> Version:
        """The version of that number, or the one that an alias names now."""
        return self._named.resolve(model, version)

    def files(self, model: str, version: int | str) -> tuple[Path, list[str]]:
        """The folder of a version's bundle, and the names of all files in it."""
        found = self.resolve(model, version)
        return self._blobs.path(found.bundle), [MANIFEST, *(entry.path for entry in found.manifest.files)]

    def _rows(self, model: str) -> Callable[[Version], dict[str, Any]]:
        serving: dict[int, set[str]] = defaultdict(set)
        for live in self._live():
            if live.version.model == model:
                serving[live.version.number].add(live.endpoint.name)
        names: dict[int, list[str]] = defaultdict(list)
        for alias in self._named.aliases(model):
            names[alias.version].append(alias.name)
        protected = {protection.version: protection for protection in self._named.protections(model)}
        latest = {trial.version: trial for trial in self._tested.trials(model)}

        def row(version: Version) -> dict[str, Any]:
            number = version.number
            return version_row(version) | {
                "serving": sorted(serving[number]),
                "aliases": names[number],
                "protected": protection_row(protected.get(number)),
                "test": trial_row(latest[number]) if number in latest else None,
            }

        return row

    def diff(self, before: tuple[str, int | str], after: tuple[str, int | str]) -> VersionDiff:
        """In what two versions differ."""
        old, new = self.resolve(*before), self.resolve(*after)
        changes = compatibility.changes(old.manifest.signature, new.manifest.signature)
        return VersionDiff(
            before=old.reference,
            after=new.reference,
            same=old.bundle == new.bundle,
            breaking=any(change.breaking for change in changes),
            signature=changes,
            differences=differences(old, new, (self._packages(old), self._packages(new))),
        )

    def _packages(self, version: Version) -> dict[str, str]:
        """What its environment holds; nothing for the platform's own."""
        lock = self._blobs.path(version.bundle) / "environment" / "lock.txt"
        return packages_of(lock.read_text("utf-8")) if lock.is_file() else {}

    # tests

    def keep_trial(self, model: str, version: int | str, report: Report, by: str) -> dict[str, Any]:
        """Keep what came of a version's gates."""
        if report.passed == bool(report.failures):
            raise InvalidInput("The report's verdict does not follow from its results.", help="Send it as it was made.")
        number = self.resolve(model, version).number
        return trial_row(self._tested.keep_trial(model, number, report, self._clock(), by))

    def trials(self, model: str, version: int | str) -> list[dict[str, Any]]:
        """All tests of a version, oldest first."""
        number = self.resolve(model, version).number
        return [trial_row(trial) for trial in self._tested.trials(model, number)]

    def trial_report(self, model: str, number: int) -> Report:
        """The report of one of a model's tests."""
        return self._tested.trial_report(model, number)

    # forget

    async def delete(self, model: str, version: int | str) -> None:
        """Forget a version that nothing serves and nothing names."""
        found = await asyncio.to_thread(self.resolve, model, version)
        await asyncio.to_thread(self._store.delete_version, model, found.number)
        await self._collector.collect({found.bundle})

    async def delete_model(self, model: str) -> None:
        """Forget a model that nothing serves."""
        versions = await asyncio.to_thread(self._store.versions, model)
        await asyncio.to_thread(self._store.delete_model, model)
        await self._collector.collect({version.bundle for version in versions})

    # aliases

    def aliases(self, model: str) -> dict[str, Any]:
        """A model's aliases, and all their moves."""
        named, moves = self._named.aliases(model), self._named.alias_moves(model)
        return {
            "aliases": [alias_row(alias) for alias in named],
            "moves": [msgspec.to_builtins(move) for move in moves],
        }

    def move_alias(
        self, model: str, name: str, version: int | str, by: str, expected: int | None = None
    ) -> dict[str, Any]:
        """Point an alias at a version, another alias's perhaps."""
        number = self.resolve(model, version).number
        move = self._named.move_alias(model, check_alias(name), number, self._clock(), by, expected)
        return {"model": model, **msgspec.to_builtins(move)}

    def delete_alias(self, model: str, name: str, by: str) -> None:
        """Forget an alias; its history stays."""
        self._named.delete_alias(model, name, self._clock(), by)

    # protection

    def protect(self, model: str, version: int | str, by: str, reason: str) -> dict[str, Any]:
        """Let a version not be removed."""
        number = self.resolve(model, version).number
        self._named.protect(Protection(model=model, version=number, at=self._clock(), by=by, reason=reason))
        return self.show(model, number)

    def unprotect(self, model: str, version: int | str) -> dict[str, Any]:
        """Lift that."""
        number = self.resolve(model, version).number
        self._named.unprotect(model, number)
        return self.show(model, number)


def version_row(version: Version) -> dict[str, Any]:
    """What a version is by itself, as the API shows it in a list."""
    return {
        "model": version.model,
        "number": version.number,
        "bundle": version.bundle,
        "runtime": version.runtime,
        "size": version.size,
        "created": version.created,
        "created_by": version.created_by,
        "lineage": msgspec.to_builtins(version.lineage),
    }


def conversion_row(version: Version) -> dict[str, Any] | None:
    """What came of converting a version to ONNX, as the API shows it; None for a model without a converter."""
    made = version.manifest.conversion
    if made is None:
        return None
    row = {field: getattr(made, field) for field in SHOWN}
    return row | {"serves": "onnx" if made.serves else "native", "speed_up": made.speed_up}


def made_row(version: Version) -> dict[str, Any]:
    """A version as it is told to who deployed it."""
    inspection = version.manifest.inspection
    return {
        "model": version.model,
        "version": version.number,
        "runtime": version.runtime,
        "bundle": version.bundle,
        "lineage": msgspec.to_builtins(version.lineage),
        "conversion": conversion_row(version),
        "signature": msgspec.to_builtins(inspection.signature),
        "example": inspection.example,
        "answer": inspection.answer,
    }


def alias_row(alias: Alias) -> dict[str, Any]:
    """An alias as the API shows it."""
    row: dict[str, Any] = msgspec.to_builtins(alias)
    return row


def protection_row(protection: Protection | None) -> Mapping[str, Any] | None:
    """Who protects a version since when, and why."""
    return None if protection is None else {"by": protection.by, "at": protection.at, "reason": protection.reason}


def trial_row(trial: Trial) -> dict[str, Any]:
    """A test as the API shows it."""
    row: dict[str, Any] = msgspec.to_builtins(trial)
    return row
