"""Run by Alembic, never imported: migrates the open connection that `schema` hands over.

That connection is inside a transaction already, so an upgrade is done whole or not at all.
"""

from alembic import context

from inferry.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
