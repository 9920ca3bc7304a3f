"""Aliases and protections of versions: moved and lifted in one transaction, with a history of the moves."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, insert, select

from inferry.errors import Conflict, NotFound
from inferry.storage import rows
from inferry.storage.base import Base, next_number
from inferry.storage.tables import alias_moves, aliases, protections, versions
from inferry.storage.versions import add_version, need_model, need_version, version_by_source
from inferry.types.names import LATEST
from inferry.types.registry import Alias, AliasMove, NewVersion, Protection, Version

SERIES = "alias"


class Aliases(Base):
    """interfaces.aliases.AliasStore."""

    def commit_version(self, new: NewVersion, now: float) -> tuple[Version, bool]:
        """A version that no endpoint serves, made or found by its source."""
        with self._writing() as connection:
            known = version_by_source(connection, new.model, new.manifest.source)
            return (add_version(connection, new, now), True) if known is None else (known, False)

    def aliases(self, model: str) -> list[Alias]:
        """Those of a model, by name."""
        with self._reading() as connection:
            need_model(connection, model)
            query = select(aliases).where(aliases.c.model == model)
            found = [Alias(**row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda alias: alias.name)  # a database's collation may differ

    def resolve(self, model: str, version: int | str) -> Version:
        """The version of that number, or the one that an alias names now."""
        with self._reading() as connection:
            need_model(connection, model)
            if isinstance(version, int):
                return need_version(connection, model, version)
            if version == LATEST:
                query = select(versions).where(versions.c.model == model).order_by(versions.c.number.desc()).limit(1)
                row = connection.execute(query).mappings().one_or_none()
                if row is None:
                    raise NotFound(f"The model {model!r} has no versions.")
                return rows.to_version(row)
            found = _find(connection, model, version)
            if found is None:
                raise NotFound(f"There is no alias {model}@{version}.", help=f"List them: inferry alias list {model}")
            return need_version(connection, model, found.version)

    def move_alias(
        self, model: str, name: str, version: int, now: float, by: str, expected: int | None = None
    ) -> AliasMove:
        """Point an alias at a version."""
        with self._writing() as connection:
            need_version(connection, model, version)
            found = _find(connection, model, name)
            before = 0 if found is None else found.version
            if expected not in (None, before):
                is_at = f"points at {model}:{before}" if before else "is not there"
                raise Conflict(f"The alias {model}@{name} {is_at} by now.", help="Look again, then decide.")
            connection.execute(delete(aliases).where(aliases.c.model == model, aliases.c.name == name))
            alias = rows.plain(Alias(model=model, name=name, version=version, moved=now, moved_by=by))
            connection.execute(insert(aliases).values(alias))
            return _keep_move(connection, model, AliasMove(alias=name, before=before, after=version, at=now, by=by))

    def delete_alias(self, model: str, name: str, now: float, by: str) -> AliasMove:
        """Forget an alias; its history stays."""
        with self._writing() as connection:
            found = _find(connection, model, name)
            if found is None:
                raise NotFound(f"There is no alias {model}@{name}.", help=f"List them: inferry alias list {model}")
            connection.execute(delete(aliases).where(aliases.c.model == model, aliases.c.name == name))
            return _keep_move(connection, model, AliasMove(alias=name, before=found.version, after=0, at=now, by=by))

    def alias_moves(self, model: str) -> list[AliasMove]:
        """All moves of a model's aliases, oldest first."""
        columns = [alias_moves.c[field] for field in AliasMove.__struct_fields__]
        with self._reading() as connection:
            need_model(connection, model)
            query = select(*columns).where(alias_moves.c.model == model).order_by(alias_moves.c.number)
            return [AliasMove(**row) for row in connection.execute(query).mappings()]

    def protect(self, protection: Protection) -> None:
        """Let a version not be removed; who did so last is kept."""
        with self._writing() as connection:
            need_version(connection, protection.model, protection.version)
            connection.execute(delete(protections).where(_of(protection.model, protection.version)))
            connection.execute(insert(protections).values(rows.plain(protection)))

    def unprotect(self, model: str, version: int) -> None:
        """Lift that."""
        with self._writing() as connection:
            need_version(connection, model, version)
            if not connection.execute(delete(protections).where(_of(model, version))).rowcount:
                raise Conflict(f"{model}:{version} is not protected.", help=f"See: inferry versions {model}")

    def protections(self, model: str) -> list[Protection]:
        """The protected versions of a model, by number."""
        with self._reading() as connection:
            need_model(connection, model)
            query = select(protections).where(protections.c.model == model).order_by(protections.c.version)
            return [Protection(**row) for row in connection.execute(query).mappings()]


def _of(model: str, version: int) -> ColumnElement[bool]:
    return (protections.c.model == model) & (protections.c.version == version)


def _find(connection: Connection, model: str, name: str) -> Alias | None:
    query = select(aliases).where(aliases.c.model == model, aliases.c.name == name)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else Alias(**row)


def _keep_move(connection: Connection, model: str, move: AliasMove) -> AliasMove:
    number = next_number(connection, SERIES, model)
    connection.execute(insert(alias_moves).values(model=model, number=number, **rows.plain(move)))
    return move
