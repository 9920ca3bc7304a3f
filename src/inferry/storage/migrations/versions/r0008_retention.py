"""When revisions stopped, and how long old versions are kept."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them. Revisions that do not run are taken to have stopped when their endpoint changed last."""
    op.add_column("revisions", sa.Column("stopped", sa.Double, nullable=False, server_default="0"))
    op.execute("UPDATE revisions SET stopped = (SELECT updated FROM endpoints WHERE name = revisions.endpoint)")
    op.create_table(
        "retentions",
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("updated", sa.Double, nullable=False),
        sa.Column("updated_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("model", name="pk_retentions"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_retentions_model"),
    )


def downgrade() -> None:
    """Forget them."""
    op.drop_table("retentions")
    op.drop_column("revisions", "stopped")
