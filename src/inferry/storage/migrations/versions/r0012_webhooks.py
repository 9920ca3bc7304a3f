"""Webhooks, what they are told, and how that went."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the three tables."""
    op.create_table(
        "webhooks",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("events", sa.Text, nullable=False),
        sa.Column("allow_http", sa.Boolean, nullable=False),
        sa.Column("sealed", sa.Text, nullable=False),
        sa.Column("sealed_before", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
        sa.Column("off", sa.Text, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_webhooks"),
    )
    op.create_table(
        "deliveries",
        sa.Column("hook", sa.String(63), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("event", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("since", sa.Double, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("hook", "number", name="pk_deliveries"),
        sa.ForeignKeyConstraint(["hook"], ["webhooks.name"], name="fk_deliveries_hook"),
    )
    op.create_index("ix_deliveries_state_due", "deliveries", ["state", "due"])
    op.create_table(
        "delivery_attempts",
        sa.Column("hook", sa.String(63), nullable=False),
        sa.Column("delivery", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("ms", sa.Double, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("words", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("hook", "delivery", "number", name="pk_delivery_attempts"),
        sa.ForeignKeyConstraint(
            ["hook", "delivery"], ["deliveries.hook", "deliveries.number"], name="fk_delivery_attempts_hook"
        ),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("delivery_attempts")
    op.drop_index("ix_deliveries_state_due", "deliveries")
    op.drop_table("deliveries")
    op.drop_table("webhooks")
