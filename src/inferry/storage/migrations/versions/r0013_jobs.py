"""Jobs, and those of their bodies that are small."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the two tables."""
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("key", sa.String(63), nullable=False),
        sa.Column("endpoint", sa.String(63), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("created", sa.Double, nullable=False),
        sa.Column("due", sa.Double, nullable=False),
        sa.Column("fence", sa.Integer, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("losses", sa.Integer, nullable=False),
        sa.Column("lease", sa.Double, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("ended", sa.Double, nullable=False),
        sa.Column("keep_s", sa.Double, nullable=False),
        sa.Column("expires", sa.Double, nullable=False),
        sa.Column("idem", sa.String(128), nullable=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("headers", sa.Text, nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("answer", sa.Text, nullable=False),
        sa.Column("answer_size", sa.BigInteger, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("key", "idem", name="uq_jobs_key_idem"),
    )
    op.create_index("ix_jobs_endpoint_state", "jobs", ["endpoint", "state", "rank", "id"])
    op.create_index("ix_jobs_state_lease", "jobs", ["state", "lease"])
    op.create_index("ix_jobs_expires", "jobs", ["expires"])
    op.create_index("ix_jobs_key", "jobs", ["key", "id"])
    op.create_table(
        "job_bodies",
        sa.Column("job", sa.String(32), nullable=False),
        sa.Column("part", sa.String(8), nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("job", "part", name="pk_job_bodies"),
        sa.ForeignKeyConstraint(["job"], ["jobs.id"], name="fk_job_bodies_job"),
    )


def downgrade() -> None:
    """Remove them."""
    op.drop_table("job_bodies")
    op.drop_table("jobs")
