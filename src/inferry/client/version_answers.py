"""What the control API answers about versions, as typed values. Times are Unix seconds."""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.lineage import Lineage
from inferry.types.retention import Retention, Verdict
from inferry.types.trials import Trial


class Protected(msgspec.Struct, frozen=True, kw_only=True):
    """Who protects a version since when, and why."""

    by: str
    at: float
    reason: str = ""


class VersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a model. `serving` are the endpoints that run it, `aliases` the names that point at it, `test` its
    latest test."""

    model: str
    number: int
    bundle: str
    runtime: str
    size: int
    created: float = 0.0
    created_by: str = ""
    serving: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    protected: Protected | None = None
    lineage: Lineage = Lineage()
    test: Trial | None = None


class VersionDetails(VersionInfo, frozen=True, kw_only=True):
    """A version with the manifest of its bundle."""

    manifest: dict[str, Any]


class Pruned(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule does, or with `dry_run` would do, to each version of a model."""

    model: str
    dry_run: bool
    rule: Retention
    versions: tuple[Verdict, ...]


class RetentionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A model's rule, which is followed every hour; None: it has none, and nothing goes by itself."""

    model: str
    rule: Retention | None
    updated: float = 0.0
    updated_by: str = ""


class AliasInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An alias of a model: the version that it points at."""

    model: str
    name: str
    version: int
    moved: float
    moved_by: str


class MoveInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One move of an alias. `before` 0: it was made then; `after` 0: it was deleted."""

    alias: str
    before: int
    after: int
    at: float
    by: str


class Aliases(msgspec.Struct, frozen=True, kw_only=True):
    """A model's aliases by name, and all their moves, oldest first."""

    aliases: tuple[AliasInfo, ...]
    moves: tuple[MoveInfo, ...]
