"""Density: how much memory models hold and may hold on a machine, and which of them waits for some."""

from __future__ import annotations

import msgspec


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Memory of a process in bytes: `private` to it now, and the `peak` of that since it was forked."""

    private: int
    peak: int


class LoadedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A replica as `inferry status` shows it. `memory_mb`: what it is counted with; `uses`: how often it was asked of
    late, fading; `worth`: seconds of loading that a gigabyte of it saves; `stays`: why it does not leave ("": it
    may)."""

    endpoint: str
    bundle: str
    id: str
    memory_mb: float
    uses: float = 0.0
    cost_s: float = 0.0
    worth: float = 0.0
    stays: str = ""


class WaitingRow(msgspec.Struct, frozen=True, kw_only=True):
    """A start that waits for memory."""

    endpoint: str
    memory_mb: float
    waited_s: float
    why: str


class MemoryStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The memory of all models in MB: what they may hold, hold (as measured), are counted with, and what is promised
    to starts under way. `shared_mb`: of the counted, pages that replicas of one bundle share, counted once. `left`:
    how many replicas made room since control began; `loads`: how many were loaded."""

    budget_mb: float
    measured_mb: float
    counted_mb: float
    promised_mb: float
    shared_mb: float = 0.0
    loads: int = 0
    left: int = 0
    loaded: tuple[LoadedRow, ...] = ()
    waiting: tuple[WaitingRow, ...] = ()
