"""The registered tables and the simulated arrival of data."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "mcai_tables",
        sa.Column("namespace", sa.Text, primary_key=True),
        sa.Column("key", sa.Text, primary_key=True),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("format", sa.Text, nullable=False),
        sa.Column("mirror", sa.Text),
        sa.Column("uri", sa.Text, nullable=False),
        sa.Column("contract", sa.Text),
        sa.Column("external", sa.Boolean, nullable=False),
        sa.Column("identifier", sa.Text),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "mcai_arrivals",
        sa.Column("namespace", sa.Text, primary_key=True),
        sa.Column("source", sa.Text, primary_key=True),
        sa.Column("week", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
