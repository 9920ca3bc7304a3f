"""Projects and runs: what was applied, and where each version stands on its ladder.

A run's state and the words for it are one transaction: a control process that dies leaves the last step whole.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, insert, select, update

from inferry.errors import Conflict, NotFound
from inferry.policy import events
from inferry.storage.base import Base, exists
from inferry.storage.rows import to_text
from inferry.storage.tables import projects, run_events, runs
from inferry.storage.told import tell
from inferry.types.pipeline import ENDED, Run, RunEvent, RunRecord, Turn
from inferry.types.project import AppliedProject, Project

KEPT = 50  # projects


_PROJECT = msgspec.json.Decoder(Project)
_RUN = msgspec.json.Decoder(Run)
_TIMES = msgspec.json.Decoder(dict[str, float])
_TEXTS = msgspec.json.Decoder(tuple[str, ...])
_TRUTH = msgspec.json.Decoder(bool)


class Pipelines(Base):
    """interfaces.pipelines.PipelineStore."""

    def apply_project(self, project: Project, prune: bool, now: float, by: str) -> AppliedProject:
        """What is wanted from now on."""
        with self._writing() as connection:
            before = _latest(connection)
            turn = before.turn + 1 if before is not None else 1
            known = before.since if before is not None else {}
            since = {model: known.get(model, now) for model in project.pipelines}
            managed = tuple(sorted({*project.endpoints, *(before.managed if before is not None else ())}))
            made = AppliedProject(turn=turn, at=now, by=by, project=project, since=since, managed=managed, prune=prune)
            row = {
                "turn": turn, "at": now, "by": by, "project": to_text(project), "since": to_text(since),
                "managed": to_text(managed), "prune": to_text(prune), "state": "open", "problems": "[]",
            }  # fmt: skip
            connection.execute(insert(projects).values(row))
            connection.execute(delete(projects).where(projects.c.turn <= turn - KEPT))
        return made

    def project(self) -> AppliedProject | None:
        """What was applied last."""
        with self._reading() as connection:
            return _latest(connection)

    def settle_project(self, turn: int, problems: tuple[str, ...]) -> None:
        """Say that a project is carried out, as far as it could be."""
        values = {"state": "settled", "problems": to_text(problems)}
        with self._writing() as connection:
            connection.execute(update(projects).where(projects.c.turn == turn).values(values))

    def begin_run(self, run: Run, now: float) -> RunRecord:
        """A run of a version."""
        record = RunRecord(run=run, updated=now)
        with self._writing() as connection:
            same = (runs.c.model == run.model) & (runs.c.version == run.version) & runs.c.phase.not_in(ENDED)
            if exists(connection, runs, same):
                raise Conflict(
                    f"{run.model}:{run.version} is on its way already.", help=f"inferry pipeline status {run.model}"
                )
            connection.execute(insert(runs).values(_row(record)))
            _add_event(connection, record, run.created_by, "It begins.")
            tell(connection, events.run_begun(run, now))
        return record

    def keep_turn(self, record: RunRecord, turn: Turn, now: float, by: str) -> RunRecord:
        """The next state and its words."""
        made = RunRecord(run=turn.run, updated=now, turn=record.turn + 1)
        this = (runs.c.id == turn.run.id) & (runs.c.turn == record.turn)
        with self._writing() as connection:
            if connection.execute(update(runs).where(this).values(_row(made))).rowcount == 0:
                raise Conflict("The run has changed meanwhile.", help="Look at it and decide again.")
            if turn.words:
                _add_event(connection, made, by, turn.words)
            tell(connection, *events.turned(record.run, turn.run, now, by))
        return made

    def runs(self, model: str = "", *, active: bool = False) -> list[RunRecord]:
        """All, or those of one model, oldest first."""
        query = select(runs).order_by(runs.c.started, runs.c.version, runs.c.id)
        if model:
            query = query.where(runs.c.model == model)
        if active:
            query = query.where(runs.c.phase.not_in(ENDED))
        with self._reading() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def run(self, id: str) -> RunRecord:
        """One run."""
        with self._reading() as connection:
            row = connection.execute(select(runs).where(runs.c.id == id)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"There is no run {id[:40]!a}.", help="List them with: inferry pipeline list")
        return _record(row)

    def run_events(self, id: str, after: int = 0) -> list[RunEvent]:
        """What happened, in order."""
        query = select(run_events).where(run_events.c.run == id, run_events.c.number > after)
        with self._reading() as connection:
            rows = connection.execute(query.order_by(run_events.c.number)).mappings()
            return [
                RunEvent(
                    number=row["number"], at=row["at"], phase=row["phase"], stage=row["stage"], by=row["by"],
                    words=row["words"],
                )
                for row in rows
            ]  # fmt: skip


def _latest(connection: Connection) -> AppliedProject | None:
    row = connection.execute(select(projects).order_by(projects.c.turn.desc()).limit(1)).mappings().one_or_none()
    if row is None:
        return None
    return AppliedProject(
        turn=row["turn"],
        at=row["at"],
        by=row["by"],
        project=_PROJECT.decode(row["project"]),
        since=_TIMES.decode(row["since"]),
        managed=_TEXTS.decode(row["managed"]),
        prune=_TRUTH.decode(row["prune"]),
        settled=row["state"] == "settled",
        problems=_TEXTS.decode(row["problems"]),
    )


def refuse_while_running(connection: Connection, condition: ColumnElement[bool]) -> None:
    """Raise Conflict for what cannot be done while a version is on its way."""
    if exists(connection, runs, condition & runs.c.phase.not_in(ENDED)):
        raise Conflict(
            "A version is on its way through a pipeline.", help="Wait, or cancel: inferry pipeline cancel ID"
        )


def on_their_way(connection: Connection, model: str) -> frozenset[int]:
    """A model's versions that a pipeline is at work with."""
    query = select(runs.c.version).where(runs.c.model == model, runs.c.phase.not_in(ENDED))
    return frozenset(connection.scalars(query))


def forget_runs(connection: Connection, model: str) -> None:
    """Remove all of a model's runs."""
    its = select(runs.c.id).where(runs.c.model == model)
    connection.execute(delete(run_events).where(run_events.c.run.in_(its)))
    connection.execute(delete(runs).where(runs.c.model == model))


def _add_event(connection: Connection, record: RunRecord, by: str, words: str) -> None:
    run = record.run
    last = connection.execute(select(func.max(run_events.c.number)).where(run_events.c.run == run.id)).scalar_one()
    values = {
        "run": run.id, "number": (last or 0) + 1, "at": record.updated, "phase": run.phase, "stage": run.stage,
        "by": by, "words": words,
    }  # fmt: skip
    connection.execute(insert(run_events).values(values))


def _row(record: RunRecord) -> dict[str, Any]:
    run = record.run
    return {
        "id": run.id,
        "model": run.model,
        "version": run.version,
        "phase": run.phase,
        "started": run.started,
        "updated": record.updated,
        "turn": record.turn,
        "state": to_text(run),
    }


def _record(row: RowMapping) -> RunRecord:
    return RunRecord(run=_RUN.decode(row["state"]), updated=row["updated"], turn=row["turn"])
