"""What came of a version's gates."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "trials",
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("by", sa.String(255), nullable=False),
        sa.Column("passed", sa.Boolean, nullable=False),
        sa.Column("failed", sa.Text, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_trials"),
        sa.ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"], name="fk_trials_model"),
    )
    op.create_index("ix_trials_model_version", "trials", ["model", "version"])


def downgrade() -> None:
    """Remove it."""
    op.drop_index("ix_trials_model_version", "trials")
    op.drop_table("trials")
