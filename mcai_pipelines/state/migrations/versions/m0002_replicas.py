"""Which tables are replicas, and of which table."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column."""
    op.add_column("mcai_tables", sa.Column("replica_of", sa.Text))
