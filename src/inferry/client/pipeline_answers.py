"""What the control API answers about projects and pipelines, as typed values. Times are Unix seconds."""

from __future__ import annotations

from typing import Any

import msgspec

from inferry.types.project import Change


class PlanProblem(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a project from being applied: where in it, and what to do."""

    path: tuple[str | int, ...]
    words: str
    help: str = ""


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a project would change."""

    changes: tuple[Change, ...] = ()
    problems: tuple[PlanProblem, ...] = ()


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """A project as it was applied. `settled`: it is carried out, but for `problems`. `changes`: what differs now."""

    turn: int
    at: float
    by: str
    settled: bool
    problems: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A version on its way up the ladder. `stage` of `stages`, at `endpoint`."""

    id: str
    model: str
    version: int
    phase: str
    stage: int
    stages: int
    endpoint: str
    revision: int = 0
    reason: str = ""
    started: float = 0.0
    since: float = 0.0
    updated: float = 0.0
    created_by: str = ""
    ended: bool = False
    ended_by: str = ""


class RunStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of a run: what was decided, by whom, and why."""

    number: int
    at: float
    phase: str
    stage: int
    by: str
    words: str


class RunDetails(RunInfo, frozen=True, kw_only=True):
    """A run with its steps and its pipeline as declared."""

    events: tuple[RunStep, ...] = ()
    pipeline: dict[str, Any] = {}
