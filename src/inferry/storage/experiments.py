"""Experiments: what is compared, the units each variant was shown to, and the first outcome of each.

Data flow: new captures -> a unit (the key's hash) is exposed to the variant that answered it first; a truth that met
its prediction -> the outcome of its unit, once -> sums by variant. It happens in the transaction of the feedback, so
that neither is ever without the other.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, delete, func, insert, select, update

from inferry.errors import Conflict, InvalidInput, NotFound
from inferry.policy import events, quality, traffic
from inferry.storage.base import Base
from inferry.storage.chunks import chunks
from inferry.storage.endpoint_rows import keep_traffic, need_endpoint, need_revision
from inferry.storage.moves import refuse_while_moving
from inferry.storage.rows import to_text
from inferry.storage.tables import experiments, exposures
from inferry.storage.told import tell
from inferry.types.analysis import Moments
from inferry.types.experiment import Experiment, ExperimentRecord, Report, Seen
from inferry.types.feedback import Capture, Joined

_EXPERIMENT = msgspec.json.Decoder(Experiment)
_REPORT: msgspec.json.Decoder[Report | None] = msgspec.json.Decoder(Report | None)


class Experiments(Base):
    """interfaces.experiments.ExperimentStore."""

    def begin_experiment(self, endpoint: str, experiment: Experiment, by: str) -> ExperimentRecord:
        """An experiment, and the weights of its variants."""
        with self._writing() as connection:
            found = need_endpoint(connection, endpoint)
            refuse_while_moving(connection, endpoint)
            weights = {int(variant.name): variant.weight for variant in experiment.variants}
            for number in weights:
                need_revision(connection, endpoint, number)
            record = ExperimentRecord(id=secrets.token_hex(6), endpoint=endpoint, experiment=experiment, created_by=by)
            connection.execute(insert(experiments).values(_row(record)))
            keep_traffic(connection, traffic.point(found, weights), experiment.started)
            tell(connection, events.experiment_started(record))
        return record

    def end_experiment(self, id: str, now: float, by: str, reason: str, winner: int | None) -> ExperimentRecord:
        """It ends, and the winner gets all traffic when there is one."""
        with self._writing() as connection:
            record = _need(connection, id)
            if record.ended:
                raise Conflict("The experiment has ended.", help="See its report.")
            if winner is not None and str(winner) not in {variant.name for variant in record.experiment.variants}:
                raise InvalidInput(f"Revision {winner} is no variant.", help="Name one of those that were compared.")
            made = msgspec.structs.replace(record, ended=now, ended_by=by, reason=reason)
            connection.execute(update(experiments).where(experiments.c.id == id).values(_row(made)))
            if winner is not None:
                found = need_endpoint(connection, record.endpoint)
                keep_traffic(connection, traffic.point(found, {winner: 100}), now)
            tell(connection, events.experiment_ended(made, winner))
        return made

    def keep_report(self, id: str, report: Report) -> None:
        """The report to go on from."""
        with self._writing() as connection:
            record = _need(connection, id)
            if not record.ended:
                connection.execute(update(experiments).where(experiments.c.id == id).values(report=to_text(report)))
                tell(connection, *events.judged(record, report))

    def experiments(self, endpoint: str = "", *, running: bool = False) -> list[ExperimentRecord]:
        """All, or those of one endpoint, oldest first."""
        query = select(experiments).order_by(experiments.c.started, experiments.c.id)
        if endpoint:
            query = query.where(experiments.c.endpoint == endpoint)
        if running:
            query = query.where(experiments.c.ended == 0)
        with self._reading() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def experiment(self, id: str) -> ExperimentRecord:
        """One experiment."""
        with self._reading() as connection:
            return _need(connection, id)

    def seen(self, id: str) -> list[Seen]:
        """Sums by variant."""
        outcome = exposures.c.outcome
        sums = func.count(outcome), func.sum(outcome), func.sum(outcome * outcome)
        query = (
            select(exposures.c.variant, func.count(), *sums)
            .where(exposures.c.experiment == id)
            .group_by(exposures.c.variant)
            .order_by(exposures.c.variant)
        )
        with self._reading() as connection:
            return [
                Seen(variant=variant, exposed=units, outcome=Moments(count=of, total=total or 0, squares=squares or 0))
                for variant, units, of, total, squares in connection.execute(query)
            ]


def expose(connection: Connection, captures: Sequence[Capture]) -> None:
    """Units that are seen for the first time, at the variant that answered them first."""
    by_endpoint: defaultdict[str, list[Capture]] = defaultdict(list)
    for capture in captures:
        by_endpoint[capture.endpoint].append(capture)
    for record in _running(connection, by_endpoint):
        names = {variant.name for variant in record.experiment.variants}
        first: dict[str, Capture] = {}
        for capture in by_endpoint[record.endpoint]:
            if str(capture.revision) in names and capture.at >= record.experiment.started:
                first.setdefault(capture.key, capture)
        known = _known(connection, record.id, list(first))
        rows = [
            {"experiment": record.id, "unit": unit, "variant": str(one.revision), "at": one.at, "outcome": None}
            for unit, one in first.items()
            if unit not in known
        ]
        if rows:
            connection.execute(insert(exposures), rows)


def note_outcomes(connection: Connection, met: Sequence[Joined]) -> None:
    """The first outcome of each unit."""
    by_endpoint: defaultdict[str, list[Joined]] = defaultdict(list)
    for one in met:
        by_endpoint[one.capture.endpoint].append(one)
    for record in _running(connection, by_endpoint):
        for one in by_endpoint[record.endpoint]:
            values = quality.outcomes(one).get(record.experiment.metric)
            if not values or one.capture.at < record.experiment.started:
                continue
            if record.experiment.kind == "share" and values[0] not in (0, 1):
                continue
            unit = (exposures.c.experiment == record.id) & (exposures.c.unit == one.capture.key)
            fresh = (exposures.c.variant == str(one.capture.revision)) & exposures.c.outcome.is_(None)
            connection.execute(update(exposures).where(unit & fresh).values(outcome=float(values[0])))


def forget_experiments(connection: Connection, endpoint: str) -> None:
    """Remove all of an endpoint's experiments."""
    its = select(experiments.c.id).where(experiments.c.endpoint == endpoint)
    connection.execute(delete(exposures).where(exposures.c.experiment.in_(its)))
    connection.execute(delete(experiments).where(experiments.c.endpoint == endpoint))


