"""Staging: write a frame where no reader looks, exactly in the table's schema.

Files go to ``_data/`` below the table's root, in one Hive-style folder per partition, with
the batch's id in their names. No log refers to them until the commit, so no reader sees
them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse import flight, partitions
from mcai_pipelines.lakehouse.files import DataFile, Partition, from_footer, read_footer
from mcai_pipelines.lakehouse.schema import Schema, to_arrow

if TYPE_CHECKING:
    import polars as pl
    from polars.io.partition import FileProviderArgs, SinkedPath

    from mcai_pipelines.providers import TableStorage

COMPRESSION_LEVEL = 1
"""Of zstd: a tenth less CPU than Polars' default (3) for 4 % more bytes, on the promotions."""

BYTES_PER_FILE = 2 << 30
"""In-memory bytes after which a new file begins: about 512 MiB of Parquet."""


@dataclass
class StagedBatch:
    """Files written and not visible yet.

    Attributes:
        id: Unique; in every file's name.
        files: What was written, with statistics.
    """

    id: str
    files: list[DataFile] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """Number of rows staged."""
        return sum(file.rows for file in self.files)


def stage(
    frame: pl.LazyFrame,
    schema: Schema,
    partition_by: tuple[str, ...],
    storage: TableStorage,
    batch: str,
    *,
    where: str,
    first: int = 0,
    rows_per_file: int | None = None,
    metadata: dict[str, str] | None = None,
) -> StagedBatch:
    """Write a fitted frame as Parquet files of the table, streaming.

    Args:
        frame: Columns and types exactly the schema's (`fit`).
        schema: Field ids go into the files.
        partition_by: One set of files per distinct value; unsorted input is fine.
        storage: The table's root.
        batch: The id of the staged batch.
        where: What an error names: the table or the contract's file.
        first: Number of the first file of a partition: other calls of the batch took those
            before it.
        rows_per_file: Rows after which a new file begins; a size in memory unless given.
        metadata: Written into each file.

    Raises:
        SchemaMismatch: A partition column has no value in some rows.
    """
    import polars as pl

    written: dict[str, tuple[str, Partition]] = {}
    sinked: list[SinkedPath] = []

    def name_file(args: FileProviderArgs) -> str:
        keys: Partition = ()
        if partition_by:
            keys = tuple(args.partition_keys.select(partition_by).row(0))
        folders = [
            partitions.folder(name, value) for name, value in zip(partition_by, keys, strict=True)
        ]
        number = first + args.index_in_partition
        path = "/".join([flight.DATA, *folders, f"{batch}-{number:05}.parquet"])
        written[f"{storage.uri}/{path}"] = (path, keys)
        return path

    target = pl.PartitionBy(
        storage.uri,
        file_path_provider=name_file,
        key=[pl.col(name) for name in partition_by] or None,
        include_key=True if partition_by else None,
        max_rows_per_file=rows_per_file,
        approximate_bytes_per_file=BYTES_PER_FILE if rows_per_file is None else None,
    )
    frame.sink_parquet(
        target,
        arrow_schema=to_arrow(schema),
        compression_level=COMPRESSION_LEVEL,
        metadata=metadata,
        storage_options=storage.polars_options,
        mkdir=True,
        engine="streaming",
        sinked_paths_callback=lambda args: sinked.extend(args.paths),
    )
    files = []
    for one in sinked:
        path, keys = written[one.path]
        if not one.num_rows:
            flight.delete(storage, [path])
            continue
        partitions.check_values(partition_by, keys, one.num_rows, where=where)
        footer = read_footer(path, one.num_bytes, storage)
        files.append(from_footer(path, one.num_bytes, keys, footer, schema))
    return StagedBatch(batch, files)
