"""Alembic's environment and revisions. A new revision is also named in `schema.REVISIONS`."""
