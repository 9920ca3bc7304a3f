"""Trials: reports of gates, kept as they came, under their digest."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from sqlalchemy import RowMapping, insert, select

from inferry.errors import Conflict, NotFound
from inferry.policy import events
from inferry.storage.base import Base, next_number
from inferry.storage.rows import plain, to_text
from inferry.storage.tables import trials
from inferry.storage.told import tell
from inferry.storage.versions import need_model, need_version
from inferry.types.trials import Report, Trial

SERIES = "trial"
SHOWN = ("model", "version", "number", "at", "by", "passed", "failed", "digest")


_REPORT = msgspec.json.Decoder(Report)
_FAILED = msgspec.json.Decoder(tuple[str, ...])


class Trials(Base):
    """interfaces.trials.TrialStore."""

    def keep_trial(self, model: str, version: int, report: Report, now: float, by: str) -> Trial:
        """The report as the model's next trial."""
        data = msgspec.json.encode(report, order="sorted")
        with self._writing() as connection:
            found = need_version(connection, model, version)
            if report.bundle != found.bundle:
                raise Conflict(
                    f"The report is of the bundle {report.bundle[:12]!a}, {found.reference} is {found.bundle[:12]}.",
                    help=f"Test it again: inferry test {found.reference}",
                )
            trial = Trial(
                model=model, version=version, number=next_number(connection, SERIES, model), at=now, by=by,
                passed=report.passed, failed=report.failures, digest=hashlib.sha256(data).hexdigest(),
            )  # fmt: skip
            values: dict[str, Any] = {**plain(trial), "failed": to_text(trial.failed), "report": data.decode()}
            connection.execute(insert(trials).values(values))
            tell(connection, events.tried(trial))
        return trial

    def trials(self, model: str, version: int = 0) -> list[Trial]:
        """Those of a model's version, or of all, oldest first."""
        query = select(*(trials.c[name] for name in SHOWN)).where(trials.c.model == model)
        if version:
            query = query.where(trials.c.version == version)
        with self._reading() as connection:
            need_model(connection, model)
            return [_trial(row) for row in connection.execute(query.order_by(trials.c.number)).mappings()]

    def trial_report(self, model: str, number: int) -> Report:
        """The report of one trial."""
        query = select(trials.c.report).where(trials.c.model == model, trials.c.number == number)
        with self._reading() as connection:
            text = connection.execute(query).scalar_one_or_none()
        if text is None:
            raise NotFound(f"There is no test {number} of {model}.", help=f"List them: inferry describe {model}:N")
        return _REPORT.decode(text)


def _trial(row: RowMapping) -> Trial:
    return Trial(**{**row, "failed": _FAILED.decode(row["failed"])})
