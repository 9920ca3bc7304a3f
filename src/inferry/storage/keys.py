"""Keys: what is kept of them, never their secrets."""

from __future__ import annotations

from sqlalchemy import delete, insert, select

from inferry.errors import Conflict, NotFound
from inferry.storage import rows
from inferry.storage.base import Base, exists
from inferry.storage.tables import keys
from inferry.types.registry import Key


class Keys(Base):
    """API keys."""

    def keys(self) -> list[Key]:
        """All keys, oldest first."""
        with self._reading() as connection:
            query = select(keys).order_by(keys.c.created, keys.c.id)
            return [rows.to_key(row) for row in connection.execute(query).mappings()]

    def add_key(self, key: Key) -> None:
        """Keep a key under a name of its own."""
        with self._writing() as connection:
            if exists(connection, keys, (keys.c.name == key.name) | (keys.c.id == key.id)):
                raise Conflict(f"A key named {key.name!r} exists.", help="Choose another name or revoke it first.")
            connection.execute(insert(keys).values(rows.key_row(key)))

    def delete_key(self, id_or_name: str) -> Key:
        """Forget a key, given its id or else its name."""
        with self._writing() as connection:
            for column in (keys.c.id, keys.c.name):
                row = connection.execute(select(keys).where(column == id_or_name)).mappings().one_or_none()
                if row is not None:
                    connection.execute(delete(keys).where(keys.c.id == row["id"]))
                    return rows.to_key(row)
        raise NotFound(f"There is no key {id_or_name!r}.")
