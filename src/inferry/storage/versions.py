"""Models and versions: immutable, numbered, found by what the user gave.

The functions take an open connection, so that a deploy can use them inside its own transaction.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select

from inferry.errors import Conflict, NotFound
from inferry.policy import events
from inferry.storage import rows
from inferry.storage.base import Base, exists, next_number
from inferry.storage.pipelines import forget_runs, refuse_while_running
from inferry.storage.tables import (
    alias_moves,
    aliases,
    models,
    protections,
    retentions,
    revisions,
    runs,
    trials,
    versions,
)
from inferry.storage.told import tell
from inferry.types.registry import Model, NewVersion, Version


class Versions(Base):
    """Models and versions."""

    def find_version(self, model: str, source: str) -> Version | None:
        """The version made from these source bytes, if any."""
        with self._reading() as connection:
            return version_by_source(connection, model, source)

    def models(self) -> list[Model]:
        """All models by name."""
        count, latest = func.count(versions.c.number), func.coalesce(func.max(versions.c.number), 0)
        query = (
            select(models.c.name, models.c.created, count.label("versions"), latest.label("latest"))
            .select_from(models.outerjoin(versions))
            .group_by(models.c.name, models.c.created)
        )
        with self._reading() as connection:
            found = [Model(**row) for row in connection.execute(query).mappings()]
        return sorted(found, key=lambda model: model.name)  # a database's collation may differ

    def versions(self, model: str) -> list[Version]:
        """All versions of a model, oldest first."""
        with self._reading() as connection:
            need_model(connection, model)
            query = select(versions).where(versions.c.model == model).order_by(versions.c.number)
            return [rows.to_version(row) for row in connection.execute(query).mappings()]

    def version(self, model: str, number: int) -> Version:
        """One version."""
        with self._reading() as connection:
            return need_version(connection, model, number)

    def delete_version(self, model: str, number: int) -> None:
        """Remove a version that no revision pins, no alias names and nobody protects."""
        with self._writing() as connection:
            need_version(connection, model, number)
            refuse_if_pinned(connection, (revisions.c.model == model) & (revisions.c.version == number))
            refuse_if_aliased(connection, model, number)
            refuse_if_protected(connection, (protections.c.model == model) & (protections.c.version == number))
            refuse_while_running(connection, (runs.c.model == model) & (runs.c.version == number))
            connection.execute(delete(trials).where(trials.c.model == model, trials.c.version == number))
            connection.execute(delete(versions).where(versions.c.model == model, versions.c.number == number))

    def delete_model(self, model: str) -> None:
        """Remove a model with its versions and aliases when no revision pins and nobody protects one."""
        with self._writing() as connection:
            need_model(connection, model)
            refuse_if_pinned(connection, revisions.c.model == model)
            refuse_if_protected(connection, protections.c.model == model)
            refuse_while_running(connection, runs.c.model == model)
            forget_runs(connection, model)
            connection.execute(delete(aliases).where(aliases.c.model == model))
            connection.execute(delete(alias_moves).where(alias_moves.c.model == model))
            connection.execute(delete(retentions).where(retentions.c.model == model))
            connection.execute(delete(trials).where(trials.c.model == model))
            connection.execute(delete(versions).where(versions.c.model == model))
            connection.execute(delete(models).where(models.c.name == model))

    def bundles(self) -> set[str]:
        """Digests of all bundles that a version pins."""
        with self._reading() as connection:
            return set(connection.scalars(select(versions.c.bundle).distinct()))


def need_model(connection: Connection, name: str) -> None:
    """NotFound when there is no such model."""
    if not exists(connection, models, models.c.name == name):
        raise NotFound(f"There is no model {name!r}.")


def need_version(connection: Connection, model: str, number: int) -> Version:
    """One version, or NotFound."""
    query = select(versions).where(versions.c.model == model, versions.c.number == number)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no version {model}:{number}.")
    return rows.to_version(row)


def version_by_source(connection: Connection, model: str, source: str) -> Version | None:
    """The version made from these source bytes, if any."""
    query = select(versions).where(versions.c.model == model, versions.c.source == source)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else rows.to_version(row)


def add_version(connection: Connection, commit: NewVersion, now: float) -> Version:
    """The next version of the model, which is made when it is new."""
    if not exists(connection, models, models.c.name == commit.model):
        connection.execute(insert(models).values(name=commit.model, created=now))
    version = Version(
        model=commit.model,
        number=next_number(connection, "model", commit.model),
        bundle=commit.bundle,
        source=commit.manifest.source,
        runtime=commit.manifest.runtime,
        size=commit.size,
        created=now,
        created_by=commit.created_by,
        manifest=commit.manifest,
        lineage=commit.lineage,
    )
    connection.execute(insert(versions).values(rows.version_row(version)))
    tell(connection, events.registered(version))
    return version


def refuse_if_pinned(connection: Connection, condition: ColumnElement[bool]) -> None:
    """Conflict when a revision that fits the condition pins a version."""
    query = select(revisions).where(condition).order_by(revisions.c.endpoint, revisions.c.number).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    if row is not None:
        raise Conflict(
            f"{row['model']}:{row['version']} is used by revision {row['number']} of the endpoint {row['endpoint']!r}.",
            help="Delete the endpoint first.",
        )


def refuse_if_aliased(connection: Connection, model: str, number: int) -> None:
    """Conflict when an alias names a version."""
    query = select(aliases.c.name).where(aliases.c.model == model, aliases.c.version == number)
    name = connection.execute(query.order_by(aliases.c.name).limit(1)).scalar_one_or_none()
    if name is not None:
        raise Conflict(
            f"{model}:{number} is {model}@{name}.",
            help=f"Move the alias first: inferry alias set {model} {name} N (or delete it).",
        )


def refuse_if_protected(connection: Connection, condition: ColumnElement[bool]) -> None:
    """Conflict when a version that fits the condition is protected."""
    query = select(protections).where(condition).order_by(protections.c.version).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    if row is not None:
        raise Conflict(
            f"{row['model']}:{row['version']} is protected by {row['by'] or 'somebody'}.",
            help=f"Lift that first: inferry versions unprotect {row['model']}:{row['version']}",
        )
