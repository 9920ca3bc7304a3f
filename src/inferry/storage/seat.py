"""PostgresSeat: which of several control processes leads, in PostgreSQL.

Data flow: the row of `leader` (epoch, holder, until when) by the database's clock -> `policy.lead.decide` -> a
transaction that raises the epoch. The session also holds an advisory lock: it keeps an Inferry out that knows of no
leases, and shows who leads to whoever looks at the server. The lease decides, not the lock: a process that hangs keeps
its session. Writers compare the epoch within their own transactions (`postgres.make_writer`).

The table is made here and not by a migration: whoever migrates has to lead first.
"""

from __future__ import annotations

import logging
import os
import socket
import time

from sqlalchemy import Connection, text

from inferry.errors import Conflict
from inferry.policy.lead import decide, next_epoch
from inferry.storage import postgres
from inferry.storage.faults import translated
from inferry.types.database import parse_database_url
from inferry.types.lead import Claim, Lease, Seen

log = logging.getLogger(__name__)

OWNER_KEY = postgres.WRITE_KEY + 1
OWNER_WAIT_S = 10.0  # a predecessor that was killed may not be gone yet
STANDBY = "inferry standby"

TABLE = """
CREATE TABLE IF NOT EXISTS leader (
    one integer PRIMARY KEY CHECK (one = 1), epoch bigint NOT NULL, holder text NOT NULL, name text NOT NULL,
    place text NOT NULL, since double precision NOT NULL, until double precision NOT NULL
)"""
NOW = "extract(epoch FROM clock_timestamp())::double precision"
READ = f"SELECT epoch, holder, name, place, since, until, {NOW} AS now FROM leader"  # noqa: S608 - all ours
TAKE = f"""
INSERT INTO leader VALUES (1, :epoch, :holder, :name, :place, {NOW}, {NOW} + :lease_s)
ON CONFLICT (one) DO UPDATE SET epoch = excluded.epoch, holder = excluded.holder, name = excluded.name,
    place = excluded.place, since = excluded.since, until = excluded.until"""  # noqa: S608
RENEW = f"UPDATE leader SET until = {NOW} + :lease_s WHERE epoch = :epoch AND holder = :holder"  # noqa: S608
END = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND application_name = :name AND pid <> pg_backend_pid()
"""
HOLDER = f"""
SELECT a.application_name, host(a.client_addr) FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND ((l.classid::bigint << 32) | l.objid::bigint) = {OWNER_KEY}
AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608 - a number of ours
WAITING = """
SELECT application_name FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE :pattern ORDER BY application_name
"""


def standby_name() -> str:
    """How this process is called while it waits."""
    return f"{STANDBY} {os.getpid()} on {socket.gethostname()}"[: postgres.NAME_SIZE]


