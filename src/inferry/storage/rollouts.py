"""Rollouts: their state, their decisions, and the traffic that goes with each, in one transaction.

A control process that dies between two decisions leaves the last one whole: the next process goes on from it.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, delete, insert, select, update

from inferry.errors import Conflict, NotFound
from inferry.policy import events, traffic
from inferry.policy import rollout as policy
from inferry.storage.base import Base
from inferry.storage.endpoint_rows import keep_traffic, need_endpoint, need_revision
from inferry.storage.moves import ENDED, refuse_while_moving
from inferry.storage.rows import to_text
from inferry.storage.tables import decisions, rollouts
from inferry.storage.told import tell
from inferry.types.analysis import Reading
from inferry.types.registry import Endpoint
from inferry.types.rollout import Decision, RecordedDecision, Rollout, RolloutRecord, Strategy

_ROLLOUT = msgspec.json.Decoder(Rollout)
_STRATEGY = msgspec.json.Decoder(Strategy)
_READINGS = msgspec.json.Decoder(tuple[Reading, ...])


class Rollouts(Base):
    """interfaces.rollouts.RolloutStore."""

    def begin_rollout(self, endpoint: str, canary: int, strategy: Strategy, now: float, by: str) -> RolloutRecord:
        """A rollout to a revision that exists; it runs without a share from now on."""
        with self._writing() as connection:
            found = need_endpoint(connection, endpoint)
            need_revision(connection, endpoint, canary)
            return add_rollout(connection, found, canary, strategy, now, by)

    def keep_decision(self, record: RolloutRecord, decision: Decision) -> RolloutRecord:
        """The next state, what was decided, and the traffic."""
        state = decision.rollout
        with self._writing() as connection:
            made = RolloutRecord(
                rollout=state,
                strategy=record.strategy,
                created_by=record.created_by,
                updated=decision.at,
                turn=record.turn + 1,
                decisions=record.decisions + (decision.action != "wait"),
            )
            this = (rollouts.c.id == state.id) & (rollouts.c.turn == record.turn)
            if connection.execute(update(rollouts).where(this).values(_row(made))).rowcount == 0:
                raise Conflict("The rollout has changed meanwhile.", help="Look at it and decide again.")
            if decision.action == "wait":
                return made
            connection.execute(insert(decisions).values(_decision_row(made, decision)))
            tell(connection, *events.decided(decision))
            moved = decision.weight != record.rollout.weight or state.ended
            if moved:
                found = need_endpoint(connection, state.endpoint)
                after = traffic.follow(found, state.stable, state.canary, decision.weight, ended=state.ended)
                keep_traffic(connection, after, decision.at)
        return made

    def rollouts(self, endpoint: str = "", *, active: bool = False) -> list[RolloutRecord]:
        """All, or those of one endpoint, oldest first."""
        query = select(rollouts).order_by(rollouts.c.started, rollouts.c.id)
        if endpoint:
            query = query.where(rollouts.c.endpoint == endpoint)
        if active:
            query = query.where(rollouts.c.phase.not_in(ENDED))
        with self._reading() as connection:
            return [_record(row) for row in connection.execute(query).mappings()]

    def rollout(self, id: str) -> RolloutRecord:
        """One rollout."""
        with self._reading() as connection:
            row = connection.execute(select(rollouts).where(rollouts.c.id == id)).mappings().one_or_none()
        if row is None:
            raise NotFound(f"There is no rollout {id[:40]!a}.", help="List them with: inferry rollout list")
        return _record(row)

    def decisions(self, id: str, after: int = 0) -> list[RecordedDecision]:
        """What it decided, in order."""
        query = select(decisions).where(decisions.c.rollout == id, decisions.c.number > after)
        with self._reading() as connection:
            return [_decision(row) for row in connection.execute(query.order_by(decisions.c.number)).mappings()]


def add_rollout(
    connection: Connection, endpoint: Endpoint, canary: int, strategy: Strategy, now: float, by: str
) -> RolloutRecord:
    """Begin a rollout from the revision that has all traffic."""
    refuse_while_moving(connection, endpoint.name)
    after = traffic.try_out(endpoint, canary)
    state = policy.begin(secrets.token_hex(6), endpoint.name, endpoint.revision, canary, now)
    record = RolloutRecord(rollout=state, strategy=strategy, created_by=by, updated=now)
    connection.execute(insert(rollouts).values(_row(record)))
    keep_traffic(connection, after, now)
    tell(connection, events.rollout_started(record))
    return record


def forget_rollouts(connection: Connection, endpoint: str) -> None:
    """Remove all of an endpoint's rollouts."""
    its = select(rollouts.c.id).where(rollouts.c.endpoint == endpoint)
    connection.execute(delete(decisions).where(decisions.c.rollout.in_(its)))
    connection.execute(delete(rollouts).where(rollouts.c.endpoint == endpoint))


def rolling(connection: Connection, endpoint: str) -> frozenset[int]:
    """The revisions that a rollout under way moves traffic between."""
    under_way = (rollouts.c.endpoint == endpoint) & rollouts.c.phase.not_in(ENDED)
    records = [_record(row) for row in connection.execute(select(rollouts).where(under_way)).mappings()]
    return frozenset(number for record in records for number in (record.rollout.stable, record.rollout.canary))


def _row(record: RolloutRecord) -> dict[str, Any]:
    state = record.rollout
    return {
        "id": state.id,
        "endpoint": state.endpoint,
        "phase": state.phase,
        "started": state.started,
        "updated": record.updated,
        "created_by": record.created_by,
        "turn": record.turn,
        "decisions": record.decisions,
        "strategy": to_text(record.strategy),
        "state": to_text(state),
    }


def _record(row: RowMapping) -> RolloutRecord:
    return RolloutRecord(
        rollout=_ROLLOUT.decode(row["state"]),
        strategy=_STRATEGY.decode(row["strategy"]),
        created_by=row["created_by"],
        updated=row["updated"],
        turn=row["turn"],
        decisions=row["decisions"],
    )


def _decision_row(record: RolloutRecord, decision: Decision) -> dict[str, Any]:
    return {
        "rollout": record.rollout.id,
        "number": record.decisions,
        "at": decision.at,
        "action": decision.action,
        "by": decision.by,
        "weight": decision.weight,
        "reason": decision.reason,
        "evidence": to_text(decision.evidence),
    }


def _decision(row: RowMapping) -> RecordedDecision:
    return RecordedDecision(
        number=row["number"],
        at=row["at"],
        action=row["action"],
        by=row["by"],
        reason=row["reason"],
        weight=row["weight"],
        evidence=_READINGS.decode(row["evidence"]),
    )
