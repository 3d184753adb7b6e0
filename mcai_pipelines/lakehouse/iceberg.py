"""A table's Iceberg log: snapshots in metadata files, the newest named by a catalog.

PyIceberg reads and writes the metadata; the retry loop is not its own but `Table`'s, which
looks for the commit before every attempt.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pyiceberg.exceptions import (
    CommitFailedException,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.manifest import FileFormat
from pyiceberg.schema import index_name_by_id
from pyiceberg.transforms import IdentityTransform

from mcai_pipelines.lakehouse import iceberg_codec, iceberg_commit, iceberg_names
from mcai_pipelines.lakehouse.errors import CommitConflict, UnsupportedTable, VersionNotFound
from mcai_pipelines.lakehouse.versions import Change, Head, Version

if TYPE_CHECKING:
    import polars as pl
    from pyiceberg.manifest import DataFile as IcebergDataFile
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table import Transaction
    from pyiceberg.table.snapshots import Snapshot

    from mcai_pipelines.lakehouse.files import DataFile
    from mcai_pipelines.providers import TableStorage


@dataclass
class _Handle:
    """PyIceberg's table.

    And by live file, once they were listed: its entry, its manifest, and the snapshot that
    added it.
    """

    table: IcebergTable
    entries: dict[str, tuple[IcebergDataFile, str, int | None]]


class IcebergLog:
    """The Iceberg metadata of a table, kept below ``_iceberg/`` in its root.

    Args:
        storage: The table's root and catalog.
        adopted: The table is another tool's and only read, so it may use what this writer
            does not: partition transforms and delete files.
    """

    format = "iceberg"

    def __init__(self, storage: TableStorage, *, adopted: bool = False) -> None:
        self._storage = storage
        self._adopted = adopted
        self._latest: IcebergTable | None = None

    def head(self) -> Head | None:
        """See `Log.head`."""
        table = self._load()
        if table is None:
            return None
        snapshot = table.current_snapshot()
        return self._head(table, snapshot)

    def at(self, version: int) -> Head:
        """See `Log.at`."""
        table = self._load()
        snapshot = table.snapshot_by_id(version) if table else None
        if table is None or snapshot is None:
            raise VersionNotFound(
                f"{self._storage.uri}: there is no version {version}; see its history"
            )
        return self._head(table, snapshot)

    def _load(self) -> IcebergTable | None:
        try:
            self._latest = self._storage.catalog().load_table(self._storage.identifier)
        except (NoSuchTableError, NoSuchNamespaceError):
            self._latest = None
        return self._latest

    def _head(self, table: IcebergTable, snapshot: Snapshot | None) -> Head:
        schema = table.schema()
        if snapshot != table.current_snapshot() and snapshot and snapshot.schema_id is not None:
            schema = table.schemas()[snapshot.schema_id]
        partition_by = () if self._adopted else _partition_by(table, self._storage.uri)
        handle = _Handle(table, {})

        def list_files() -> dict[str, DataFile]:
            return self._list_files(handle, snapshot, schema, partition_by)

        version = snapshot.snapshot_id if snapshot else None
        return Head(version, schema, partition_by, list_files, handle)

    def _list_files(
        self,
        handle: _Handle,
        snapshot: Snapshot | None,
        schema: Schema,
        partition_by: tuple[str, ...],
    ) -> dict[str, DataFile]:
        files: dict[str, DataFile] = {}
        for manifest in snapshot.manifests(handle.table.io) if snapshot else ():
            if manifest.content != 0:
                if self._adopted:
                    continue
                raise UnsupportedTable(_has_delete_files(self._storage.uri))
            if not iceberg_commit.is_live(manifest):
                continue
            for entry in manifest.fetch_manifest_entry(handle.table.io, discard_deleted=True):
                if not self._adopted:
                    _require_plain_file(entry.data_file, self._storage.uri)
                file = iceberg_codec.from_iceberg(
                    entry.data_file, self._storage.uri, schema, partition_by
                )
                files[file.path] = file
                handle.entries[file.path] = (
                    entry.data_file,
                    manifest.manifest_path,
                    entry.snapshot_id,
                )
        return files

    def version(self, id: int) -> Version:
        """See `Log.version`; a snapshot never changes, so one that was loaded before serves."""
        snapshot = self._latest.snapshot_by_id(id) if self._latest else None
        if snapshot is None:
            table = self._load()
            snapshot = table.snapshot_by_id(id) if table else None
        if snapshot is None:
            raise VersionNotFound(
                f"{self._storage.uri}: version {id} does not exist or has expired"
            )
        return _version(snapshot)

    def versions(self) -> Iterator[Version]:
        """See `Log.versions`."""
        table = self._load()
        snapshots = table.snapshots() if table else []
        yield from map(_version, sorted(snapshots, key=_newest_first))

    def as_of(self, moment: dt.datetime) -> Version | None:
        """See `Log.as_of`; from the history of what was current, which others may roll back."""
        table = self._load()
        milliseconds = int(moment.timestamp() * 1000)
        snapshot = table.snapshot_as_of_timestamp(milliseconds) if table else None
        return _version(snapshot) if snapshot else None

    def commit(self, base: Head | None, change: Change) -> Version:
        """See `Log.commit`."""
        try:
            return self._commit(base, change)
        except FileNotFoundError as error:
            newest = self.head()
            if base is None or newest is None or newest.version == base.version:
                raise
            raise CommitConflict(f"{self._storage.uri}: version {base.version} expired") from error

    def _commit(self, base: Head | None, change: Change) -> Version:
        if base is None:
            transaction: Transaction = iceberg_commit.new_table(self._storage, change)
        else:
            transaction = self._transaction(base)
        if base is not None and change.evolution is not None and change.evolution.changes:
            iceberg_commit.evolve(transaction, change.evolution)
        schema = transaction.table_metadata.schema()
        if index_name_by_id(schema) != index_name_by_id(change.schema):
            raise UnsupportedTable(
                f"{self._storage.uri}: field ids of the Iceberg table and of its files differ;"
                " write the table anew to publish it as Iceberg"
            )
        producer = transaction.update_snapshot(snapshot_properties=dict(change.properties))
        update = producer.overwrite() if change.removed else producer.fast_append()
        if change.operation == "compact":
            iceberg_commit.call_replace(update)
        spec_id = transaction.table_metadata.default_spec_id
        with update:
            if base is not None:
                iceberg_commit.remove_files(
                    update,
                    [cast("_Handle", base.handle).entries[f.path][:2] for f in change.removed],
                )
            for file in change.added:
                update.append_data_file(
                    iceberg_codec.to_iceberg(file, self._storage.uri, schema, spec_id)
                )
        delete_files = iceberg_commit.keep_files(update)
        try:
            table = transaction.commit_transaction()
        except TableAlreadyExistsError as error:
            raise CommitConflict(f"{self._storage.uri}: {error}") from error
        except CommitFailedException as error:
            newest = self._load()
            landed = newest.snapshot_by_id(update.snapshot_id) if newest else None
            if landed is not None:  # the answer was lost, and the client's second try refused
                return _version(landed)
            delete_files()
            raise CommitConflict(f"{self._storage.uri}: {error}") from error
        return _version(cast("Snapshot", table.snapshot_by_id(update.snapshot_id)))

    def _transaction(self, base: Head) -> Transaction:
        table = cast("_Handle", base.handle).table
        current = table.current_snapshot()
        if (current.snapshot_id if current else None) != base.version:
            raise CommitConflict(f"{self._storage.uri}: there are versions after {base.version}")
        if table.metadata.properties.get("commit.retry.num-retries") != "0":
            raise UnsupportedTable(
                f"{self._storage.uri}: the Iceberg table property commit.retry.num-retries must"
                " be 0, because a retry inside the library can append twice; set it again"
            )
        if current is not None and any(m.content != 0 for m in current.manifests(table.io)):
            raise UnsupportedTable(_has_delete_files(self._storage.uri))
        return iceberg_commit.Draft(table)

    def not_by_name(self, head: Head) -> set[str]:
        """See `Log.not_by_name`."""
        handle = cast("_Handle", head.handle)
        differing = iceberg_names.differing(handle.table, head.schema)
        if not differing:
            return set()
        added_by = {path: handle.entries[path][2] for path in head.files}
        return iceberg_names.written_under(handle.table, differing, added_by)

    def maps_other_names(self, head: Head) -> bool:
        """Whether the table finds columns of files without field ids by former names too."""
        mapping = cast("_Handle", head.handle).table.name_mapping()
        return mapping is not None and iceberg_names.maps_other_names(mapping.root)

    def scan(self, head: Head) -> pl.LazyFrame:
        """See `Log.scan`."""
        import polars as pl

        return pl.scan_iceberg(
            cast("_Handle", head.handle).table,
            snapshot_id=head.version,
            storage_options=self._storage.polars_options,
        )

    @property
    def metadata_location(self) -> str | None:
        """Where the newest metadata file is: what a reader without a catalog opens."""
        table = self._load()
        return table.metadata_location if table else None

    @property
    def location(self) -> str | None:
        """The table's root as its metadata says; None where there is no table."""
        table = self._load()
        return table.location().removeprefix("file://") if table else None


