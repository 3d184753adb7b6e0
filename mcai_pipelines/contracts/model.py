"""What a contract says, typed: the columns of one table and how it is kept.

Quality rules, classification, service levels and relationships are kept as they were written;
other floors give them meaning.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcai_pipelines.config import EnvString, TableFormat
from mcai_pipelines.config.findings import shown_path
from mcai_pipelines.config.wording import did_you_mean, quoted
from mcai_pipelines.contracts.types import Type, unsupported
from mcai_pipelines.errors import BadInput, Problem

RawMapping = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: As in the frame and in the table.
        type: Neutral type.
        required: Whether nulls are refused.
        primary_key: 1-based position in the primary key, or None.
        partition: 1-based position among the partition columns, or None.
        description: Prose, or empty.
        business_name: What the business calls it, or None.
        tags: ODCS tags.
        classification: ODCS classification, or None.
        quality: ODCS quality rules as written.
        relationships: ODCS relationships as written.
        line: 1-based line in the contract.
    """

    name: str
    type: Type
    required: bool = False
    primary_key: int | None = None
    partition: int | None = None
    description: str = ""
    business_name: str | None = None
    tags: tuple[str, ...] = ()
    classification: str | None = None
    quality: tuple[RawMapping, ...] = ()
    relationships: tuple[RawMapping, ...] = ()
    line: int = 1


@dataclass(frozen=True, slots=True)
class External:
    """A table that exists already and is adopted read-only.

    Attributes:
        site: Name of the site whose credentials open it.
        format: Its format.
        uri: Its folder or URL (for Iceberg also a metadata file); None when the catalog knows it.
        catalog_table: ``namespace.table`` in the site's Iceberg catalog, or None.
    """

    site: str
    format: TableFormat
    uri: EnvString | None = None
    catalog_table: str | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """Which old versions of a table are kept; where None, the platform's default.

    Attributes:
        keep_versions: So many, however old.
        days: Those that were current within so many days.
    """

    keep_versions: int | None = None
    days: int | None = None


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one table.

    Attributes:
        id: ``retail.weekly_sales``: the path below ``contracts/`` with dots.
        version: Of the contract, free text.
        status: ``draft``, ``active``, ``deprecated``, …
        name: For people; default: the table's name.
        domain: Default: the first part of the id, when it has several.
        description: Of the table, else the contract's purpose, else empty.
        owners: Email addresses and ``team:NAME``, as Dagster takes them.
        tags: Of the contract and its table.
        table_name: ``physicalName`` of the schema object, else its name.
        columns: In the order of the file.
        partition_by: Names of the partition columns, in order.
        primary_key: Names of the key columns, in order.
        format: The format of record, or None for the site's default.
        mirror: The format in which the same files are published too, or None.
        external: Set when the table exists already and is only read.
        history: Which of its old versions are kept.
        quality: Quality rules of the table as written.
        sla: Service levels as written.
        source: The file.
        raw: The whole file as plain data.
    """

    id: str
    version: str
    status: str
    name: str
    domain: str | None
    description: str
    owners: tuple[str, ...]
    tags: tuple[str, ...]
    table_name: str
    columns: tuple[Column, ...]
    partition_by: tuple[str, ...]
    primary_key: tuple[str, ...]
    format: TableFormat | None
    mirror: TableFormat | None
    external: External | None
    quality: tuple[RawMapping, ...] = field(repr=False)
    sla: tuple[RawMapping, ...] = field(repr=False)
    source: Path
    raw: RawMapping = field(repr=False)
    history: Retention = field(default_factory=Retention)

    def column(self, name: str) -> Column:
        """The column of this name.

        Raises:
            BadInput: When there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        what = f"{self.id} has no column {quoted(name)}"
        raise BadInput.at(shown_path(self.source), what, did_you_mean(name, names))

    def where(self, column: Column) -> str:
        """``file:line`` of a column."""
        return f"{shown_path(self.source)}:{column.line}"

    def unsupported(self, table_format: TableFormat) -> list[Problem]:
        """A problem for each column that a format cannot hold.

        ``load_contract`` has checked the formats that the contract names; a site's default
        format is known only where contract and site meet.
        """
        return [
            Problem(
                self.where(column),
                f"the column {column.name} is {column.type}: {reason}",
                "use another type, or another format",
            )
            for column in self.columns
            if (reason := unsupported(column.type, table_format))
        ]
