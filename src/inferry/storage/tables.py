"""The tables, once: migrations are checked against them and every statement is built from them.

    models 1--n versions 1--n revisions n--1 endpoints        keys        counters
                   1--n aliases, protections

Structured values that are only ever read whole (manifest, lineage, config, traffic, a key's endpoints)
are JSON text, and so is a rollout's state; its decisions are rows, and so are an experiment's units. `captures`,
`inputs` and `truths` belong to an endpoint by name only: they are written in bulk, and thrown away when they are old.
`jobs` and `job_bodies` are the one part that control does not write: they are the jobs process's.
`counters` outlives what it counted, so that `fraud:3` or an endpoint's revision 3 never names two different things,
even after a delete.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
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
    Column("lineage", Text, nullable=False, server_default="{}"),
    UniqueConstraint("model", "source"),
)

aliases = Table(
    "aliases",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("name", String(63), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("moved", Double, nullable=False),
    Column("moved_by", String(255), nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"]),
)

alias_moves = Table(
    "alias_moves",
    metadata,
    Column("model", String(63), ForeignKey("models.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("alias", String(63), nullable=False),
    Column("before", Integer, nullable=False),
    Column("after", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("by", String(255), nullable=False),
)

protections = Table(
    "protections",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("by", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"]),
)

trials = Table(
    "trials",
    metadata,
    Column("model", String(63), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("by", String(255), nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("failed", Text, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("report", Text, nullable=False),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"]),
    Index(None, "model", "version"),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("model", String(63), ForeignKey("models.name"), nullable=False),
    Column("traffic", Text, nullable=False),
    Column("split", Text, nullable=False, server_default="{}"),
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
    Column("stopped", Double, nullable=False, server_default="0"),
    ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"]),
)

retentions = Table(
    "retentions",
    metadata,
    Column("model", String(63), ForeignKey("models.name"), primary_key=True),
    Column("rule", Text, nullable=False),
    Column("updated", Double, nullable=False),
    Column("updated_by", String(255), nullable=False),
)

rollouts = Table(
    "rollouts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("endpoint", String(63), ForeignKey("endpoints.name"), nullable=False, index=True),
    Column("phase", String(16), nullable=False),
    Column("started", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("decisions", Integer, nullable=False),
    Column("strategy", Text, nullable=False),
    Column("state", Text, nullable=False),
)

decisions = Table(
    "decisions",
    metadata,
    Column("rollout", String(32), ForeignKey("rollouts.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("action", String(16), nullable=False),
    Column("by", String(255), nullable=False),
    Column("weight", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", Text, nullable=False),
)

captures = Table(
    "captures",
    metadata,
    Column("request", String(128), primary_key=True),
    Column("endpoint", String(63), primary_key=True),
    Column("model", String(63), nullable=False),
    Column("version", Integer, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("key", String(16), nullable=False),
    Column("predictions", Text, nullable=False),
    Index("ix_captures_endpoint_at", "endpoint", "at"),
)

inputs = Table(
    "inputs",
    metadata,
    Column("request", String(128), primary_key=True),
    Column("endpoint", String(63), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("version", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("door", Integer, nullable=False),
    Column("media", String(255), nullable=False),
    Column("encoding", String(16), nullable=False),
    Column("json_size", Integer, nullable=False),
    Column("size", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Index("ix_inputs_endpoint_at", "endpoint", "at"),
)

truths = Table(
    "truths",
    metadata,
    Column("request", String(128), primary_key=True),
    Column("endpoint", String(63), primary_key=True),
    Column("truth", Text, nullable=False),
    Column("metrics", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("received", Double, nullable=False),
    Column("matched", Double, nullable=False),
    Index("ix_truths_endpoint_received", "endpoint", "received"),
)

experiments = Table(
    "experiments",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("endpoint", String(63), ForeignKey("endpoints.name"), nullable=False, index=True),
    Column("started", Double, nullable=False),
    Column("ended", Double, nullable=False),
    Column("created_by", String(255), nullable=False),
    Column("ended_by", String(255), nullable=False),
    Column("reason", Text, nullable=False),
    Column("experiment", Text, nullable=False),
    Column("report", Text, nullable=False),
)

exposures = Table(
    "exposures",
    metadata,
    Column("experiment", String(32), ForeignKey("experiments.id"), primary_key=True),
    Column("unit", String(16), primary_key=True),
    Column("variant", String(63), nullable=False),
    Column("at", Double, nullable=False),
    Column("outcome", Double, nullable=True),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("key", String(63), nullable=False),
    Column("endpoint", String(63), nullable=False),
    Column("state", String(16), nullable=False),
    Column("rank", Integer, nullable=False),
    Column("created", Double, nullable=False),
    Column("due", Double, nullable=False),
    Column("fence", Integer, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("losses", Integer, nullable=False),
    Column("lease", Double, nullable=False),
    Column("started", Double, nullable=False),
    Column("ended", Double, nullable=False),
    Column("keep_s", Double, nullable=False),
    Column("expires", Double, nullable=False),
    Column("idem", String(128), nullable=True),
    Column("digest", String(64), nullable=False),
    Column("path", Text, nullable=False),
    Column("headers", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("status", Integer, nullable=False),
    Column("answer", Text, nullable=False),
    Column("answer_size", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    UniqueConstraint("key", "idem"),
    Index("ix_jobs_endpoint_state", "endpoint", "state", "rank", "id"),
    Index("ix_jobs_state_lease", "state", "lease"),
    Index("ix_jobs_expires", "expires"),
    Index("ix_jobs_key", "key", "id"),
)

job_bodies = Table(
    "job_bodies",
    metadata,
    Column("job", String(32), ForeignKey("jobs.id"), primary_key=True),
    Column("part", String(8), primary_key=True),
    Column("body", LargeBinary, nullable=False),
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

projects = Table(
    "projects",
    metadata,
    Column("turn", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("by", String(255), nullable=False),
    Column("project", Text, nullable=False),
    Column("since", Text, nullable=False),
    Column("managed", Text, nullable=False),
    Column("prune", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("problems", Text, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("model", String(63), ForeignKey("models.name"), nullable=False, index=True),
    Column("version", Integer, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("started", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("turn", Integer, nullable=False),
    Column("state", Text, nullable=False),
)

run_events = Table(
    "run_events",
    metadata,
    Column("run", String(32), ForeignKey("runs.id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("stage", Integer, nullable=False),
    Column("by", String(255), nullable=False),
    Column("words", Text, nullable=False),
)

webhooks = Table(
    "webhooks",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),
    Column("allow_http", Boolean, nullable=False),
    Column("sealed", Text, nullable=False),
    Column("sealed_before", Text, nullable=False),
    Column("until", Double, nullable=False),
    Column("off", Text, nullable=False),
    Column("created", Double, nullable=False),
    Column("created_by", String(255), nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("hook", String(63), ForeignKey("webhooks.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", String(36), nullable=False),
    Column("event", Text, nullable=False),
    Column("state", String(16), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("since", Double, nullable=False),
    Column("due", Double, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("updated", Double, nullable=False),
    Index("ix_deliveries_state_due", "state", "due"),
)

delivery_attempts = Table(
    "delivery_attempts",
    metadata,
    Column("hook", String(63), primary_key=True),
    Column("delivery", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("ms", Double, nullable=False),
    Column("status", Integer, nullable=False),
    Column("words", Text, nullable=False),
    ForeignKeyConstraint(["hook", "delivery"], ["deliveries.hook", "deliveries.number"]),
)

repositories = Table(
    "repositories",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("state", Text, nullable=False),
)
