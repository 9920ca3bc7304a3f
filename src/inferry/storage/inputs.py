"""Inputs: requests that were kept, in rows with their bodies.

Data flow: requests of a second -> those that are new are inserted -> read back oldest first, to be sent again. What is
over an endpoint's bounds goes, the oldest first. Only one process writes.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, RowMapping, delete, func, insert, select

from inferry.storage.base import Base
from inferry.storage.chunks import chunks
from inferry.storage.tables import inputs
from inferry.types.replay import InputsKept, KeptInput


class Inputs(Base):
    """interfaces.inputs.InputStore."""

    def add_inputs(self, given: Sequence[KeptInput]) -> None:
        """Those that are new."""
        new = {(one.request, one.endpoint): one for one in reversed(given)}
        ids = sorted({one.request for one in given})
        with self._writing() as connection:
            for chunk in chunks(ids):
                query = select(inputs.c.request, inputs.c.endpoint).where(inputs.c.request.in_(chunk))
                for request, endpoint in connection.execute(query):
                    new.pop((request, endpoint), None)
            if new:
                connection.execute(insert(inputs), [_row(one) for one in new.values()])

    def inputs(self, endpoint: str, since: float, most: int) -> list[KeptInput]:
        """The latest, oldest first."""
        its = inputs.c.endpoint == endpoint
        query = select(inputs).where(its, inputs.c.at >= since).order_by(inputs.c.at.desc()).limit(most)
        with self._reading() as connection:
            return [_input(row) for row in reversed(connection.execute(query).mappings().all())]

    def inputs_kept(self, endpoint: str) -> InputsKept:
        """Sums."""
        c = inputs.c
        sums = select(func.count(), func.sum(c.size), func.min(c.at), func.max(c.at)).where(c.endpoint == endpoint)
        with self._reading() as connection:
            count, size, oldest, newest = connection.execute(sums).one()
        return InputsKept(
            endpoint=endpoint, requests=int(count), bytes=int(size or 0), oldest=oldest or 0.0, newest=newest or 0.0
        )

    def forget_inputs(self, before: float, most: int, most_bytes: int, endpoint: str = "") -> int:
        """The old, and what is over the bounds."""
        gone = 0
        with self._writing() as connection:
            named = select(inputs.c.endpoint).distinct()
            for name in [endpoint] if endpoint else connection.execute(named).scalars().all():
                edge = max(before, _edge(connection, name, most, most_bytes))
                its = (inputs.c.endpoint == name) & (inputs.c.at < edge)
                gone += connection.execute(delete(inputs).where(its)).rowcount
        return int(gone)


def forget_kept_inputs(connection: Connection, endpoint: str) -> None:
    """Remove all that is kept of an endpoint."""
    connection.execute(delete(inputs).where(inputs.c.endpoint == endpoint))


def _edge(connection: Connection, endpoint: str, most: int, most_bytes: int) -> float:
    """The moment before which an endpoint's requests are over its bounds; 0 when none are."""
    query = select(inputs.c.at, inputs.c.size).where(inputs.c.endpoint == endpoint).order_by(inputs.c.at.desc())
    count = size = 0
    newer = 0.0
    for at, bytes_ in connection.execute(query):
        count, size = count + 1, size + bytes_
        if count > most or size > most_bytes:
            return newer or at + 1e-6
        newer = at
    return 0.0


def _row(one: KeptInput) -> dict[str, object]:
    return {
        "request": one.request,
        "endpoint": one.endpoint,
        "revision": one.revision,
        "version": one.version,
        "at": one.at,
        "door": one.door,
        "media": one.media,
        "encoding": one.encoding,
        "json_size": one.json_size,
        "size": len(one.body),
        "body": one.body,
    }


def _input(row: RowMapping) -> KeptInput:
    return KeptInput(
        request=row["request"],
        endpoint=row["endpoint"],
        revision=row["revision"],
        version=row["version"],
        at=row["at"],
        door=row["door"],
        media=row["media"],
        encoding=row["encoding"],
        json_size=row["json_size"],
        body=row["body"],
    )
