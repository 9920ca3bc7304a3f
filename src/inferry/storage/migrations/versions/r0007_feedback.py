"""Answers that were kept, and what turned out to be true of them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "captures",
        sa.Column("request", sa.String(128), nullable=False),
        sa.Column("endpoint", sa.String(63), nullable=False),
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("key", sa.String(16), nullable=False),
        sa.Column("predictions", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("request", "endpoint", name="pk_captures"),
    )
    op.create_index("ix_captures_endpoint_at", "captures", ["endpoint", "at"])
    op.create_table(
        "truths",
        sa.Column("request", sa.String(128), nullable=False),
        sa.Column("endpoint", sa.String(63), nullable=False),
        sa.Column("truth", sa.Text, nullable=False),
        sa.Column("metrics", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("received", sa.Double, nullable=False),
        sa.Column("matched", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("request", "endpoint", name="pk_truths"),
    )
    op.create_index("ix_truths_endpoint_received", "truths", ["endpoint", "received"])


def downgrade() -> None:
    """Remove them."""
    op.drop_index("ix_truths_endpoint_received", "truths")
    op.drop_table("truths")
    op.drop_index("ix_captures_endpoint_at", "captures")
    op.drop_table("captures")
