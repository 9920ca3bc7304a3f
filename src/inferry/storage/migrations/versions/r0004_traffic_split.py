"""How an endpoint's requests are shared out: places, key, pins, warm revisions and mirror."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it; places are assigned when the traffic changes next."""
    op.add_column("endpoints", sa.Column("split", sa.Text, nullable=False, server_default="{}"))


def downgrade() -> None:
    """Forget it."""
    op.drop_column("endpoints", "split")
