"""The Git repository that the platform follows."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "repositories",
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_repositories"),
    )


def downgrade() -> None:
    """Remove it."""
    op.drop_table("repositories")
