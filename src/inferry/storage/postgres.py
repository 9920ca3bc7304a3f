"""What is particular to PostgreSQL: connecting, the write lock, the one owner, and its errors.

Data flow: DatabaseUrl -> engine. A reader's transaction is one snapshot; a writer's begins with an advisory lock, so
that writers follow one another as on SQLite. `make_writer` gives the engine of the control process that leads: behind
that lock each of its transactions compares its epoch with the one in the database (`seat`), so a process that leads no
longer cannot write, whatever it believes. This is the one place where that is checked.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError, DisconnectionError

from inferry.errors import (
    Conflict,
    InferryError,
    InternalError,
    InvalidInput,
    MissingPlugin,
    StorageFull,
    Superseded,
    Unavailable,
)
from inferry.types.database import DatabaseUrl

WRITE_KEY = 0x496E6665727279  # "Inferry": the transaction that writes holds it
SILENCE_S = 15.0
SESSION = {
    "default_transaction_isolation": "read committed",  # a writer that waited for its lock sees what it waited for
    "lock_timeout": "10s",
    "idle_in_transaction_session_timeout": "30s",
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
POOL = 4
NAME_SIZE = 63  # what the server keeps of an application's name

GONE = ("08", "57P01", "57P02", "57P03", "57P05", "25P03")  # the connection is of no use any more


def make_engine(url: DatabaseUrl) -> Engine:
    """An engine for readers, and for writers that do not own the database."""
    engine = _engine(lambda: connect(url, "inferry"), pool_size=POOL, max_overflow=POOL)
    event.listen(engine, "begin", _begin)
    return engine


def make_writer(url: DatabaseUrl, epoch: int) -> Engine:
    """The engine of the control process that leads in this epoch; its transactions raise Superseded in another one."""
    engine = _engine(lambda: connect(url, process_name()), pool_size=1, max_overflow=0)
    event.listen(engine, "begin", _begin)

    def fence(connection: Connection) -> None:
        if connection.get_execution_options().get("inferry_write", False):
            found = connection.exec_driver_sql("SELECT epoch FROM leader").scalar_one_or_none()
            if found != epoch:
                raise Superseded("Another control process leads now; nothing was changed.", retry_after=1.0)

    event.listen(engine, "begin", fence)
    return engine


def make_engine_for_seat(url: DatabaseUrl, name: Callable[[], str], silence_s: float) -> Engine:
    """The engine of one session, which says who it is by `name` and gives a silent server up soon."""
    return _engine(lambda: connect(url, name(), silence_s), pool_size=1, max_overflow=0)


def process_name() -> str:
    """How this process is called in the database while it leads."""
    return f"inferry control {os.getpid()} on {socket.gethostname()}"[:NAME_SIZE]


def connect(url: DatabaseUrl, application: str, silence_s: float | None = None) -> Any:
    """One connection of the driver's own kind. Raises the driver's errors."""
    from inferry.storage.driver import Connection as Driver

    place: dict[str, Any] = {"unix_sock": url.unix_socket} if url.unix_socket else {"host": url.host, "port": url.port}
    return Driver(
        user=url.user,
        password=url.password,
        database=url.name,
        ssl_context=_tls(url),
        timeout=silence_s or SILENCE_S,
        application_name=application,
        startup_params=SESSION,
        **place,
    )


def facts(connection: Connection) -> str:
    """The server's version, for people."""
    version = connection.exec_driver_sql("SHOW server_version").scalar_one()
    return f"PostgreSQL {str(version).split()[0]}"


def check_encoding(connection: Connection) -> None:
    """See that the database keeps any text. Raises Conflict."""
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
    if encoding != "UTF8":
        raise Conflict(
            f"The database keeps text as {encoding}, not as UTF8.",
            help="Make one with: createdb --encoding UTF8 --template template0 NAME",
        )


def is_gone(error: BaseException) -> bool:
    """Whether the connection that said so is of no use any more."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    return isinstance(orig, OSError) or _said(orig).get("C", "").startswith(GONE) or "network error" in str(orig)


def known(error: BaseException, database: str) -> InferryError | None:
    """The house's error for one of the driver's, if there is one."""
    orig = error.orig if isinstance(error, DBAPIError) else error
    said = _said(orig)
    return _by_code(said["C"], said.get("M", ""), database) if "C" in said else _by_words(orig, database)


def _by_code(code: str, message: str, database: str) -> InferryError | None:
    """https://www.postgresql.org/docs/current/errcodes-appendix.html."""
    for prefix, (kind, words, advice) in _KNOWN.items():
        if code.startswith(prefix):
            told = words.format(database=database, message=message.rstrip("."))
            return kind(told, help=advice, retry_after=1.0 if kind is Unavailable else None)
    return None