class StaticIcebergLog(IcebergLog):
    """An adopted table without a catalog: the root is a metadata file, or has a version hint."""

    def __init__(self, storage: TableStorage) -> None:
        super().__init__(storage, adopted=True)

    def _load(self) -> IcebergTable | None:
        from pyiceberg.table import StaticTable

        try:
            return StaticTable.from_metadata(
                self._storage.uri, properties=dict(self._storage.file_io)
            )
        except FileNotFoundError:
            return None


def _partition_by(table: IcebergTable, uri: str) -> tuple[str, ...]:
    names = []
    for field in table.spec().fields:
        if not isinstance(field.transform, IdentityTransform):
            raise UnsupportedTable(
                f"{uri}: partition field {field.name!r} uses the transform {field.transform};"
                " this writer partitions by a column's own value"
            )
        names.append(table.schema().find_column_name(field.source_id) or field.name)
    return tuple(names)


def _has_delete_files(uri: str) -> str:
    return (
        f"{uri}: the table has delete files, which this writer would leave behind; compact it"
        " with the tool that wrote them first"
    )


def _require_plain_file(file: IcebergDataFile, uri: str) -> None:
    if file.file_format != FileFormat.PARQUET or not file.file_path.startswith(f"{uri}/"):
        raise UnsupportedTable(
            f"{uri}: {file.file_path} is not a Parquet file below the table's root; compact the"
            " table with the tool that wrote it first"
        )


def _newest_first(snapshot: Snapshot) -> tuple[int, int]:
    return -(snapshot.sequence_number or 0), -snapshot.timestamp_ms


def _version(snapshot: Snapshot) -> Version:
    summary = snapshot.summary
    return Version(
        id=snapshot.snapshot_id,
        sequence=snapshot.sequence_number or 0,
        committed_at=dt.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, dt.UTC),
        operation=summary.operation.value if summary else "unknown",
        properties={
            name: value
            for name, value in (summary.additional_properties if summary else {}).items()
            if name.startswith("mcai.")
        },
        parent=snapshot.parent_snapshot_id,
    )
