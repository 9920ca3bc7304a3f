"""The tables, once: migrations are checked against them and every statement is built from them.

    models 1--n versions 1--n revisions n--1 endpoints        keys        counters

Structured values that are only ever read whole (manifest, config, traffic, a key's endpoints)
are JSON text. `counters` outlives what it counted, so that `fraud:3` or an endpoint's
revision 3 never names two different things, even after a delete.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)

counters = Table(
    "counters",
    metadata,
    Column("scope", String(16), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("last", Integer, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("created", Double, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("model", String(63), ForeignKey("models.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("bundle", String(64), nullable=False),
    Column("source", String(64), nullable=False),
    Column("runtime", String(63), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("created", Double, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("manifest", Text, nullable=False),
    UniqueConstraint("model", "source"),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("model", String(63), ForeignKey("models.name"), nullable=False),
    Column("traffic", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("updated", Double, nullable=False),
)

revisions = Table(
    "revisions",
    metadata,
    Column("endpoint", String(63), ForeignKey("endpoints.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("model", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("bundle", String(64), nullable=False),
    Column("config", Text, nullable=False),
    Column("replaces", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("created_by", String(255), nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"]),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(63), primary_key=True),
    Column("name", String(63), nullable=False, unique=True),
    Column("role", String(16), nullable=False),
    Column("digest", String(128), nullable=False),
    Column("endpoints", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("expires", Double, nullable=False),
)
