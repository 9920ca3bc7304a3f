"""Which database the platform uses: found by the supervisor, which hands it to control through a pipe: a command line,
and the environment of a child, can be read by others.

Data flow: flag, environment or file -> the URL's text; "" is SQLite in the home.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from inferry.errors import InvalidInput
from inferry.types.database import parse_database_url

URL = "INFERRY_DATABASE_URL"
URL_FILE = "INFERRY_DATABASE_URL_FILE"
SECRETS = (URL, URL_FILE)


def find_database(flag: str, variables: Mapping[str, str]) -> str:
    """The URL of a PostgreSQL database, or "" for SQLite in the home. Raises InvalidInput."""
    text = flag or _from_environment(variables)
    if text:
        url = parse_database_url(text)
        if flag and url.password:
            raise InvalidInput(
                "A password on a command line can be read by every user of this machine.",
                help=f"Put the URL into {URL}, or into a file that {URL_FILE} names.",
            )
    return text


def _from_environment(variables: Mapping[str, str]) -> str:
    text, path = variables.get(URL, "").strip(), variables.get(URL_FILE, "")
    if text and path:
        raise InvalidInput(f"Both {URL} and {URL_FILE} are set.", help="Unset one of them.")
    if not path:
        return text
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidInput(f"The file that {URL_FILE} names cannot be read: {why}.", help="Check its path.") from error
    if not text:
        raise InvalidInput(f"The file that {URL_FILE} names is empty.", help="Put the database's URL into it.")
    return text
