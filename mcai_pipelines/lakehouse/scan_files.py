"""Reading chosen data files of a table: what a merge and a compaction rewrite, and no more."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from pyiceberg.schema import Schema, index_name_by_id

from mcai_pipelines.lakehouse.errors import UnsupportedTable
from mcai_pipelines.lakehouse.flight import is_batch_file
from mcai_pipelines.lakehouse.schema import to_polars

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.files import DataFile, Partition
    from mcai_pipelines.lakehouse.versions import Head
    from mcai_pipelines.providers import TableStorage

PATH = "__mcai_path"
"""Column of the file that a row is in, as the log names it."""


def scan_files(
    files: Collection[DataFile],
    schema: Schema,
    partition_by: tuple[str, ...],
    storage: TableStorage,
    *,
    paths: bool = False,
) -> pl.LazyFrame:
    """Read some files of a table lazily, in its present columns and types.

    A column that a file is older than is null, and a narrower type is widened. Files of
    other writers may lack the partition columns, whose values then come from the log.

    Args:
        files: Live files of the table; none give no rows.
        schema: The columns to read.
        partition_by: The table's partition columns.
        storage: The table's root.
        paths: Add the column `PATH`.
    """
    import polars as pl

    wanted = to_polars(schema)
    ours = [file for file in files if is_batch_file(file.path) or not partition_by]
    frames = [_scan(ours, wanted, storage, paths)] if ours else []
    for values, group in _by_partition(f for f in files if f not in ours).items():
        stored = {n: t for n, t in wanted.items() if n not in partition_by}
        literals = [
            pl.lit(value, dtype=wanted[name]).alias(name)
            for name, value in zip(partition_by, values, strict=True)
            if name in wanted
        ]
        frame = _scan(group, stored, storage, paths).with_columns(literals)
        frames.append(frame.select(*wanted, *([PATH] if paths else [])))
    if not frames:
        return pl.LazyFrame(schema={**wanted, **({PATH: pl.String()} if paths else {})})
    return pl.concat(frames)


def _by_partition(files: Iterable[DataFile]) -> dict[Partition, list[DataFile]]:
    groups: dict[Partition, list[DataFile]] = {}
    for file in files:
        groups.setdefault(file.partition, []).append(file)
    return groups


def _scan(
    files: Collection[DataFile],
    wanted: dict[str, pl.DataType],
    storage: TableStorage,
    paths: bool,
) -> pl.LazyFrame:
    import polars as pl

    frame = pl.scan_parquet(
        [f"{storage.uri}/{file.path}" for file in files],
        schema=wanted,
        glob=False,
        hive_partitioning=False,
        missing_columns="insert",
        extra_columns="ignore",
        # As `pl.scan_iceberg` and `pl.scan_delta` cast, for files of other writers too.
        cast_options=pl.ScanCastOptions(
            integer_cast="upcast",
            float_cast="upcast",
            datetime_cast=["nanosecond-downcast", "millisecond-upcast", "convert-timezone"],
            missing_struct_fields="insert",
            extra_struct_fields="ignore",
            categorical_to_string="allow",
        ),
        storage_options=storage.polars_options,
        include_file_paths=PATH if paths else None,
    )
    if not paths:
        return frame
    return frame.with_columns(pl.col(PATH).str.strip_prefix(f"{storage.uri}/"))


def require_names(head: Head, *, table: str) -> None:
    """Refuse a table whose columns are not told by their names in all of its files.

    Another Iceberg writer may have renamed a column, or dropped one and added another of its
    name; old files then hold it under another name.

    Args:
        head: The table.
        table: What an error names.

    Raises:
        UnsupportedTable: A name or a field id had two meanings.
    """
    iceberg = getattr(head.handle, "table", None)
    names: dict[int, str] = {}
    numbers: dict[str, int] = {}
    for schema in iceberg.schemas().values() if iceberg is not None else ():
        for number, name in index_name_by_id(schema).items():
            if names.setdefault(number, name) != name or numbers.setdefault(name, number) != number:
                raise UnsupportedTable(
                    f"table {table}: the column {name!r} was renamed or replaced, so its files"
                    " cannot be rewritten by name; do it with the tool that renamed it"
                )
