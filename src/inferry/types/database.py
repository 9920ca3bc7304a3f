"""Where a PostgreSQL database is, and how to reach it: `postgresql://user:password@host:5432/name?sslmode=verify-full`.

Data flow: the URL's text -> DatabaseUrl, or InvalidInput. Neither its repr nor any message made here has the
password in it; `shown` is the form for people.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from inferry.errors import InvalidInput

FORM = "Write postgresql://USER:PASSWORD@HOST:5432/DATABASE."
SCHEMES = ("postgresql", "postgres")
SSL_MODES = ("disable", "require", "verify-ca", "verify-full")
LOCAL = ("localhost", "127.0.0.1", "::1")
OPTIONS = ("host", "port", "sslmode", "sslrootcert", "sslcert", "sslkey")
PORT = 5432
MAX_URL = 4096


class DatabaseUrl(msgspec.Struct, frozen=True, kw_only=True):
    """A PostgreSQL database. `host`: a name or address, or the folder of the server's unix socket."""

    user: str
    name: str
    password: str = ""
    host: str = "localhost"
    port: int = PORT
    sslmode: str = "disable"
    sslrootcert: str = ""
    sslcert: str = ""
    sslkey: str = ""

    @property
    def unix_socket(self) -> str:
        """The path of the server's socket; empty when it is reached over the network."""
        return f"{self.host}/.s.PGSQL.{self.port}" if self.host.startswith("/") else ""

    @property
    def server(self) -> str:
        """Where the server listens, for people."""
        if self.unix_socket:
            return self.unix_socket
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def shown(self) -> str:
        """The URL without its password."""
        if self.unix_socket:
            return f"postgresql://{self.user}@/{self.name}?host={self.host}&port={self.port}"
        return f"postgresql://{self.user}@{self.server}/{self.name}"

    def __repr__(self) -> str:
        return f"DatabaseUrl({self.shown})"


def parse_database_url(text: str) -> DatabaseUrl:
    """The database that a URL names. Raises InvalidInput, whose message never quotes the URL."""
    text = text.strip()
    if len(text) > MAX_URL or any(ord(letter) < 32 for letter in text):
        raise _bad("it is too long, or has control characters in it")
    scheme, _, _ = text.partition("://")
    if scheme.lower() not in SCHEMES:
        if scheme.lower().startswith("sqlite"):
            raise InvalidInput(
                "SQLite has no URL here.", help="Leave the database's URL out: SQLite is then kept in the home."
            )
        raise _bad("it does not begin with postgresql://")
    try:
        parts = urlsplit(text)
        host, port = unquote(parts.hostname or ""), parts.port
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError:
        raise _bad("its host, port or options cannot be read") from None
    if parts.fragment or parts.path.count("/") > 1:
        raise _bad("a / ? or # in the password, or another part, is not written as %2F %3F %23")
    for option in options:
        if option not in OPTIONS:
            raise InvalidInput(
                f"The database's URL has an unknown option, {option[:30]!a}.", help=f"Known are: {', '.join(OPTIONS)}."
            )
    return _checked(
        DatabaseUrl(
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            host=options.get("host") or host or "localhost",
            port=_port(options["port"]) if "port" in options else PORT if port is None else port,
            name=unquote(parts.path.removeprefix("/")),
            sslmode=options.get("sslmode", ""),
            sslrootcert=options.get("sslrootcert", ""),
            sslcert=options.get("sslcert", ""),
            sslkey=options.get("sslkey", ""),
        )
    )


def _checked(url: DatabaseUrl) -> DatabaseUrl:
    if not url.user:
        raise _bad("it names no user")
    if not url.name:
        raise _bad("it names no database")
    if not 0 < url.port < 65536:
        raise _bad("its port is none")
    near = bool(url.unix_socket) or url.host in LOCAL
    mode = url.sslmode or ("disable" if near else "verify-full")
    if mode not in SSL_MODES:
        raise InvalidInput(f"{mode[:30]!a} is no sslmode.", help=f"Use one of: {', '.join(SSL_MODES)}.")
    if url.unix_socket and mode != "disable":
        raise InvalidInput("A unix socket has no TLS.", help="Leave sslmode out.")
    if mode == "disable" and (url.sslrootcert or url.sslcert or url.sslkey):
        raise InvalidInput("Certificates without TLS are of no use.", help="Use sslmode=verify-full with them.")
    if bool(url.sslcert) != bool(url.sslkey):
        raise InvalidInput("A client certificate is a pair of files.", help="Give both sslcert and sslkey.")
    return msgspec.structs.replace(url, sslmode=mode)


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def _bad(why: str) -> InvalidInput:
    return InvalidInput(f"The database's URL cannot be used: {why}.", help=FORM)
