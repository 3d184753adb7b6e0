"""What the platform remembers between runs: where its tables are and which data has arrived."""

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import Engine, Table, select

from mcai_pipelines.state.database import connect, reading, writing
from mcai_pipelines.state.migrate import migrate
from mcai_pipelines.state.schema import arrivals, erasures, tables

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite


@dataclass(frozen=True)
class TableRecord:
    """Where one table is and what it is, so that it is found without loading any asset.

    Attributes:
        key: Asset key joined by slashes, such as ``aws_us_east_1/transactions``.
        namespace: Keeps the tables of a developer or branch apart from production's.
        site: Name of the site in the platform file.
        format: Format of record, ``iceberg`` or ``delta``.
        mirror: The other format, if the files are published in it too.
        uri: Root of the table: an absolute path or a URL.
        contract: Name of the contract, such as ``retail/weekly_sales``.
        external: True if the table was adopted and is only ever read.
        identifier: Name in the Iceberg catalog, such as ``prod.aws_us_east_1.transactions``.
        updated_at: When this was last registered with a difference; aware, returned in UTC.
        replica_of: Key of the table that this one copies; None for a table of its own.
    """

    key: str
    namespace: str
    site: str
    format: str
    mirror: str | None
    uri: str
    contract: str | None
    external: bool
    identifier: str | None
    updated_at: datetime
    replica_of: str | None = None


@dataclass(frozen=True)
class ErasureRecord:
    """One erasure of a subject's rows: when, why and with what result, but never of whom.

    No hash of the subject's key is kept either: keys are few, so trying them all would tell it.

    Attributes:
        namespace: Whose tables.
        id: Unique; sorts by time.
        column_name: The column that held the subject's key.
        reason: What the user gave for it.
        began_at: When it began; aware, returned in UTC.
        ended_at: When all was removed; None if it was not.
        report: JSON of what was removed where, and of what remains in aggregates.
    """

    namespace: str
    id: str
    column_name: str
    reason: str
    began_at: datetime
    ended_at: datetime | None
    report: str


class State:
    """The state database; every method is one transaction, safe from any thread or process.

    Example:
        >>> import tempfile
        >>> with State.open(f"sqlite:///{tempfile.mkdtemp()}/state.db") as state:
        ...     state.set_arrived_through("default", "retail", 40)
        ...     state.arrived_through("default", "retail")
        40
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def open(cls, url: str) -> Self:
        """Open the database, creating or upgrading it first where needed.

        Args:
            url: ``sqlite:////absolute/path.db`` or ``postgresql://user@host/name``.

        Raises:
            BadInput: If the URL is malformed, or names another kind of database.
            StateUnavailable: If it cannot be reached, made or written, or is of a newer release.
        """
        engine = connect(url)
        try:
            migrate(engine)
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Close all connections; a later call would open new ones."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def register_table(self, record: TableRecord) -> None:
        """Insert or replace the record of ``(namespace, key)``; write nothing if it is equal.

        Raises:
            StateUnavailable: If the database cannot be read or written.
        """
        found = self.table(record.namespace, record.key)
        if found is not None and replace(found, updated_at=record.updated_at) == record:
            return
        self._upsert(tables, asdict(record))

    def table(self, namespace: str, key: str) -> TableRecord | None:
        """The record of one table; None if it was never registered."""
        query = select(tables).where(tables.c.namespace == namespace, tables.c.key == key)
        with reading(self._engine) as connection:
            row = connection.execute(query).mappings().one_or_none()
        return None if row is None else TableRecord(**row)

    def tables(self, namespace: str) -> list[TableRecord]:
        """All tables of a namespace, ordered by key."""
        query = select(tables).where(tables.c.namespace == namespace).order_by(tables.c.key)
        with reading(self._engine) as connection:
            return [TableRecord(**row) for row in connection.execute(query).mappings()]

    def arrived_through(self, namespace: str, source: str) -> int | None:
        """The last week whose data is available; None if none was ever set."""
        query = select(arrivals.c.week).where(
            arrivals.c.namespace == namespace, arrivals.c.source == source
        )
        with reading(self._engine) as connection:
            return connection.execute(query).scalar_one_or_none()

    def set_arrived_through(self, namespace: str, source: str, week: int) -> None:
        """Say that the data of all weeks up to this one is available.

        Raises:
            StateUnavailable: If the database cannot be written.
        """
        row = {"namespace": namespace, "source": source, "week": week}
        self._upsert(arrivals, row | {"updated_at": datetime.now(UTC)})

    def save_erasure(self, record: ErasureRecord) -> None:
        """Insert or replace the record of ``(namespace, id)``.

        Raises:
            StateUnavailable: If the database cannot be written.
        """
        self._upsert(erasures, asdict(record))

    def erasures(self, namespace: str) -> list[ErasureRecord]:
        """All erasures in a namespace, oldest first."""
        query = select(erasures).where(erasures.c.namespace == namespace).order_by(erasures.c.id)
        with reading(self._engine) as connection:
            return [ErasureRecord(**row) for row in connection.execute(query).mappings()]

    def _upsert(self, table: Table, row: dict[str, Any]) -> None:
        insert = _insert_into(table, self._engine.dialect.name).values(row)
        key = [column.name for column in table.primary_key]
        changed = {name: insert.excluded[name] for name in row if name not in key}
        with writing(self._engine) as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=key, set_=changed))


def _insert_into(table: Table, dialect: str) -> "sqlite.Insert | postgresql.Insert":
    # Imported here: PostgreSQL's dialect costs 0.1 s, and most processes only read.
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql

    return postgresql.insert(table)
