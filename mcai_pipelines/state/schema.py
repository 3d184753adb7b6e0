"""The tables of the state database as the current code knows them.

The database itself is made by the scripts in ``migrations``; a test compares the two. Every name
starts with ``mcai_`` because a PostgreSQL database may also hold Dagster's or MLflow's tables.
"""

from datetime import UTC, datetime

from sqlalchemy import Boolean, Column, DateTime, Dialect, Integer, MetaData, Table, Text
from sqlalchemy.types import TypeDecorator

VERSION_TABLE = "mcai_alembic_version"


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime, stored and returned in UTC; SQLite keeps no time zone of its own."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive datetimes: they would be read back as another moment."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; use datetime.now(UTC)")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Name the time zone that SQLite dropped."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData()

tables = Table(
    "mcai_tables",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("site", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("mirror", Text),
    Column("uri", Text, nullable=False),
    Column("contract", Text),
    Column("external", Boolean, nullable=False),
    Column("identifier", Text),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("replica_of", Text),
)

arrivals = Table(
    "mcai_arrivals",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("week", Integer, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

erasures = Table(
    "mcai_erasures",
    metadata,
    Column("namespace", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("column_name", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("began_at", UtcDateTime, nullable=False),
    Column("ended_at", UtcDateTime),
    Column("report", Text, nullable=False),
)
