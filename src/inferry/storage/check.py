"""Integrity of the store, read in one transaction: does everything that is pointed at exist?

Data flow: all rows -> sentences about what is wrong, none when all is well. Foreign keys
guard most of it already; this also covers what they cannot say, and files edited by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, RowMapping, Table, select

from inferry.storage import rows, sqlite
from inferry.storage.tables import counters, endpoints, keys, models, revisions, versions
from inferry.types.registry import Endpoint, Revision
from inferry.types.traffic import PLACES

T = TypeVar("T")


def problems(connection: Connection) -> list[str]:
    """Everything wrong with the database behind an open connection."""
    found: list[str] = []
    if connection.dialect.name == "sqlite":
        found += sqlite.problems(connection)

    known_models = set(connection.scalars(select(models.c.name)))
    known_versions = {
        (version.model, version.number): version.bundle
        for version in _decoded(connection, versions, rows.to_version, found)
    }
    every_endpoint = {e.name: e for e in _decoded(connection, endpoints, rows.to_endpoint, found)}
    every_revision = {(r.endpoint, r.number): r for r in _decoded(connection, revisions, rows.to_revision, found)}
    _decoded(connection, keys, rows.to_key, found)

    found += [f"{m}:{n} belongs to no model." for m, n in known_versions if m not in known_models]
    for revision in every_revision.values():
        found += _revision_problems(revision, every_endpoint, every_revision, known_versions)
    for endpoint in every_endpoint.values():
        found += _endpoint_problems(endpoint, every_revision, known_models)

    last = {(row.scope, row.name): row.last for row in connection.execute(select(counters))}
    used = [("model", m, n) for m, n in known_versions] + [("endpoint", e, n) for e, n in every_revision]
    found += [f"{scope} {name}: {n} is past its counter." for scope, name, n in used if n > last.get((scope, name), 0)]
    return found


def _decoded(connection: Connection, table: Table, decode: Callable[[RowMapping], T], found: list[str]) -> list[T]:
    good: list[T] = []
    for row in connection.execute(select(table)).mappings():
        try:
            good.append(decode(row))
        except msgspec.DecodeError:
            key = ", ".join(str(row[column.name]) for column in table.primary_key)
            found.append(f"{table.name} {key}: a JSON column cannot be read.")
    return good


def _revision_problems(
    revision: Revision,
    every_endpoint: dict[str, Endpoint],
    every_revision: dict[tuple[str, int], Revision],
    known_versions: dict[tuple[str, int], str],
) -> Iterator[str]:
    name = f"Revision {revision.number} of {revision.endpoint!r}"
    if revision.endpoint not in every_endpoint:
        yield f"{name} belongs to no endpoint."
    bundle = known_versions.get((revision.model, revision.version))
    if bundle is None:
        yield f"{name} pins {revision.model}:{revision.version}, which does not exist."
    elif bundle != revision.bundle:
        yield f"{name} pins another bundle than {revision.model}:{revision.version}."
    if revision.replaces and (revision.endpoint, revision.replaces) not in every_revision:
        yield f"{name} replaces revision {revision.replaces}, which does not exist."


def _endpoint_problems(
    endpoint: Endpoint, every_revision: dict[tuple[str, int], Revision], known_models: set[str]
) -> Iterator[str]:
    if endpoint.model not in known_models:
        yield f"The endpoint {endpoint.name!r} serves the model {endpoint.model!r}, which does not exist."
    total = sum(endpoint.traffic.values())
    if total != 100:
        yield f"The traffic of {endpoint.name!r} sums to {total}, not 100."
    for number in endpoint.running | set(endpoint.traffic):
        if (endpoint.name, number) not in every_revision:
            yield f"The endpoint {endpoint.name!r} sends traffic to revision {number}, which does not exist."
    shares: Counter[int] = Counter()
    for number, size in endpoint.split.places:
        shares[number] += size
    if shares and shares != {number: percent * PLACES // 100 for number, percent in endpoint.traffic.items()}:
        yield f"The places of {endpoint.name!r} do not agree with its traffic."
