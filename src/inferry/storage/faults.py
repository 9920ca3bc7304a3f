"""Database and file-system failures -> the house's errors.

Data flow: a statement or system call fails -> `translated` -> StorageFull, Unavailable,
Conflict or InternalError. Anything else passes through: it is a bug, not a condition.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError

from inferry.errors import Conflict, InferryError, InternalError, StorageFull, Unavailable

_FULL = "The disk is full; nothing was changed."
_FREE = "Free some space or delete old versions, then try again."

_SQLITE_FULL = {13, 4874}  # SQLITE_FULL, SQLITE_IOERR_SHMSIZE: the shared index cannot grow
_SQLITE_BUSY = {5, 6}
_SQLITE_DAMAGED = {11, 26}
_POSTGRES_FULL = "53100"


@contextmanager
def translated() -> Iterator[None]:
    """Raise the house's error for a known failure of the database or the disk."""
    try:
        yield
    except DBAPIError as error:
        known = _known(error)
        if known is None:
            raise
        raise known from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(_FULL, help=_FREE) from error
        raise


def _known(error: DBAPIError) -> InferryError | None:
    extended = getattr(error.orig, "sqlite_errorcode", -1)
    primary = extended & 0xFF if extended >= 0 else -1
    if {extended, primary} & _SQLITE_FULL or getattr(error.orig, "sqlstate", "") == _POSTGRES_FULL:
        return StorageFull(_FULL, help=_FREE)
    if primary in _SQLITE_BUSY:
        return Unavailable("The metadata database is busy.", help="Try again.", retry_after=1.0)
    if primary in _SQLITE_DAMAGED:
        return InternalError("The metadata database is damaged.", help="Restore it from a backup.")
    if isinstance(error, IntegrityError):
        return Conflict("Another change was made at the same moment.", help="Look at the present state and try again.")
    return None
