"""Opening the database, in control.

Data flow: the URL's text ("": SQLite in the home) -> is it this home's? -> migrated by a process of its own when that
is due -> store. On PostgreSQL this process leads by then (`leading`), so nobody else does the same.
"""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import Callable

from inferry.compose.settings import Layout
from inferry.errors import Conflict, Superseded, Unavailable
from inferry.security.files import write_private
from inferry.storage.metadata import SqlStore, open_store
from inferry.storage.schema import at_head
from inferry.types.database import parse_database_url

SQLITE = "sqlite"
RETRY_S = 1.0

log = logging.getLogger(__name__)


async def open_patiently(layout: Layout, url: str, epoch: int, tell: Callable[[str], None]) -> SqlStore:
    """The store as soon as the database answers; `tell` hears what is wrong until then.

    A supervisor that has just started ends the platform then; one that restarted control hears nothing, and waits.
    """
    while True:
        try:
            return await asyncio.to_thread(open_migrated, layout, url, epoch)
        except Superseded:
            raise
        except (Unavailable, Conflict) as error:
            if not url:
                raise
            tell(error.sentence())
            log.warning("the database cannot be opened yet: %s", error.sentence())
            await asyncio.sleep(RETRY_S)


def open_migrated(layout: Layout, url: str, epoch: int) -> SqlStore:
    """The store, after a migration in a process of its own if one is due; it takes writes of this epoch only."""
    keep_together(layout, url)
    target = url or f"sqlite:///{layout.database}"
    if (url or layout.database.exists()) and at_head(target):
        return open_store(target, epoch=epoch)
    subprocess.run([sys.executable, "-P", "-m", "inferry.storage.migrate"], input=target.encode(), check=False)
    return open_store(target, epoch=epoch)


def keep_together(layout: Layout, url: str) -> None:
    """A home's bundles are those of one database: what another one does not know would be swept away."""
    wanted = parse_database_url(url).shown if url else SQLITE
    if layout.database_name.exists():
        known = layout.database_name.read_text(encoding="utf-8").strip()
    elif layout.database.exists():
        known = SQLITE
    else:
        known = wanted
    if known != wanted:
        raise Conflict(
            f"The bundles in {layout.home} are those of {told(known)}, not of {told(wanted)}.",
            help="Use another --home; or, when it is the same database in another place, delete the file "
            f"{layout.database_name}.",
        )
    if not layout.database_name.exists():
        write_private(layout.database_name, wanted.encode() + b"\n")


def told(name: str) -> str:
    """A database as people know it."""
    return "the SQLite database there" if name == SQLITE else name
