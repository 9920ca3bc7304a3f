"""What every aggregate of the store stands on: transactions, and numbers that are never used twice.

Data flow: a method -> one transaction (`_reading`, `_writing`) -> rows -> nouns. Which SQL begins a
transaction is the business of `sqlite` and `postgres`.

Methods run in threads, and msgspec, which prepares a type at its first use, crashes when two threads do that at once:
what columns hold is decoded by a `msgspec.json.Decoder` at a module's top, made at import.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, Table, func, insert, literal, select, update

from inferry.errors import Unavailable
from inferry.storage import postgres
from inferry.storage.faults import translated
from inferry.storage.schema import Database
from inferry.storage.tables import counters


class Base:
    """An open database whose schema is at the head."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def close(self) -> None:
        """Release the database."""
        self._database.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translated(self._database.called), self._database.reader.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """All of it is kept, or nothing."""
        with translated(self._database.called), self._database.writer.connect() as connection:
            connection.begin()
            yield connection
            _commit(connection, self._database.called)


def _commit(connection: Connection, called: str) -> None:
    """A server that goes away now may have kept it or not, and nobody can ask: the one case where that is unknown."""
    try:
        connection.commit()
    except Exception as error:
        if not postgres.is_gone(error):
            raise
        raise Unavailable(
            f"{called} went away while a change was written down: it was made, or not.",
            help="Look at the present state, then try again.",
            retry_after=1.0,
        ) from error


def exists(connection: Connection, table: Table, condition: ColumnElement[bool]) -> bool:
    """Whether a table has such a row."""
    return connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one() > 0


def any_row(connection: Connection, table: Table) -> bool:
    """Whether a table has rows."""
    return connection.execute(select(literal(1)).select_from(table).limit(1)).first() is not None


def next_number(connection: Connection, scope: str, name: str) -> int:
    """The next number of a series that is never rewound."""
    this = (counters.c.scope == scope) & (counters.c.name == name)
    if connection.execute(update(counters).where(this).values(last=counters.c.last + 1)).rowcount == 0:
        connection.execute(insert(counters).values(scope=scope, name=name, last=1))
    return int(connection.execute(select(counters.c.last).where(this)).scalar_one())
