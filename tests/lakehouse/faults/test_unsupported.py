"""Tables with features that this writer would break: refused, with nothing changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, TableFeatures
from pyiceberg.manifest import (
    DataFile,
    DataFileContent,
    FileFormat,
    ManifestContent,
    ManifestWriterV2,
)
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.typedef import Record

from mcai_pipelines.lakehouse.errors import MirrorLagging, UnsupportedTable
from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse.faults.readers import markers, ours, plain_catalog, rows

OURS = pl.DataFrame({"x": [1, 2, 3]})
MORE = pl.DataFrame({"x": [4]})

MakeTable = Callable[..., Table]


def refused(table: Table, reason: str) -> None:
    """Every kind of write is refused, and leaves nothing behind."""
    before, versions = ours(table), table.history()
    with pytest.raises(UnsupportedTable, match=reason):
        table.write(MORE)
    with pytest.raises(UnsupportedTable, match=reason):
        table.write(MORE, "overwrite")
    with pytest.raises(UnsupportedTable, match=reason):
        table.rollback(versions[-1].id)
    assert (ours(table), table.history()) == (before, versions)
    root = Path(table.storage.uri)
    staged = {str(path.relative_to(root)) for path in root.glob("_data/2*.parquet")}
    assert staged == set(table.primary.at(versions[-1].id).files)
    assert markers(table) == []


def enable_deletion_vectors(table: Table) -> None:
    DeltaTable(table.storage.uri).alter.add_feature(
        TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )


def test_a_delta_primary_with_deletion_vectors(make_table: MakeTable) -> None:
    table = make_table("delta", "iceberg")
    table.write(OURS)
    enable_deletion_vectors(table)

    with pytest.raises(UnsupportedTable, match="deletionVectors"):
        table.write(MORE)
    with pytest.raises(UnsupportedTable, match="deletion vectors"):
        table.write(MORE, "overwrite")
    with pytest.raises(UnsupportedTable, match="deletion vectors"):
        table.rollback(table.history()[-1].id)
    with pytest.raises(MirrorLagging, match="deletion vectors"):
        table.scan(format="iceberg")
    assert ours(table) == rows(OURS)


def test_a_delta_mirror_with_deletion_vectors(make_table: MakeTable) -> None:
    """A row deleted there by a vector would stay deleted: the file's name does not change."""
    table = make_table("iceberg", "delta")
    table.write(OURS)
    enable_deletion_vectors(table)

    with pytest.raises(MirrorLagging, match=r"deletion vectors.*visible in the primary"):
        table.write(MORE)
    assert ours(table) == rows(pl.concat([OURS, MORE]))
    with pytest.raises(MirrorLagging, match="deletion vectors"):
        table.scan(format="delta")


def test_a_delta_table_with_column_mapping(make_table: MakeTable) -> None:
    table = make_table("delta", "iceberg")
    DeltaTable.create(
        table.storage.uri,
        schema=pa.schema([("x", pa.int64())]),
        configuration={"delta.columnMapping.mode": "name"},
    )

    with pytest.raises(UnsupportedTable, match="writer version 5"):
        table.write(MORE)
    with pytest.raises(MirrorLagging, match="column mapping"):
        table.scan(format="iceberg")
    assert markers(table) == []


def test_an_append_only_delta_table(make_table: MakeTable) -> None:
    table = make_table("delta")
    DeltaTable.create(
        table.storage.uri,
        schema=pa.schema([("x", pa.int64())]),
        configuration={"delta.appendOnly": "true"},
    )

    with pytest.raises(UnsupportedTable, match="append-only"):
        table.write(MORE)


class DeletesWriter(ManifestWriterV2):
    """PyIceberg writes no delete manifests itself."""

    def content(self) -> ManifestContent:
        return ManifestContent.DELETES


def delete_first_row(table: Table) -> None:
    """Commit a position delete file of Iceberg version 2 (specification, "Delete Formats")."""
    [file] = table.head().files.values()
    path = f"{table.storage.uri}/_data/deletes.parquet"
    fields = [("file_path", pa.string(), "2147483546"), ("pos", pa.int64(), "2147483545")]
    schema = pa.schema(
        [pa.field(name, kind, False, {"PARQUET:field_id": id}) for name, kind, id in fields]
    )
    pq.write_table(pa.table([[f"{table.storage.uri}/{file.path}"], [0]], schema=schema), path)
    theirs = plain_catalog(table).load_table(table.storage.identifier)
    transaction = theirs.transaction()
    append = transaction.update_snapshot().fast_append()

    def new_manifest_writer(spec: PartitionSpec) -> DeletesWriter:
        output = append.new_manifest_output()
        return DeletesWriter(spec, theirs.schema(), output, append.snapshot_id, "deflate")

    append.new_manifest_writer = new_manifest_writer  # type: ignore[method-assign]
    with append:
        append.append_data_file(
            DataFile.from_args(
                content=DataFileContent.POSITION_DELETES,
                file_path=path,
                file_format=FileFormat.PARQUET,
                partition=Record(),
                record_count=1,
                file_size_in_bytes=os.path.getsize(path),
                spec_id=0,
            )
        )
    transaction.commit_transaction()


def test_an_iceberg_primary_with_delete_files(make_table: MakeTable) -> None:
    table = make_table("iceberg", "delta")
    table.write(OURS)
    delete_first_row(table)
    assert ours(table) == [(2,), (3,)]

    refused(table, "delete files")
    with pytest.raises(MirrorLagging, match="delete files"):
        table.scan(format="delta")


def test_an_iceberg_mirror_with_delete_files(make_table: MakeTable) -> None:
    table = make_table("delta", "iceberg")
    table.write(OURS)
    assert table.mirror_log is not None
    delete_first_row(table)

    with pytest.raises(MirrorLagging, match=r"delete files.*visible in the primary"):
        table.write(MORE)
    assert ours(table) == rows(pl.concat([OURS, MORE]))


def test_an_iceberg_table_whose_commits_the_library_would_retry(make_table: MakeTable) -> None:
    table = make_table("iceberg")
    table.write(OURS)
    theirs = plain_catalog(table).load_table(table.storage.identifier)
    with theirs.transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "4"})

    refused(table, r"commit\.retry\.num-retries")
