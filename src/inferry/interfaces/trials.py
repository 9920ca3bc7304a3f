"""TrialStore: what came of versions' gates. Each call is one transaction, durable when it returns."""

from __future__ import annotations

from typing import Protocol

from inferry.types.trials import Report, Trial


class TrialStore(Protocol):
    """Kept beside the versions that were tested, and forgotten with them. Raises NotFound and Conflict."""

    def keep_trial(self, model: str, version: int, report: Report, now: float, by: str) -> Trial:
        """The report as the model's next trial. Conflict when it is of another bundle than the version's."""
        ...

    def trials(self, model: str, version: int = 0) -> list[Trial]:
        """Those of a model's version, or of all its versions, oldest first, without their reports."""
        ...

    def trial_report(self, model: str, number: int) -> Report:
        """The report of one of a model's trials."""
        ...
