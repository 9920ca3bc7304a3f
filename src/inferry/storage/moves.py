"""Moves: what must not happen to an endpoint's traffic while a rollout moves it, or an experiment holds it still."""

from __future__ import annotations

from sqlalchemy import Connection

from inferry.errors import Conflict
from inferry.storage.base import exists
from inferry.storage.tables import experiments, rollouts

ENDED = ("promoted", "aborted")


def refuse_while_moving(connection: Connection, endpoint: str) -> None:
    """Raise Conflict when either is under way."""
    if exists(connection, rollouts, (rollouts.c.endpoint == endpoint) & rollouts.c.phase.not_in(ENDED)):
        raise Conflict(
            f"A rollout of {endpoint!r} is under way.",
            help=f"Wait for it, or end it: inferry rollout abort {endpoint} (or promote).",
        )
    if exists(connection, experiments, (experiments.c.endpoint == endpoint) & (experiments.c.ended == 0)):
        raise Conflict(
            f"An experiment at {endpoint!r} is under way: its shares must stay as they are.",
            help=f"Look at it, and end it: inferry experiment stop {endpoint}",
        )
