"""Everyone who reads a table: ours, and the plain libraries that know nothing of us."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
from deltalake import DeltaTable
from pyiceberg.catalog.sql import SqlCatalog

from mcai_pipelines.lakehouse.table import Table

Rows: TypeAlias = list[tuple[Any, ...]]


def rows(frame: pl.DataFrame) -> Rows:
    """Rows in an order of their own, columns by name: two tables are equal if these are."""
    frame = frame.select(sorted(frame.columns))
    return sorted(frame.rows(), key=repr)


def ours(table: Table, format: str | None = None) -> Rows:
    return rows(table.scan(format=format).collect())


def plain(table: Table, format: str) -> Rows:
    """What a reader without our code sees; nothing where it sees no table."""
    return rows(plain_frame(table, format))


def plain_frame(table: Table, format: str) -> pl.DataFrame:
    if format == "delta":
        if not DeltaTable.is_deltatable(table.storage.uri):
            return pl.DataFrame()
        arrow = DeltaTable(table.storage.uri).to_pyarrow_table()
    else:
        catalog = plain_catalog(table)
        if not catalog.table_exists(table.storage.identifier):
            return pl.DataFrame()
        arrow = catalog.load_table(table.storage.identifier).scan().to_arrow()
    return pl.DataFrame(arrow)


def plain_catalog(table: Table) -> SqlCatalog:
    """The site's catalog, opened afresh (the conftest keeps it beside the namespace)."""
    file = Path(table.storage.uri).parent.parent / "catalog.db"
    return SqlCatalog("site", uri=f"sqlite:///{file}")


def everyone(table: Table) -> dict[str, Rows]:
    """What each reader of each format sees; ours repairs a lagging mirror first."""
    return {f"ours, {format}": ours(table, format) for format in table.formats} | {
        f"plain {format}": plain(table, format) for format in table.formats
    }


def markers(table: Table) -> list[str]:
    """Batches that the table's root says are in flight."""
    return [path.name for path in Path(table.storage.uri, "_staged").glob("*.json")]


def unreferenced(table: Table) -> set[str]:
    """Data files that no retained version of the primary shows."""
    root = Path(table.storage.uri)
    found = {str(path.relative_to(root)) for path in root.glob("_data/**/*.parquet")}
    for version in table.history():
        found -= set(table.primary.at(version.id).files)
    return found