def _running(connection: Connection, endpoints: dict[str, Any]) -> list[ExperimentRecord]:
    if not endpoints:
        return []
    query = select(experiments).where(experiments.c.ended == 0)
    found = [_record(row) for row in connection.execute(query).mappings()]
    return [record for record in found if record.endpoint in endpoints]


def _known(connection: Connection, id: str, units: list[str]) -> set[str]:
    found: set[str] = set()
    for chunk in chunks(units):
        these = exposures.c.unit.in_(chunk)
        found |= set(connection.scalars(select(exposures.c.unit).where(exposures.c.experiment == id, these)))
    return found


def _need(connection: Connection, id: str) -> ExperimentRecord:
    row = connection.execute(select(experiments).where(experiments.c.id == id)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no experiment {id[:40]!a}.", help="List them with: inferry experiment list")
    return _record(row)


def _row(record: ExperimentRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "endpoint": record.endpoint,
        "started": record.experiment.started,
        "ended": record.ended,
        "created_by": record.created_by,
        "ended_by": record.ended_by,
        "reason": record.reason,
        "experiment": to_text(record.experiment),
        "report": to_text(record.report),
    }


def _record(row: RowMapping) -> ExperimentRecord:
    return ExperimentRecord(
        id=row["id"],
        endpoint=row["endpoint"],
        experiment=_EXPERIMENT.decode(row["experiment"]),
        created_by=row["created_by"],
        report=_REPORT.decode(row["report"]),
        ended=row["ended"],
        ended_by=row["ended_by"],
        reason=row["reason"],
    )
