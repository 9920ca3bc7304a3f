"""An endpoint and its revisions, read and written within a transaction that is under way."""

from __future__ import annotations

from sqlalchemy import Connection, select, update

from inferry.errors import NotFound
from inferry.storage import rows
from inferry.storage.tables import endpoints, revisions
from inferry.types.registry import Endpoint, Revision


def find_endpoint(connection: Connection, name: str) -> Endpoint | None:
    """An endpoint, if it is there."""
    row = connection.execute(select(endpoints).where(endpoints.c.name == name)).mappings().one_or_none()
    return None if row is None else rows.to_endpoint(row)


def need_endpoint(connection: Connection, name: str) -> Endpoint:
    """An endpoint, or NotFound."""
    found = find_endpoint(connection, name)
    if found is None:
        raise NotFound(f"There is no endpoint {name!r}.")
    return found


def need_revision(connection: Connection, endpoint: str, number: int) -> Revision:
    """A revision, or NotFound."""
    query = select(revisions).where(revisions.c.endpoint == endpoint, revisions.c.number == number)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"The endpoint {endpoint!r} has no revision {number}.")
    return rows.to_revision(row)


def keep_traffic(connection: Connection, endpoint: Endpoint, now: float) -> None:
    """Write how an endpoint's requests are shared out, and which revisions that stops."""
    left = need_endpoint(connection, endpoint.name).running - endpoint.running
    stopped = (revisions.c.endpoint == endpoint.name) & revisions.c.number.in_(left)
    connection.execute(update(revisions).where(stopped).values(stopped=now))
    row = rows.endpoint_row(endpoint)
    values = {"traffic": row["traffic"], "split": row["split"], "updated": now}
    connection.execute(update(endpoints).where(endpoints.c.name == endpoint.name).values(values))
