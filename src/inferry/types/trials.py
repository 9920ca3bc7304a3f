"""Trials: what came of a version's gates.

Data flow: a private copy of the version, measured -> Findings -> a Result for each gate -> a Report, kept with the
version as a Trial.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["passed", "failed", "skipped"]


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a gate looked at: `what`, its verdict, and why in words."""

    what: str
    verdict: Verdict
    words: str = ""
    value: float | None = None
    limit: float | None = None


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a gate."""

    gate: str
    name: str
    verdict: Verdict
    words: str
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What came of all gates. `bundle`: the digest of what was tested; `machine`: where it was measured."""

    target: str
    bundle: str
    passed: bool
    results: tuple[Result, ...]
    machine: str = ""
    started: float = 0.0
    seconds: float = 0.0

    @property
    def failures(self) -> tuple[str, ...]:
        """The names of the gates that failed."""
        return tuple(found.name for found in self.results if found.verdict == "failed")


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept with a version of a test of it: the `number`-th of its model, who sent it and when (Unix seconds),
    the gates that failed. `digest`: sha256 of the report as JSON with sorted keys."""

    model: str
    version: int
    number: int
    at: float
    by: str
    passed: bool
    failed: tuple[str, ...] = ()
    digest: str
