"""Readers that know nothing of us: delta-rs, PyIceberg, plain Polars and DuckDB."""

from __future__ import annotations

import time
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb
import polars as pl
from deltalake import DeltaTable
from pyiceberg.table import StaticTable

from mcai_pipelines.lakehouse.table import Table

# Of DuckDB 1.5.5 in wheels, because its own download needs the network; in the order of need.
_EXTENSIONS = ("parquet", "json", "icu", "avro", "httpfs", "iceberg", "delta")


@cache
def duckdb_connection() -> duckdb.DuckDBPyConnection:
    """DuckDB with the extensions that read Delta and Iceberg."""
    connection = duckdb.connect()
    connection.execute("SET autoinstall_known_extensions = false; SET TimeZone = 'UTC'")
    for name in _EXTENSIONS:
        folder = files(f"duckdb_extension_{name}") / "extensions" / f"v{duckdb.__version__}"
        connection.load_extension(str(folder / f"{name}.duckdb_extension"))
    return connection


def _frame(relation: duckdb.DuckDBPyRelation) -> pl.DataFrame:
    return pl.DataFrame(relation.to_arrow_table())


def read_everywhere(table: Table) -> dict[str, pl.DataFrame]:
    """The newest rows by reader: ours first, then each reader that is not ours."""
    database = duckdb_connection()
    frames = {f"our {name}": table.scan(format=name).collect() for name in table.formats}
    if "delta" in table.formats:
        uri = table.storage.uri
        frames["delta-rs"] = pl.DataFrame(DeltaTable(uri).to_pyarrow_table())
        frames["polars scan_delta"] = pl.scan_delta(uri).collect()
        frames["duckdb delta_scan"] = _frame(database.sql(f"FROM delta_scan('{uri}')"))
    location = table.info().metadata_location
    if location is not None:
        frames["pyiceberg"] = pl.DataFrame(StaticTable.from_metadata(location).scan().to_arrow())
        frames["polars scan_iceberg"] = pl.scan_iceberg(location).collect()
        frames["duckdb iceberg_scan"] = _frame(database.sql(f"FROM iceberg_scan('{location}')"))
    return frames


def assert_reads_everywhere(table: Table, expected: pl.DataFrame, *, by: str) -> None:
    """Every reader sees exactly these rows and types, in the order of a unique column."""
    for reader, frame in read_everywhere(table).items():
        assert sorted(frame.columns) == sorted(expected.columns), reader
        for found, wanted in zip(
            frame.select(expected.columns).sort(by), expected.sort(by), strict=True
        ):
            assert found.dtype == wanted.dtype, f"{reader} reads {found.name} as {found.dtype}"
            assert found.equals(wanted), f"{reader} reads {found.name} as {found.to_list()}"


def files_below(root: str | Path, folder: str = "") -> set[str]:
    """Every file below a folder, hidden ones too, relative to the root."""
    return {str(path.relative_to(root)) for path in Path(root, folder).rglob("*") if path.is_file()}


def data_files(table: Table) -> set[str]:
    """The table's data files, visible or not."""
    return {path for path in files_below(table.storage.uri) if path.startswith("_data/")}


def assert_nothing_left_but(table: Table, files: set[str], folder: str = "") -> None:
    """A failed write leaves no file; what its sink was at may end just after it has failed."""
    deadline = time.monotonic() + 30
    while files_below(table.storage.uri, folder) != files:
        assert time.monotonic() < deadline, files_below(table.storage.uri, folder) ^ files
        time.sleep(0.02)
        table.sweep()
