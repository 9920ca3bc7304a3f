"""Retention: what holds a model's versions, read and decided and carried out in one transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from collections.abc import Set as AbstractSet

import msgspec
from sqlalchemy import Connection, delete, insert, select, update

from inferry.errors import Conflict, NotFound
from inferry.storage import rows
from inferry.storage.base import Base
from inferry.storage.pipelines import on_their_way
from inferry.storage.rollouts import rolling
from inferry.storage.tables import aliases, endpoints, protections, retentions, revisions, trials, versions
from inferry.storage.versions import need_model, need_version
from inferry.types.registry import Revision, Version
from inferry.types.retention import Holder, KeptRule, Retention, Stand

_RULE = msgspec.json.Decoder(Retention)


class Retentions(Base):
    """interfaces.retention.RetentionStore."""

    def stand(self, model: str) -> Stand:
        """All that holds versions of a model."""
        with self._reading() as connection:
            return _stand(connection, model)

    def prune(self, model: str, choose: Callable[[Stand], AbstractSet[int]]) -> list[Version]:
        """Remove the versions that are chosen, with the revisions that pin them."""
        with self._writing() as connection:
            stand = _stand(connection, model)
            chosen = sorted(choose(stand))
            doomed = [need_version(connection, model, number) for number in chosen]
            for holder in stand.holders:
                _remove_revisions(connection, holder, set(chosen))
            connection.execute(delete(trials).where(trials.c.model == model, trials.c.version.in_(chosen)))
            its = (versions.c.model == model) & versions.c.number.in_(chosen)
            connection.execute(delete(versions).where(its))
            return doomed

    def retention(self, model: str) -> KeptRule | None:
        """A model's rule, if it has one."""
        with self._reading() as connection:
            need_model(connection, model)
            return next(iter(_rules(connection, model)), None)

    def retentions(self) -> list[KeptRule]:
        """All rules, by model."""
        with self._reading() as connection:
            return _rules(connection)

    def keep_retention(self, rule: KeptRule) -> None:
        """Give a model a rule, in the place of the one that it has."""
        with self._writing() as connection:
            need_model(connection, rule.model)
            connection.execute(delete(retentions).where(retentions.c.model == rule.model))
            connection.execute(insert(retentions).values({**rows.plain(rule), "rule": rows.to_text(rule.rule)}))

    def delete_retention(self, model: str) -> None:
        """Forget a model's rule."""
        with self._writing() as connection:
            need_model(connection, model)
            if not connection.execute(delete(retentions).where(retentions.c.model == model)).rowcount:
                raise NotFound(
                    f"The model {model!r} has no retention rule.", help="Nothing of it is removed by itself."
                )


def _rules(connection: Connection, model: str = "") -> list[KeptRule]:
    query = select(retentions).order_by(retentions.c.model)
    if model:
        query = query.where(retentions.c.model == model)
    return [KeptRule(**{**row, "rule": _RULE.decode(row["rule"])}) for row in connection.execute(query).mappings()]


def _stand(connection: Connection, model: str) -> Stand:
    need_model(connection, model)
    made = connection.execute(select(versions.c.number, versions.c.created).where(versions.c.model == model))
    names: defaultdict[int, tuple[str, ...]] = defaultdict(tuple)
    named = select(aliases.c.version, aliases.c.name).where(aliases.c.model == model).order_by(aliases.c.name)
    for number, name in connection.execute(named):
        names[number] += (name,)
    protected = connection.scalars(select(protections.c.version).where(protections.c.model == model))
    return Stand(
        versions={row.number: row.created for row in made},
        aliases=dict(names),
        protected=frozenset(protected) | on_their_way(connection, model),
        holders=_holders(connection, model),
    )


def _holders(connection: Connection, model: str) -> tuple[Holder, ...]:
    its: defaultdict[str, list[Revision]] = defaultdict(list)
    query = select(revisions).where(revisions.c.model == model).order_by(revisions.c.endpoint, revisions.c.number)
    for row in connection.execute(query).mappings():
        its[row["endpoint"]].append(rows.to_revision(row))
    found = connection.execute(select(endpoints).where(endpoints.c.model == model).order_by(endpoints.c.name))
    return tuple(
        Holder(
            endpoint=rows.to_endpoint(row),
            revisions=tuple(its[row["name"]]),
            rolling=rolling(connection, row["name"]),
        )
        for row in found.mappings()
    )


def _remove_revisions(connection: Connection, holder: Holder, doomed: set[int]) -> None:
    gone = [revision.number for revision in holder.revisions if revision.version in doomed]
    used = sorted((holder.endpoint.running | holder.rolling) & set(gone))
    if used:
        raise Conflict(f"Revision {used[0]} of {holder.endpoint.name!r} runs.", help="Keep its version.")
    this = revisions.c.endpoint == holder.endpoint.name
    connection.execute(delete(revisions).where(this, revisions.c.number.in_(gone)))
    connection.execute(update(revisions).where(this, revisions.c.replaces.in_(gone)).values(replaces=0))
