"""Opening the database: a private file, durable settings, and the schema brought to its head.

Data flow: url -> engine -> the schema's revision by plain SQL -> at head: done; behind:
Alembic (imported only now) upgrades it in one transaction; unknown: a newer Inferry wrote it.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url, text

from inferry.errors import Conflict
from inferry.storage.faults import translated

REVISIONS = ("0001",)
"""Every schema revision this code knows, oldest first; the last is the head."""

_BUSY_MS = 10_000


def open_engine(url: str) -> Engine:
    """An engine on a database whose schema is at the head."""
    target = make_url(url)
    if target.get_backend_name() == "sqlite" and target.database:
        with translated():
            _make_private(target.database)
    engine = create_engine(target)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    try:
        with translated():
            _bring_to_head(engine)
    except BaseException:
        engine.dispose()
        raise
    return engine


def at_head(path: Path) -> bool:
    """Whether the SQLite database there needs no migration."""
    if not path.exists():
        return False
    engine = create_engine(f"sqlite:///{path}")
    try:
        with translated(), engine.connect() as connection:
            return _revision(connection) == REVISIONS[-1]
    finally:
        engine.dispose()


def writing(engine: Engine) -> Engine:
    """The same engine, whose transactions take the write lock when they begin."""
    return engine.execution_options(inferry_write=True)


def _make_private(path: str) -> None:
    """Give the file mode 0600, making it when it is not there; the log beside it inherits the mode.

    It is never opened here: closing a database's file would drop the locks that SQLite holds
    on it for other connections of this process.
    """
    target = Path(path)
    if not target.exists():
        handle, fresh = tempfile.mkstemp(prefix=".inferry-", dir=target.parent)  # made with mode 0600
        os.close(handle)
        with contextlib.suppress(FileExistsError):  # another opener was first
            os.link(fresh, target)
        Path(fresh).unlink()
    target.chmod(0o600)


def _set_up_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says, also around DDL
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")  # first: the others may have to wait
    _use_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _use_wal(connection: Any) -> None:
    """Write-ahead logging. SQLite does not wait for other openers when the mode is changed, so we do."""
    give_up = time.monotonic() + _BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """A writer locks at once: upgrading a read lock later could fail half way as busy."""
    write = connection.get_execution_options().get("inferry_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _bring_to_head(engine: Engine) -> None:
    with engine.connect() as connection:
        found = _revision(connection)
    if found == REVISIONS[-1]:
        return
    with writing(engine).begin() as connection:
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
