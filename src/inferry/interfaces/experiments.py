"""ExperimentStore: experiments, and the units that were exposed. Each call is one transaction."""

from __future__ import annotations

from typing import Protocol

from inferry.types.experiment import Experiment, ExperimentRecord, Report, Seen


class ExperimentStore(Protocol):
    """Kept beside the endpoints whose traffic they hold still, and beside the feedback that they count. Raises
    NotFound and Conflict."""

    def begin_experiment(self, endpoint: str, experiment: Experiment, by: str) -> ExperimentRecord:
        """An experiment whose variants are named by revisions; they get their weights from now on. Conflict when one
        runs, or a rollout is under way."""
        ...

    def end_experiment(self, id: str, now: float, by: str, reason: str, winner: int | None) -> ExperimentRecord:
        """It ends; `winner`: the revision that gets all traffic, None leaves it as it is. Conflict when it is over."""
        ...

    def keep_report(self, id: str, report: Report) -> None:
        """The report to go on from, unless it has ended."""
        ...

    def experiments(self, endpoint: str = "", *, running: bool = False) -> list[ExperimentRecord]:
        """Those of an endpoint, or of all, oldest first."""
        ...

    def experiment(self, id: str) -> ExperimentRecord:
        """One experiment."""
        ...

    def seen(self, id: str) -> list[Seen]:
        """Running sums by variant."""
        ...
