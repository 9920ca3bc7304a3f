"""Retention: how long old versions of a model are kept, what holds them, and what becomes of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from inferry.types.registry import Endpoint, Revision

DAY_S = 86_400.0


class Retention(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A version may be removed when it is not among the `keep` newest and older than `older_than_s`, and nothing else
    keeps it. `rollback_s`: how long after it stopped a revision can be gone back to."""

    keep: int = 10
    older_than_s: float = 0.0
    rollback_s: float = 30 * DAY_S


class KeptRule(msgspec.Struct, frozen=True, kw_only=True):
    """A model's rule, and who gave it when."""

    model: str
    rule: Retention
    updated: float
    updated_by: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a version goes, and why it goes or stays."""

    number: int
    removed: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Holder:
    """An endpoint of the model with its revisions. `rolling`: those that a rollout under way moves between."""

    endpoint: Endpoint
    revisions: tuple[Revision, ...]
    rolling: frozenset[int] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A model at one moment. `versions`: when each was made, by number; `aliases`: names by number."""

    versions: Mapping[int, float]
    aliases: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    protected: frozenset[int] = frozenset()
    holders: tuple[Holder, ...] = ()
