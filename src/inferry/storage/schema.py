"""Opening the database, and bringing its schema to its head.

Data flow: url -> the engines of its kind (`sqlite`, `postgres`) -> the schema's revision by plain SQL -> at head:
done; behind: Alembic (imported only now) upgrades it in one transaction; unknown: a newer Inferry wrote it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, Engine, inspect, text

from inferry.errors import Conflict
from inferry.storage import postgres, sqlite
from inferry.storage.faults import translated
from inferry.types.database import parse_database_url

REVISIONS = ("0001", "0004", "0005", "0006", "0007", "0008", "0009", "0010", "0011", "0012", "0013", "0014", "0015")
"""Every schema revision this code knows, oldest first; the last is the head."""


@dataclass(frozen=True)
class Database:
    """An open database. `reader` and `writer` may be one engine; `shown` is how people know it."""

    reader: Engine
    writer: Engine
    shown: str

    @property
    def called(self) -> str:
        """Its name at the beginning of a sentence."""
        return f"The database {self.shown}"

    def close(self) -> None:
        """Drop all connections, and with them the locks."""
        self.writer.dispose()
        self.reader.dispose()


def open_database(url: str, *, epoch: int = 0) -> Database:
    """A database whose schema is at the head. `epoch`: the one in which this process leads, without which nothing is
    written (0: whoever has it open may write; on SQLite the lock on the home sees to it that there is one)."""
    database = _connect(url, epoch=epoch)
    try:
        with translated(database.called):
            _bring_to_head(database)
    except BaseException:
        database.close()
        raise
    return database


def open_engine(url: str) -> Engine:
    """An engine on a database whose schema is at the head."""
    return open_database(url).reader


def at_head(url: str) -> bool:
    """Whether the database there needs no migration."""
    database = _connect(url)
    try:
        with translated(database.called), database.reader.connect() as connection:
            return _revision(connection) == REVISIONS[-1]
    finally:
        database.close()


def writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take the write lock when they begin."""
    return engine.execution_options(inferry_write=True)


def _connect(url: str, *, epoch: int = 0) -> Database:
    if url.startswith("sqlite:"):
        with translated():
            engine = sqlite.make_engine(url)
        return Database(engine, writing(engine), "SQLite")
    target = parse_database_url(url)
    with translated():
        reader = postgres.make_engine(target)
        writer = postgres.make_writer(target, epoch) if epoch else reader
    return Database(reader, writing(writer), target.shown)


def _bring_to_head(database: Database) -> None:
    with database.reader.connect() as connection:
        found = _revision(connection)
    if found == REVISIONS[-1]:
        return
    with database.writer.begin() as connection:
        if connection.dialect.name == "postgresql":
            postgres.check_encoding(connection)
        found = _revision(connection)  # another process may have been first
        if found not in (None, *REVISIONS):
            raise Conflict(
                f"The database has schema {found}, made by a newer Inferry; this one knows up to {REVISIONS[-1]}.",
                help="Install that version or a newer one, or use another INFERRY_HOME.",
            )
        if found != REVISIONS[-1]:
            _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "inferry.storage:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
