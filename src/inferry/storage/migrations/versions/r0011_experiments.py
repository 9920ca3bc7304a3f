"""Experiments, and the units that each variant was shown to."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "experiments",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("endpoint", sa.String(63), nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("ended", sa.Double, nullable=False),
        sa.Column("created_by", sa.String(255), nullable=False),
        sa.Column("ended_by", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("experiment", sa.Text, nullable=False),
        sa.Column("report", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_experiments"),
        sa.ForeignKeyConstraint(["endpoint"], ["endpoints.name"], name="fk_experiments_endpoint"),
    )
    op.create_index("ix_experiments_endpoint", "experiments", ["endpoint"])
    op.create_table(
        "exposures",
        sa.Column("experiment", sa.String(32), nullable=False),
        sa.Column("unit", sa.String(16), nullable=False),
        sa.Column("variant", sa.String(63), nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("outcome", sa.Double, nullable=True),
        sa.PrimaryKeyConstraint("experiment", "unit", name="pk_exposures"),
        sa.ForeignKeyConstraint(["experiment"], ["experiments.id"], name="fk_exposures_experiment"),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("exposures")
    op.drop_index("ix_experiments_endpoint", "experiments")
    op.drop_table("experiments")
