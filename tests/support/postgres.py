"""A real PostgreSQL server for tests: a cluster of its own in a temporary folder, run by an unprivileged user.

initdb (once a test run and process) -> server on a loopback port and a unix socket -> `fresh()` makes a database
-> its URL. The server is stopped, killed or hung by its process id. Text sorts by a natural language's rules,
not by bytes, so that a query which leans on the order of bytes is found out.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

PASSWORD = "pass-wörd?1"
QUOTED = "pass-w%C3%B6rd%3F1"
USER = "inferry"
START_S = 30.0
QUICK = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "max_wal_size": "128MB",
    "autovacuum": "off",
}


def programs() -> Path | None:
    """The folder of Debian's newest server programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


def missing() -> str:
    """Why no server can be started here; empty when one can."""
    if programs() is None:
        return "PostgreSQL's server is not installed: tools/install-postgres"
    if os.geteuid() == 0 and _account() is None:
        return "PostgreSQL does not run as root, and there is no user 'postgres'"
    return ""


def _account() -> str | None:
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """One cluster. `settings`: lines of postgresql.conf."""

    _numbers = itertools.count(1)

    def __init__(self, **settings: str) -> None:
        found = programs()
        assert found is not None, missing()
        self.programs = found
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="inferry-pg-", dir="/tmp"))
        self.settings = QUICK | settings
        self.process: subprocess.Popen[bytes] | None = None
        self._as = {"user": _account(), "group": pwd.getpwnam(_account()).pw_gid, "extra_groups": []}
        if os.geteuid() != 0:
            self._as = {}
        else:
            shutil.chown(self.folder, user=_account())
        secret = self.folder / "password"
        secret.write_text(PASSWORD + "\n")
        if self._as:
            shutil.chown(secret, user=_account())
        secret.chmod(0o600)
        self._run(
            "initdb", "--pgdata", str(self.folder / "data"), "--username", USER, "--pwfile", str(secret), "--no-sync",
            "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8",
            "--locale-provider", "icu", "--icu-locale", "en-US",
        )  # fmt: skip

    def start(self) -> Server:
        """Start and wait until it answers."""
        options = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": self.folder}
        flags = [f"--{name}={value}" for name, value in (options | self.settings).items()]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", *flags],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/", **self._as,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"PostgreSQL did not start:\n{self.log()}")
            time.sleep(0.05)
        return self

    def ready(self) -> bool:
        """Whether it takes connections."""
        command = [self.programs / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(command, check=False).returncode == 0

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT breaks the clients' connections, SIGQUIT is a crash."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)

    def close(self) -> None:
        """End it and leave nothing."""
        try:
            self.stop(signal.SIGQUIT)
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def backends(self) -> list[int]:
        """The process of each client's connection."""
        return [int(line) for line in self.sql("SELECT pid FROM pg_stat_activity WHERE datname LIKE 'test_%'").split()]

    def give(self, name: str, content: bytes) -> None:
        """Put a private file into the data folder."""
        path = self.folder / "data" / name
        path.write_bytes(content)
        path.chmod(0o600)
        if self._as:
            shutil.chown(path, user=_account())

    def sql(self, statement: str, database: str = "postgres") -> str:
        """Run a statement as the superuser; what psql prints, bare."""
        return self._run(
            "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port),
            "-U", USER, "-d", database, "-c", statement,
        )  # fmt: skip

    def fresh(self) -> str:
        """The URL of a new, empty database."""
        name = f"test_{next(self._numbers)}"
        self.sql(f"CREATE DATABASE {name} TEMPLATE template0")
        return self.url(name)

    def emptied(self, name: str = "again") -> str:
        """The URL of a database that is emptied each time: quicker than a new one. Nobody may hold on to it."""
        if name not in self.sql("SELECT datname FROM pg_database").splitlines():
            self.sql(f"CREATE DATABASE {name} TEMPLATE template0")
        self.sql(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        self.sql("SET client_min_messages = error; DROP SCHEMA public CASCADE; CREATE SCHEMA public", name)
        return self.url(name)

    def url(self, name: str, *, user: str = USER, password: str = QUOTED, options: str = "") -> str:
        return f"postgresql://{user}:{password}@127.0.0.1:{self.port}/{name}{options}"

    def dump(self, name: str) -> str:
        """A database as the text that pg_dump writes."""
        return self._run("pg_dump", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, name)

    def restore(self, name: str, dump: str) -> None:
        path = self.folder / "dump"
        path.write_text(dump)
        self._run("psql", "-X", "-q", "-h", "127.0.0.1", "-p", str(self.port), "-U", USER, "-d", name, "-f", str(path))

    def _run(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [self.programs / program, *arguments], capture_output=True, text=True, check=False, cwd="/",
            stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "PGPASSWORD": PASSWORD, "LC_ALL": "C.UTF-8"},
            **self._as,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()
