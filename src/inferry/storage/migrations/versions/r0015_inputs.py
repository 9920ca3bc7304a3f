"""Requests that are kept, to be sent again."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "inputs",
        sa.Column("request", sa.String(128), nullable=False),
        sa.Column("endpoint", sa.String(63), nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("door", sa.Integer, nullable=False),
        sa.Column("media", sa.String(255), nullable=False),
        sa.Column("encoding", sa.String(16), nullable=False),
        sa.Column("json_size", sa.Integer, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("request", "endpoint", name="pk_inputs"),
    )
    op.create_index("ix_inputs_endpoint_at", "inputs", ["endpoint", "at"])


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_inputs_endpoint_at", "inputs")
    op.drop_table("inputs")
