"""Endpoints: their revisions and their traffic, and the deploy that makes all of it visible at once."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, delete, insert, select

from inferry.errors import Conflict, NotFound
from inferry.policy import events, traffic
from inferry.storage import rows
from inferry.storage.base import Base, next_number
from inferry.storage.endpoint_rows import find_endpoint, keep_traffic, need_endpoint, need_revision
from inferry.storage.experiments import forget_experiments
from inferry.storage.feedback import forget_feedback
from inferry.storage.inputs import forget_kept_inputs
from inferry.storage.moves import refuse_while_moving
from inferry.storage.rollouts import add_rollout, forget_rollouts
from inferry.storage.tables import endpoints, revisions
from inferry.storage.told import tell
from inferry.storage.versions import add_version, need_version, version_by_source
from inferry.types.registry import Commit, Endpoint, Revision, RevisionConfig, Version
from inferry.types.webhooks import Event


class Endpoints(Base):
    """Endpoints, revisions and traffic."""

    def commit_deploy(self, commit: Commit, now: float) -> tuple[Version, Revision, bool]:
        """Version (made, or found by its source), revision and traffic in one transaction."""
        with self._writing() as connection:
            endpoint = find_endpoint(connection, commit.endpoint)
            if endpoint is not None and endpoint.model != commit.model:
                raise Conflict(
                    f"The endpoint {commit.endpoint!r} serves the model {endpoint.model!r}, not {commit.model!r}.",
                    help="Deploy under another name, or delete the endpoint first.",
                )
            version, made = _find_or_add(connection, commit, now)
            if endpoint is None:
                endpoint = Endpoint(name=commit.endpoint, model=commit.model, traffic={}, created=now, updated=now)
                connection.execute(insert(endpoints).values(rows.endpoint_row(endpoint)))
            revision = _add_revision(connection, endpoint, version, commit.config, now, commit.created_by)
            tell(connection, events.deployed(revision))
            self._give_traffic(connection, endpoint, revision, commit, now)
        return version, revision, made

    @staticmethod
    def _give_traffic(
        connection: Connection, endpoint: Endpoint, revision: Revision, commit: Commit, now: float
    ) -> None:
        """Its share at once, or by a rollout; the first revision of an endpoint takes all."""
        refuse_while_moving(connection, endpoint.name)
        if commit.strategy is not None and endpoint.traffic:
            add_rollout(connection, endpoint, revision.number, commit.strategy, now, commit.created_by)
            return
        percent = commit.percent if commit.strategy is None else 100
        made = traffic.introduce(endpoint, revision.number, percent, keep_warm=commit.keep_warm)
        keep_traffic(connection, made, now)

    def commit_revision(
        self, endpoint: str, instead: int, config: RevisionConfig, now: float, created_by: str
    ) -> Revision:
        """A new revision of the version of another one, in its place."""
        with self._writing() as connection:
            found = need_endpoint(connection, endpoint)
            refuse_while_moving(connection, endpoint)
            old = need_revision(connection, endpoint, instead)
            pinned = need_version(connection, old.model, old.version)
            revision = _add_revision(connection, found, pinned, config, now, created_by)
            keep_traffic(connection, traffic.supersede(found, instead, revision.number), now)
            tell(connection, events.deployed(revision))
            return revision

    def change_traffic(
        self, endpoint: str, change: Callable[[Endpoint], Endpoint], now: float, *told: Event
    ) -> Endpoint:
        """Share an endpoint's requests out among existing revisions."""
        with self._writing() as connection:
            refuse_while_moving(connection, endpoint)
            made = change(need_endpoint(connection, endpoint))
            known = set(connection.scalars(select(revisions.c.number).where(revisions.c.endpoint == endpoint)))
            unknown = sorted(made.running - known)
            if unknown:
                raise NotFound(f"The endpoint {endpoint!r} has no revision {unknown[0]}.")
            keep_traffic(connection, made, now)
            tell(connection, *told)
            return need_endpoint(connection, endpoint)

    def endpoints(self) -> list[Endpoint]:
        """All endpoints by name."""
        with self._reading() as connection:
            found = [rows.to_endpoint(row) for row in connection.execute(select(endpoints)).mappings()]
        return sorted(found, key=lambda endpoint: endpoint.name)  # a database's collation may differ

    def endpoint(self, name: str) -> Endpoint:
        """One endpoint."""
        with self._reading() as connection:
            return need_endpoint(connection, name)

    def revisions(self, endpoint: str) -> list[Revision]:
        """All revisions of an endpoint, oldest first."""
        with self._reading() as connection:
            need_endpoint(connection, endpoint)
            query = select(revisions).where(revisions.c.endpoint == endpoint).order_by(revisions.c.number)
            return [rows.to_revision(row) for row in connection.execute(query).mappings()]

    def delete_endpoint(self, name: str, *told: Event) -> None:
        """Remove an endpoint and its revisions; model and versions stay."""
        with self._writing() as connection:
            need_endpoint(connection, name)
            forget_rollouts(connection, name)
            forget_feedback(connection, name)
            forget_kept_inputs(connection, name)
            forget_experiments(connection, name)
            connection.execute(delete(revisions).where(revisions.c.endpoint == name))
            connection.execute(delete(endpoints).where(endpoints.c.name == name))
            tell(connection, *told)


def _find_or_add(connection: Connection, commit: Commit, now: float) -> tuple[Version, bool]:
    """The version, and whether it was made."""
    if commit.version:
        return need_version(connection, commit.model, commit.version), False
    known = version_by_source(connection, commit.model, commit.manifest.source)
    return (add_version(connection, commit, now), True) if known is None else (known, False)


def _add_revision(
    connection: Connection, endpoint: Endpoint, version: Version, config: RevisionConfig, now: float, created_by: str
) -> Revision:
    revision = Revision(
        endpoint=endpoint.name,
        number=next_number(connection, "endpoint", endpoint.name),
        model=version.model,
        version=version.number,
        bundle=version.bundle,
        config=config,
        replaces=endpoint.revision if endpoint.traffic else 0,
        created=now,
        created_by=created_by,
    )
    connection.execute(insert(revisions).values(rows.revision_row(revision)))
    return revision