class PostgresSeat:
    """interfaces.lead.Seat on a connection of its own. `holder`, `place`: as in a Lease; `url`: of PostgreSQL."""

    def __init__(self, url: str, holder: str, place: str, lease_s: float) -> None:
        target = parse_database_url(url)
        self.holder, self.place, self.lease_s = holder, place, lease_s
        self.shown = target.shown
        self._called = f"The database {target.shown}"
        self._name = standby_name()
        self._silence_s = min(postgres.SILENCE_S, max(1.0, lease_s / 2))
        with translated(self._called):
            self._engine = postgres.make_engine_for_seat(target, lambda: self._name, self._silence_s)
        self._owned = 0  # the server's process that holds the session's lock
        self._made = False

    def look(self) -> Seen:
        """The lease and the time."""
        with translated(self._called), self._engine.begin() as connection:
            if not self._made:
                self._make(connection)
            return self._read(connection)

    def take(self, *, gone: int, known: int) -> Lease | None:
        """Lead in a new epoch; None when another was first. Raises Conflict when an Inferry that knows no leases owns
        the database."""
        with translated(self._called), self._engine.connect() as connection:
            if not self._take_over(connection, gone):
                return None
            with connection.begin():
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({postgres.WRITE_KEY})")
                seen = self._read(connection)
                if self._may_take(seen, gone):
                    epoch, name = next_epoch(seen.lease, known), postgres.process_name()
                    row = {"epoch": epoch, "holder": self.holder, "name": name, "place": self.place}
                    connection.execute(text(TAKE), row | {"lease_s": self.lease_s})
                    connection.execute(text("SELECT set_config('application_name', :name, false)"), {"name": name})
                    lease = self._read(connection).lease
                else:
                    connection.exec_driver_sql(f"SELECT pg_advisory_unlock({OWNER_KEY})")
                    lease, self._owned = None, 0
        if lease is not None:
            self._name = lease.name
        return lease

    def renew(self, epoch: int) -> bool:
        """Make the lease last anew; False when it is another's."""
        with translated(self._called), self._engine.begin() as connection:
            row = {"epoch": epoch, "holder": self.holder, "lease_s": self.lease_s}
            kept = connection.execute(text(RENEW), row).rowcount == 1
            if kept and self._session(connection) != self._owned and not self._lock(connection):
                log.warning("another session holds the owner's lock of %s; this process leads by its lease", self.shown)
            return kept

    def release(self, epoch: int) -> None:
        """Let the lease run out now."""
        with translated(self._called), self._engine.begin() as connection:
            row = {"epoch": epoch, "holder": self.holder, "lease_s": 0.0}
            connection.execute(text(RENEW), row)

    def standbys(self) -> list[str]:
        """Who waits to lead."""
        with translated(self._called), self._engine.begin() as connection:
            return list(connection.scalars(text(WAITING), {"pattern": f"{STANDBY} %"}))

    def close(self) -> None:
        """End the session, and with it the lock."""
        self._engine.dispose()

    def _make(self, connection: Connection) -> None:
        if connection.exec_driver_sql("SELECT to_regclass('leader')").scalar_one() is None:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({OWNER_KEY + 1})")  # others may make it as well
            connection.exec_driver_sql(TABLE)
        self._made = True

    @staticmethod
    def _read(connection: Connection) -> Seen:
        row = connection.exec_driver_sql(READ).mappings().one_or_none()
        if row is None:
            return Seen(lease=None, now=0.0)
        found = dict(row)
        now = found.pop("now")
        return Seen(lease=Lease(**found), now=now)

    @staticmethod
    def _session(connection: Connection) -> int:
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())

    def _lock(self, connection: Connection) -> bool:
        got = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({OWNER_KEY})").scalar_one())
        if got:
            self._owned = self._session(connection)
        return got

    def _may_take(self, seen: Seen, gone: int) -> bool:
        ended = seen.lease is not None and seen.lease.epoch == gone
        return decide(seen.lease, Claim(holder=self.holder), seen.now, gone=ended) == "lead"

    def _take_over(self, connection: Connection, gone: int) -> bool:
        """End the sessions of who led before, which may sleep within a transaction, and take the lock. False when
        somebody else leads by now."""
        give_up = time.monotonic() + OWNER_WAIT_S
        while True:
            with connection.begin():
                seen = self._read(connection)
                if not self._may_take(seen, gone):
                    return False
                before = seen.lease
                if before is not None:
                    connection.execute(text(END), {"name": before.name})
                if self._lock(connection):
                    return True
                row = connection.exec_driver_sql(HOLDER).one_or_none()
            name, address = (row[0] or "one that does not say who it is", row[1]) if row is not None else ("", None)
            if before is not None and name == before.name and time.monotonic() > give_up:
                log.warning("the session of %s cannot be ended; what it writes is refused by its epoch", name)
                return True
            if time.monotonic() > give_up:
                raise Conflict(
                    f"Another control process works with {self.shown}: {name}{f' at {address}' if address else ''}.",
                    help="Stop that platform, or give this one a database of its own.",
                )
            time.sleep(0.1)


def open_seat(url: str, holder: str, place: str, lease_s: float) -> PostgresSeat:
    """The seat of a PostgreSQL database. Raises MissingPlugin."""
    return PostgresSeat(url, holder, place, lease_s)
