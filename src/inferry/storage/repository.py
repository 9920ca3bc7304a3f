"""The Git repository that the platform follows: one row, or none."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from sqlalchemy import Connection, delete, insert, select

from inferry.storage.base import Base
from inferry.storage.rows import to_text
from inferry.storage.tables import repositories
from inferry.storage.told import tell
from inferry.types.repository import Repository
from inferry.types.webhooks import Event

NAME = "project"

_REPOSITORY = msgspec.json.Decoder(Repository)


class Repositories(Base):
    """interfaces.repository.RepositoryStore."""

    def repository(self) -> Repository | None:
        """The one that is followed."""
        with self._reading() as connection:
            return _find(connection)

    def change_repository(
        self, change: Callable[[Repository | None], tuple[Repository | None, tuple[Event, ...]]]
    ) -> Repository | None:
        """Read it, change it, keep that, and tell of it."""
        with self._writing() as connection:
            made, told = change(_find(connection))
            connection.execute(delete(repositories).where(repositories.c.name == NAME))
            if made is not None:
                connection.execute(insert(repositories).values(name=NAME, state=to_text(made)))
            tell(connection, *told)
            return made


def _find(connection: Connection) -> Repository | None:
    query = select(repositories.c.state).where(repositories.c.name == NAME)
    text = connection.execute(query).scalar_one_or_none()
    return None if text is None else _REPOSITORY.decode(text)
