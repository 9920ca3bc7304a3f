"""The outbox: what happened is written beside the change itself, for every webhook that wants to be told.

Data flow: a change's transaction + Events -> a delivery for each webhook that is on and asked for the type. Either
both are kept, or neither: an event is never lost, and never tells of what was undone.
"""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select

from inferry.policy.webhooks import wants
from inferry.storage.base import next_number
from inferry.storage.rows import to_text
from inferry.storage.tables import deliveries, webhooks
from inferry.types.webhooks import Delivery, Event

SERIES = "webhook"

_PATTERNS = msgspec.json.Decoder(tuple[str, ...])


def tell(connection: Connection, *events: Event) -> None:
    """Whoever wants to know."""
    asked = select(webhooks.c.name, webhooks.c.events).where(webhooks.c.off == "").order_by(webhooks.c.name)
    hooks = [(row.name, _PATTERNS.decode(row.events)) for row in connection.execute(asked)] if events else []
    for event in events:
        id = new_id()
        for name, patterns in hooks:
            if wants(patterns, event.type):
                add_delivery(connection, name, id, event)


def new_id() -> str:
    """An event's id: the same for every webhook and at every attempt, never used twice."""
    return f"evt_{secrets.token_hex(16)}"


def add_delivery(connection: Connection, hook: str, id: str, event: Event) -> Delivery:
    """Due at once."""
    number = next_number(connection, SERIES, hook)
    made = Delivery(hook=hook, number=number, id=id, event=event, since=event.at, due=event.at)
    row: dict[str, Any] = {
        "hook": hook, "number": number, "id": id, "event": to_text(event), "state": made.state, "tries": 0,
        "since": made.since, "due": made.due, "attempts": 0, "updated": event.at,
    }  # fmt: skip
    connection.execute(insert(deliveries).values(row))
    return made