_KNOWN: dict[str, tuple[type[InferryError], str, str]] = {
    "28": (
        Unavailable,
        "{database} refused us: {message}.",
        "See that user and password are right, and that the server's pg_hba.conf lets this machine in.",
    ),
    "3D000": (Unavailable, "{database}: {message}.", "Make it with: createdb --owner USER NAME"),
    "53100": (StorageFull, "The database server's disk is full; nothing was changed.", "Free some space there."),
    "53300": (
        Unavailable,
        "{database} has no connection left.",
        "End other clients of that server, or raise max_connections there.",
    ),
    "53": (Unavailable, "{database} is short of something: {message}.", "Look at the database server."),
    "25006": (
        Unavailable,
        "{database} takes no writes: it is a standby, or set to read only.",
        "Point INFERRY_DATABASE_URL at the primary server.",
    ),
    "25P03": (Unavailable, "{database} gave up on a transaction that stood still.", "Try again."),
    "42501": (
        Unavailable,
        "{database}: {message}.",
        "Make the user the database's owner: ALTER DATABASE name OWNER TO user;",
    ),
    "55P03": (Unavailable, "The metadata database is busy.", "Try again."),
    "57014": (Unavailable, "{database} took too long.", "Try again."),
    "40": (Unavailable, "The metadata database is busy.", "Try again."),
    "57P": (Unavailable, "{database} is stopping or starting.", "It is asked again until it answers."),
    "08": (Unavailable, "The connection to {database} broke.", "It is made again by itself."),
    "22": (InvalidInput, "The database cannot keep this text: {message}.", "Leave out what is no plain text."),
    "23": (Conflict, "Another change was made at the same moment.", "Look at the present state and try again."),
    "XX00": (InternalError, "The metadata database is damaged: {message}.", "Restore it from a backup."),
}


def _by_words(error: BaseException | None, database: str) -> InferryError | None:
    cause, said = (error.__cause__ if error else None) or error, str(error)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return Unavailable(
            f"{database} shows a certificate that cannot be trusted: {cause.verify_message}.",
            help="Name the authority that signed it with sslrootcert=FILE; verify-full also needs the server's name.",
            retry_after=1.0,
        )
    if "refuses SSL" in said or isinstance(cause, ssl.SSLError):
        return Unavailable(
            f"{database} does not speak TLS with us.",
            help="Switch TLS on there, or add sslmode=disable to the URL when the network between is your own.",
            retry_after=1.0,
        )
    if "no password was" in said or "'NoneType' object has no attribute 'decode'" in said:
        return Unavailable(f"{database} wants a password.", help="Put one into INFERRY_DATABASE_URL.", retry_after=1.0)
    if isinstance(cause, OSError) or any(word in said for word in ("network error", "connection is closed")):
        why = f" ({cause.strerror})" if isinstance(cause, OSError) and cause.strerror else ""
        return Unavailable(
            f"{database} does not answer{why}.",
            help="See that PostgreSQL runs there. It is asked again until it answers.",
            retry_after=1.0,
        )
    return None


def _engine(creator: Callable[[], Any], **pool: int) -> Engine:
    try:
        engine = create_engine("postgresql+pg8000://", creator=creator, pool_timeout=10, hide_parameters=True, **pool)
    except ModuleNotFoundError as error:
        raise MissingPlugin("PostgreSQL needs the package pg8000.", help="pip install 'inferry[postgres]'") from error
    event.listen(engine, "checkout", _see_that_it_answers)
    event.listen(engine, "handle_error", _take_out)
    return engine


def _see_that_it_answers(connection: Any, _record: object, _proxy: object) -> None:
    """Make the pool connect again when the server went away since the connection was used last."""
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT 1")
        connection.rollback()
    except Exception as error:
        raise DisconnectionError from error
    finally:
        cursor.close()


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get("inferry_write", False):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_KEY})")
    else:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")


def _take_out(context: Any) -> None:
    """Tell the pool of connections that broke in ways the dialect does not know."""
    if is_gone(context.original_exception):
        context.is_disconnect = True


def _tls(url: DatabaseUrl) -> ssl.SSLContext | bool:
    if url.sslmode == "disable":
        return False
    try:
        context = ssl.create_default_context(cafile=url.sslrootcert or None)
        if url.sslcert:
            context.load_cert_chain(url.sslcert, url.sslkey)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInput(
            f"A certificate of the database's URL cannot be read: {getattr(error, 'strerror', None) or error}.",
            help="See that sslrootcert, sslcert and sslkey name PEM files.",
        ) from error
    context.check_hostname = url.sslmode == "verify-full"
    if url.sslmode == "require":
        context.verify_mode = ssl.CERT_NONE
    return context


def _said(error: BaseException | None) -> dict[str, str]:
    """The fields of the server's error message; empty when it was the driver's."""
    said = error.args[0] if error is not None and error.args else None
    return said if isinstance(said, dict) else {}
