"""Database and file-system failures -> the house's errors.

Data flow: a statement or system call fails -> `translated` -> StorageFull, Unavailable,
Conflict or InternalError. Anything else passes through: it is a bug, not a condition.
"""

from __future__ import annotations

import errno
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from inferry.errors import Conflict, InferryError, StorageFull, Unavailable
from inferry.storage import postgres, sqlite

LOST = (ConnectionError, TimeoutError, ssl.SSLError)


@contextmanager
def translated(database: str = "The metadata database") -> Iterator[None]:
    """Raise the house's error for a known failure of the database (as people call it) or the disk."""
    try:
        yield
    except DBAPIError as error:
        known = _known(error, database)
        if known is None:
            raise
        raise known from error
    except PoolTimeoutError as error:
        raise Unavailable("The metadata database is busy.", help="Try again.", retry_after=1.0) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(
                "The disk is full; nothing was changed.", help="Free some space or delete old versions, then try again."
            ) from error
        known = postgres.known(error, database) if isinstance(error, LOST) else None
        if known is None:
            raise
        raise known from error


def _known(error: DBAPIError, database: str) -> InferryError | None:
    known = sqlite.known(error) if hasattr(error.orig, "sqlite_errorcode") else postgres.known(error, database)
    if known is None and isinstance(error, IntegrityError):
        return Conflict("Another change was made at the same moment.", help="Look at the present state and try again.")
    return known
