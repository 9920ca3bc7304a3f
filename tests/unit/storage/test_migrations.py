"""The migrations build exactly the tables of `tables`, and go both ways."""

from __future__ import annotations

from alembic.autogenerate import compare_metadata
from alembic.command import downgrade
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from inferry.storage import schema
from inferry.storage.tables import metadata


def make_config() -> Config:
    config = Config()
    config.set_main_option("script_location", "inferry.storage:migrations")
    return config


def test_tables_and_migrations_agree(database_url):
    engine = schema.open_engine(database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        inspector = inspect(connection)
        for table in metadata.tables.values():
            keys = {tuple(key["constrained_columns"]) for key in inspector.get_foreign_keys(table.name)}
            assert keys == {tuple(key.column_keys) for key in table.foreign_key_constraints}
            assert inspector.get_pk_constraint(table.name)["constrained_columns"] == list(
                table.primary_key.columns.keys()
            )
    engine.dispose()


def test_the_known_revisions_are_those_on_disk():
    scripts = ScriptDirectory.from_config(make_config())
    assert [script.revision for script in reversed(list(scripts.walk_revisions()))] == list(schema.REVISIONS)


def test_down_leaves_nothing(database_url):
    engine = schema.open_engine(database_url)
    with schema.writing(engine).begin() as connection:
        config = make_config()
        config.attributes["connection"] = connection
        downgrade(config, "base")
        assert inspect(connection).get_table_names() == ["alembic_version"]
    engine.dispose()
