"""What is particular to SQLite: a private file, durable settings, a write lock taken at once, its error codes.

Data flow: path -> engine. Every transaction of `writing(engine)` begins with the write lock.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError

from inferry.errors import InferryError, InternalError, StorageFull, Unavailable

FULL = {13, 4874}  # SQLITE_FULL, SQLITE_IOERR_SHMSIZE: the shared index cannot grow
BUSY = {5, 6}
DAMAGED = {11, 26}
BUSY_MS = 10_000


def make_engine(url: str) -> Engine:
    """An engine on `sqlite:///PATH`; the file is made when it is not there."""
    path = url.removeprefix("sqlite:///")
    if path:
        _make_private(path)
    engine = create_engine(url)
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def known(error: DBAPIError) -> InferryError | None:
    """The house's error for one of SQLite's, if there is one."""
    extended = getattr(error.orig, "sqlite_errorcode", -1)
    primary = extended & 0xFF if extended >= 0 else -1
    if {extended, primary} & FULL:
        return StorageFull("The disk is full; nothing was changed.", help="Free some space or delete old versions.")
    if primary in BUSY:
        return Unavailable("The metadata database is busy.", help="Try again.", retry_after=1.0)
    if primary in DAMAGED:
        return InternalError("The metadata database is damaged.", help="Restore it from a backup.")
    return None


def problems(connection: Connection) -> list[str]:
    """What SQLite itself finds wrong with the file."""
    lines = connection.exec_driver_sql("PRAGMA integrity_check").scalars().all()
    return [f"SQLite: {line}." for line in lines if line != "ok"]


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


def _set_up(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions begin where `_begin` says, also around DDL
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")  # first: the others may have to wait
    _use_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _use_wal(connection: Any) -> None:
    """Write-ahead logging. SQLite does not wait for other openers when the mode is changed, so we do."""
    give_up = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _begin(connection: Connection) -> None:
    """A writer locks at once: upgrading a read lock later could fail half way as busy."""
    write = connection.get_execution_options().get("inferry_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")
