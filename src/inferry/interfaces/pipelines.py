"""PipelineStore: the project as applied, and the runs of its pipelines. Each call is one transaction."""

from __future__ import annotations

from typing import Protocol

from inferry.types.pipeline import Run, RunEvent, RunRecord, Turn
from inferry.types.project import AppliedProject, Project


class PipelineStore(Protocol):
    """Durable when a call returns. Raises NotFound and Conflict."""

    def apply_project(self, project: Project, prune: bool, now: float, by: str) -> AppliedProject:
        """What is wanted from now on."""
        ...

    def project(self) -> AppliedProject | None:
        """What was applied last."""
        ...

    def settle_project(self, turn: int, problems: tuple[str, ...]) -> None:
        """Say that a project is carried out, as far as it could be. Nothing when another was applied since."""
        ...

    def begin_run(self, run: Run, now: float) -> RunRecord:
        """A run of a version. Conflict when one of the same version is under way."""
        ...

    def keep_turn(self, record: RunRecord, turn: Turn, now: float, by: str) -> RunRecord:
        """Write the next state, and its words when there are any. Conflict when `record` is not the latest."""
        ...

    def runs(self, model: str = "", *, active: bool = False) -> list[RunRecord]:
        """Those of a model, or of all, oldest first; `active`: only those that have not ended."""
        ...

    def run(self, id: str) -> RunRecord:
        """One run."""
        ...

    def run_events(self, id: str, after: int = 0) -> list[RunEvent]:
        """Its events with a number over `after`."""
        ...
