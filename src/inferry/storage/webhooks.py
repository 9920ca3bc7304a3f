"""Webhooks: who is told, what is on its way, and how each attempt went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, RowMapping, Select, delete, func, insert, select, update

from inferry.errors import Conflict, NotFound
from inferry.storage.base import Base, exists
from inferry.storage.rows import plain, to_text
from inferry.storage.tables import deliveries, delivery_attempts, webhooks
from inferry.storage.told import add_delivery, new_id, tell
from inferry.types.webhooks import Attempt, Delivery, Event, State, Webhook

MOST = 100  # webhooks

_EVENT = msgspec.json.Decoder(Event)
_PATTERNS = msgspec.json.Decoder(tuple[str, ...])


class Webhooks(Base):
    """interfaces.webhooks.WebhookStore."""

    def add_webhook(self, hook: Webhook) -> None:
        """Tell it from now on."""
        with self._writing() as connection:
            if exists(connection, webhooks, webhooks.c.name == hook.name):
                raise Conflict(f"There is a webhook {hook.name!r} already.", help="Choose another name, or remove it.")
            if connection.execute(select(func.count()).select_from(webhooks)).scalar_one() >= MOST:
                raise Conflict(f"There are {MOST} webhooks already.", help="Remove some: inferry webhooks list")
            connection.execute(insert(webhooks).values(_hook_row(hook)))

    def change_webhook(self, name: str, change: Callable[[Webhook], Webhook]) -> Webhook:
        """Read it, change it, keep that."""
        with self._writing() as connection:
            made = change(_need(connection, name))
            connection.execute(update(webhooks).where(webhooks.c.name == name).values(_hook_row(made)))
            return made

    def happened(self, event: Event) -> None:
        """Tell of something that is no change of the store."""
        with self._writing() as connection:
            tell(connection, event)

    def delete_webhook(self, name: str) -> None:
        """Forget it, with its deliveries."""
        with self._writing() as connection:
            _need(connection, name)
            connection.execute(delete(delivery_attempts).where(delivery_attempts.c.hook == name))
            connection.execute(delete(deliveries).where(deliveries.c.hook == name))
            connection.execute(delete(webhooks).where(webhooks.c.name == name))

    def webhooks(self) -> list[Webhook]:
        """All, by name."""
        with self._reading() as connection:
            found = [_hook(row) for row in connection.execute(select(webhooks)).mappings()]
        return sorted(found, key=lambda hook: hook.name)  # a database's collation may differ

    def webhook(self, name: str) -> Webhook:
        """One."""
        with self._reading() as connection:
            return _need(connection, name)

    def add_delivery(self, hook: str, event: Event) -> Delivery:
        """Tell one webhook something, whatever it asked for."""
        with self._writing() as connection:
            _need(connection, hook)
            return add_delivery(connection, hook, new_id(), event)

    def due_webhooks(self, now: float) -> list[str]:
        """The names of those that something is due for."""
        due = (deliveries.c.state == "waiting") & (deliveries.c.due <= now)
        with self._reading() as connection:
            query = select(deliveries.c.hook).join(webhooks).where(due, webhooks.c.off == "").distinct()
            return sorted(connection.scalars(query))

    def waiting(self, hook: str, limit: int) -> list[Delivery]:
        """What is on its way to a webhook, in order."""
        query = _deliveries().where(deliveries.c.hook == hook, deliveries.c.state == "waiting")
        with self._reading() as connection:
            rows = connection.execute(query.order_by(deliveries.c.number).limit(limit)).mappings()
            return [_delivery(row) for row in rows]

    def keep_attempt(self, delivery: Delivery, attempt: Attempt, state: State, due: float, off: str) -> None:
        """What came of an attempt."""
        this = (deliveries.c.hook == delivery.hook) & (deliveries.c.number == delivery.number)
        values = {
            "state": state,
            "due": due,
            "tries": delivery.tries + 1,
            "attempts": attempt.number,
            "updated": attempt.at,
        }
        with self._writing() as connection:
            if connection.execute(update(deliveries).where(this).values(values)).rowcount == 0:
                return  # its webhook was removed meanwhile
            row = {**plain(attempt), "hook": delivery.hook, "delivery": delivery.number}
            connection.execute(insert(delivery_attempts).values(row))
            if off:
                connection.execute(update(webhooks).where(webhooks.c.name == delivery.hook).values(off=off))
                its = (deliveries.c.hook == delivery.hook) & (deliveries.c.state == "waiting")
                connection.execute(update(deliveries).where(its).values(state="dead", updated=attempt.at))

    def deliveries(self, hook: str, *, state: str = "", before: int = 0, limit: int = 50) -> list[Delivery]:
        """The latest of a webhook, newest first."""
        query = _deliveries().where(deliveries.c.hook == hook)
        if state:
            query = query.where(deliveries.c.state == state)
        if before:
            query = query.where(deliveries.c.number < before)
        with self._reading() as connection:
            _need(connection, hook)
            rows = connection.execute(query.order_by(deliveries.c.number.desc()).limit(limit)).mappings()
            return [_delivery(row) for row in rows]

    def attempts(self, hook: str, number: int) -> list[Attempt]:
        """All of a delivery, in order."""
        table = delivery_attempts
        query = select(*(table.c[field] for field in Attempt.__struct_fields__))
        query = query.where(table.c.hook == hook, table.c.delivery == number).order_by(table.c.number)
        with self._reading() as connection:
            _need_delivery(connection, hook, number)
            return [Attempt(**row) for row in connection.execute(query).mappings()]

    def send_again(self, hook: str, numbers: Sequence[int], now: float) -> int:
        """Deliveries that are over are due once more."""
        over = (deliveries.c.hook == hook) & (deliveries.c.state != "waiting")
        with self._writing() as connection:
            if _need(connection, hook).off:
                raise Conflict(f"The webhook {hook!r} is off.", help=f"Turn it on: inferry webhooks on {hook}")
            for number in numbers:
                _need_delivery(connection, hook, number)
            which = over & (deliveries.c.number.in_(numbers) if numbers else deliveries.c.state == "dead")
            values = {"state": "waiting", "tries": 0, "since": now, "due": now, "updated": now}
            return connection.execute(update(deliveries).where(which).values(values)).rowcount

    def forget_deliveries(self, before: float, most: int) -> int:
        """Remove what was over before then, or too many."""
        over, gone = deliveries.c.state != "waiting", 0
        with self._writing() as connection:
            for name in list(connection.scalars(select(webhooks.c.name))):
                its = (deliveries.c.hook == name) & over
                kept = select(deliveries.c.number).where(its).order_by(deliveries.c.number.desc())
                last = connection.execute(kept.offset(most).limit(1)).scalar_one_or_none() or 0
                old = its & ((deliveries.c.updated < before) | (deliveries.c.number <= last))
                table = delivery_attempts
                numbers = select(deliveries.c.number).where(old)
                connection.execute(delete(table).where(table.c.hook == name, table.c.delivery.in_(numbers)))
                gone += connection.execute(delete(deliveries).where(old)).rowcount
        return gone


def _need(connection: Connection, name: str) -> Webhook:
    row = connection.execute(select(webhooks).where(webhooks.c.name == name)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no webhook {name!r}.", help="List them: inferry webhooks list")
    return _hook(row)


def _need_delivery(connection: Connection, hook: str, number: int) -> None:
    if not exists(connection, deliveries, (deliveries.c.hook == hook) & (deliveries.c.number == number)):
        raise NotFound(
            f"The webhook {hook!r} has no delivery {number}.", help=f"List them: inferry webhooks deliveries {hook}"
        )


def _hook_row(hook: Webhook) -> dict[str, Any]:
    return {**plain(hook), "events": to_text(hook.events)}


def _hook(row: RowMapping) -> Webhook:
    return Webhook(**{**row, "events": _PATTERNS.decode(row["events"])})


def _deliveries() -> Select[Any]:
    """Deliveries, each with its latest attempt."""
    last = delivery_attempts
    mine = (last.c.hook == deliveries.c.hook) & (last.c.delivery == deliveries.c.number)
    columns = [last.c[field].label(f"last_{field}") for field in Attempt.__struct_fields__]
    return select(deliveries, *columns).select_from(
        deliveries.outerjoin(last, mine & (last.c.number == deliveries.c.attempts))
    )


def _delivery(row: RowMapping) -> Delivery:
    last = None
    if row["last_number"] is not None:
        last = Attempt(**{field: row[f"last_{field}"] for field in Attempt.__struct_fields__})
    fields = {field: row[field] for field in Delivery.__struct_fields__ if field not in ("event", "last")}
    return Delivery(**fields, event=_EVENT.decode(row["event"]), last=last)
