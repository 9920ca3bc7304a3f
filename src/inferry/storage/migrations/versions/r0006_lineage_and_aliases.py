"""Where versions come from, aliases with their history, and protected versions."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column and three tables; of the versions that are there nothing is known."""
    op.add_column("versions", sa.Column("lineage", sa.Text, nullable=False, server_default="{}"))
    op.create_table(
        "aliases",
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("moved", sa.Double, nullable=False),
        sa.Column("moved_by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("model", "name", name="pk_aliases"),
        sa.ForeignKeyConstraint(["model", "version"], ["versions.model", "versions.number"], name="fk_aliases_model"),
    )
    op.create_table(
        "alias_moves",
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("number", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("alias", sa.String(63), nullable=False),
        sa.Column("before", sa.Integer, nullable=False),
        sa.Column("after", sa.Integer, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("by", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("model", "number", name="pk_alias_moves"),
        sa.ForeignKeyConstraint(["model"], ["models.name"], name="fk_alias_moves_model"),
    )
    op.create_table(
        "protections",
        sa.Column("model", sa.String(63), nullable=False),
        sa.Column("version", sa.Integer, autoincrement=False, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("by", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("model", "version", name="pk_protections"),
        sa.ForeignKeyConstraint(
            ["model", "version"], ["versions.model", "versions.number"], name="fk_protections_model"
        ),
    )


def downgrade() -> None:
    """Forget them."""
    for table in ("protections", "alias_moves", "aliases"):
        op.drop_table(table)
    op.drop_column("versions", "lineage")
