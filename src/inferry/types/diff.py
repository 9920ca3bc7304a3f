"""Diff: how two versions differ."""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.compatibility import Change


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that differs; None: one of the two versions does not have it."""

    section: str
    name: str
    before: Any
    after: Any


class VersionDiff(msgspec.Struct, frozen=True, kw_only=True):
    """`signature`: what a caller could notice, the breaking changes first. `same`: both pin the same bundle."""

    before: str
    after: str
    same: bool
    breaking: bool
    signature: tuple[Change, ...]
    differences: tuple[Difference, ...]
