"""What a deploy is asked to do, and what it led to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inferry.types.conversion import Mode
from inferry.types.lineage import Lineage
from inferry.types.registry import Revision, Version
from inferry.types.rollout import Strategy


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A received model. `archive` is the tar as it came, in a staging folder of its own. `convert`: to ONNX
    when that is equal and faster, never, or else fail."""

    model: str
    filename: str
    archive: Path
    convert: Mode = "auto"
    created_by: str
    receive_ms: float
    lineage: Lineage = field(default_factory=Lineage)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """How an endpoint should serve a version. `changes`: fields of RevisionConfig, or of its Scaling, that differ
    from what the endpoint runs with now. `percent`: the share of traffic that it takes; `keep_warm`: the revision
    before goes on running; `strategy`: how a rollout gives it its traffic instead. `allow_breaking`: its signature may
    break callers."""

    endpoint: str
    created_by: str
    changes: dict[str, Any] = field(default_factory=dict)
    percent: int = 100
    keep_warm: bool = False
    strategy: Strategy | None = None
    allow_breaking: bool = False

    def begins_rollout(self, serving: Revision | None) -> bool:
        """Whether a rollout gives the new revision its traffic; the first revision of an endpoint takes all at once."""
        return self.strategy is not None and serving is not None


@dataclass(frozen=True, kw_only=True)
class Pushed:
    """What became of an upload."""

    version: Version
    new_version: bool
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome(Pushed):
    """What a deploy led to."""

    revision: Revision
    unchanged: bool = False
    rollout: bool = False  # whether a rollout gives it its traffic
