"""SqlStore: what control remembers, in SQL.

Data flow: a method -> one transaction -> rows -> the nouns of `types.registry`. A call that
returned is on disk; a call that raised changed nothing. Only SQL that every database speaks
is used here; what is particular to one lives in `schema`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import ColumnElement, Connection, Engine, Table, delete, func, insert, select, update

from inferry.errors import Conflict, InvalidInput, NotFound
from inferry.storage import rows
from inferry.storage.check import problems
from inferry.storage.faults import translated
from inferry.storage.schema import open_engine, writing
from inferry.storage.tables import counters, endpoints, keys, models, revisions, versions
from inferry.types.registry import Commit, Endpoint, Key, Model, Revision, RevisionConfig, Version


def open_store(url: str) -> SqlStore:
    """Open the database (made and migrated when needed), e.g. `sqlite:////home/me/.inferry/inferry.db`."""
    return SqlStore(open_engine(url))


class SqlStore:
    """A MetadataStore on an engine whose schema is at the head. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writer = writing(engine)

    def close(self) -> None:
        """Release the database."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translated(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with translated(), self._writer.begin() as connection:
            yield connection

    # -- deploy and traffic ------------------------------------------------------------

    def commit_deploy(self, commit: Commit, now: float) -> tuple[Version, Revision, bool]:
        """Version (made, or found by its source), revision and traffic in one transaction."""
        with self._writing() as connection:
            endpoint = _endpoint(connection, commit.endpoint)
            if endpoint is not None and endpoint.model != commit.model:
                raise Conflict(
                    f"The endpoint {commit.endpoint!r} serves the model {endpoint.model!r}, not {commit.model!r}.",
                    help="Deploy under another name, or delete the endpoint first.",
                )
            version = _version_by_source(connection, commit.model, commit.manifest.source)
            made = version is None
            if version is None:
                version = _add_version(connection, commit, now)
            if endpoint is None:
                endpoint = Endpoint(name=commit.endpoint, model=commit.model, traffic={}, created=now, updated=now)
                connection.execute(insert(endpoints).values(rows.endpoint_row(endpoint)))
            revision = _add_revision(connection, endpoint, version, commit.config, now, commit.created_by)
        return version, revision, made

    def commit_revision(
        self, endpoint: str, version: int, config: RevisionConfig, now: float, created_by: str
    ) -> Revision:
        """A new revision of an existing version, given all traffic."""
        with self._writing() as connection:
            found = _need_endpoint(connection, endpoint)
            return _add_revision(
                connection, found, _need_version(connection, found.model, version), config, now, created_by
            )

    def set_traffic(self, endpoint: str, traffic: dict[int, int], now: float) -> Endpoint:
        """Point the endpoint at existing revisions."""
        if sum(traffic.values()) != 100 or any(not 0 <= percent <= 100 for percent in traffic.values()):
            raise InvalidInput("The traffic percents do not sum to 100.", help="Give each revision 0 to 100.")
        with self._writing() as connection:
            _need_endpoint(connection, endpoint)
            known = set(connection.scalars(select(revisions.c.number).where(revisions.c.endpoint == endpoint)))
            unknown = sorted(set(traffic) - known)
            if unknown:
                raise NotFound(f"The endpoint {endpoint!r} has no revision {unknown[0]}.")
            _point(connection, endpoint, traffic, now)
            return _need_endpoint(connection, endpoint)

    # -- models and versions -----------------------------------------------------------

    def find_version(self, model: str, source: str) -> Version | None:
        """The version made from these source bytes, if any."""
        with self._reading() as connection:
            return _version_by_source(connection, model, source)

    def models(self) -> list[Model]:
        """All models by name."""
        count, latest = func.count(versions.c.number), func.coalesce(func.max(versions.c.number), 0)
        query = (
            select(models.c.name, models.c.created, count.label("versions"), latest.label("latest"))
            .select_from(models.outerjoin(versions))
            .group_by(models.c.name, models.c.created)
            .order_by(models.c.name)
        )
        with self._reading() as connection:
            return [Model(**row) for row in connection.execute(query).mappings()]

    def versions(self, model: str) -> list[Version]:
        """All versions of a model, oldest first."""
        with self._reading() as connection:
            _need_model(connection, model)
            query = select(versions).where(versions.c.model == model).order_by(versions.c.number)
            return [rows.to_version(row) for row in connection.execute(query).mappings()]

    def version(self, model: str, number: int) -> Version:
        """One version."""
        with self._reading() as connection:
            return _need_version(connection, model, number)

    def delete_version(self, model: str, number: int) -> None:
        """Remove a version that no revision pins."""
        with self._writing() as connection:
            _need_version(connection, model, number)
            _refuse_if_pinned(connection, (revisions.c.model == model) & (revisions.c.version == number))
            connection.execute(delete(versions).where(versions.c.model == model, versions.c.number == number))

    def delete_model(self, model: str) -> None:
        """Remove a model and its versions when no revision pins one."""
        with self._writing() as connection:
            _need_model(connection, model)
            _refuse_if_pinned(connection, revisions.c.model == model)
            connection.execute(delete(versions).where(versions.c.model == model))
            connection.execute(delete(models).where(models.c.name == model))

    def bundles(self) -> set[str]:
        """Digests of all bundles that a version pins."""
        with self._reading() as connection:
            return set(connection.scalars(select(versions.c.bundle).distinct()))

    # -- endpoints ---------------------------------------------------------------------

    def endpoints(self) -> list[Endpoint]:
        """All endpoints by name."""
        with self._reading() as connection:
            return [
                rows.to_endpoint(row)
                for row in connection.execute(select(endpoints).order_by(endpoints.c.name)).mappings()
            ]

    def endpoint(self, name: str) -> Endpoint:
        """One endpoint."""
        with self._reading() as connection:
            return _need_endpoint(connection, name)

    def revisions(self, endpoint: str) -> list[Revision]:
        """All revisions of an endpoint, oldest first."""
        with self._reading() as connection:
            _need_endpoint(connection, endpoint)
            query = select(revisions).where(revisions.c.endpoint == endpoint).order_by(revisions.c.number)
            return [rows.to_revision(row) for row in connection.execute(query).mappings()]

    def delete_endpoint(self, name: str) -> None:
        """Remove an endpoint and its revisions; model and versions stay."""
        with self._writing() as connection:
            _need_endpoint(connection, name)
            connection.execute(delete(revisions).where(revisions.c.endpoint == name))
            connection.execute(delete(endpoints).where(endpoints.c.name == name))

    # -- keys --------------------------------------------------------------------------

    def keys(self) -> list[Key]:
        """All keys, oldest first."""
        with self._reading() as connection:
            query = select(keys).order_by(keys.c.created, keys.c.id)
            return [rows.to_key(row) for row in connection.execute(query).mappings()]

    def add_key(self, key: Key) -> None:
        """Keep a key under a name of its own."""
        with self._writing() as connection:
            if _exists(connection, keys, (keys.c.name == key.name) | (keys.c.id == key.id)):
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

    def check(self) -> list[str]:
        """Sentences about what is wrong; empty when all is well."""
        with self._reading() as connection:
            return problems(connection)


def _exists(connection: Connection, table: Table, condition: ColumnElement[bool]) -> bool:
    return connection.execute(select(func.count()).select_from(table).where(condition)).scalar_one() > 0


def _need_model(connection: Connection, name: str) -> None:
    if not _exists(connection, models, models.c.name == name):
        raise NotFound(f"There is no model {name!r}.")


def _need_version(connection: Connection, model: str, number: int) -> Version:
    query = select(versions).where(versions.c.model == model, versions.c.number == number)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound(f"There is no version {model}:{number}.")
    return rows.to_version(row)


def _version_by_source(connection: Connection, model: str, source: str) -> Version | None:
    query = select(versions).where(versions.c.model == model, versions.c.source == source)
    row = connection.execute(query).mappings().one_or_none()
    return None if row is None else rows.to_version(row)


def _endpoint(connection: Connection, name: str) -> Endpoint | None:
    row = connection.execute(select(endpoints).where(endpoints.c.name == name)).mappings().one_or_none()
    return None if row is None else rows.to_endpoint(row)


def _need_endpoint(connection: Connection, name: str) -> Endpoint:
    found = _endpoint(connection, name)
    if found is None:
        raise NotFound(f"There is no endpoint {name!r}.")
    return found


def _refuse_if_pinned(connection: Connection, condition: ColumnElement[bool]) -> None:
    query = select(revisions).where(condition).order_by(revisions.c.endpoint, revisions.c.number).limit(1)
    row = connection.execute(query).mappings().one_or_none()
    if row is not None:
        raise Conflict(
            f"{row['model']}:{row['version']} is used by revision {row['number']} of the endpoint {row['endpoint']!r}.",
            help="Delete the endpoint first.",
        )


def _next(connection: Connection, scope: str, name: str) -> int:
    """The next number of a series that is never rewound."""
    this = (counters.c.scope == scope) & (counters.c.name == name)
    if connection.execute(update(counters).where(this).values(last=counters.c.last + 1)).rowcount == 0:
        connection.execute(insert(counters).values(scope=scope, name=name, last=1))
    return int(connection.execute(select(counters.c.last).where(this)).scalar_one())


def _add_version(connection: Connection, commit: Commit, now: float) -> Version:
    if not _exists(connection, models, models.c.name == commit.model):
        connection.execute(insert(models).values(name=commit.model, created=now))
    version = Version(
        model=commit.model,
        number=_next(connection, "model", commit.model),
        bundle=commit.bundle,
        source=commit.manifest.source,
        runtime=commit.manifest.runtime,
        size=commit.size,
        created=now,
        created_by=commit.created_by,
        manifest=commit.manifest,
    )
    connection.execute(insert(versions).values(rows.version_row(version)))
    return version


def _add_revision(
    connection: Connection, endpoint: Endpoint, version: Version, config: RevisionConfig, now: float, created_by: str
) -> Revision:
    revision = Revision(
        endpoint=endpoint.name,
        number=_next(connection, "endpoint", endpoint.name),
        model=version.model,
        version=version.number,
        bundle=version.bundle,
        config=config,
        replaces=endpoint.revision if endpoint.traffic else 0,
        created=now,
        created_by=created_by,
    )
    connection.execute(insert(revisions).values(rows.revision_row(revision)))
    _point(connection, endpoint.name, {revision.number: 100}, now)
    return revision


def _point(connection: Connection, endpoint: str, traffic: dict[int, int], now: float) -> None:
    values = {"traffic": rows.to_text(traffic), "updated": now}
    connection.execute(update(endpoints).where(endpoints.c.name == endpoint).values(values))
