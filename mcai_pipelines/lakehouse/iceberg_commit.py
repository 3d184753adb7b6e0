"""What an Iceberg commit is put together from, where PyIceberg's own way does not serve."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.table import CreateTableTransaction, StagedTable, Transaction
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.transforms import IdentityTransform

from mcai_pipelines.lakehouse.errors import CommitConflict
from mcai_pipelines.lakehouse.failures import StorageFailed

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog
    from pyiceberg.manifest import DataFile as IcebergDataFile
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.schema import Schema
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.update import TableUpdate
    from pyiceberg.table.update.snapshot import _SnapshotProducer

    from mcai_pipelines.lakehouse.evolve import Evolution
    from mcai_pipelines.lakehouse.versions import Change
    from mcai_pipelines.providers import TableStorage

_FIRST_PARTITION_ID = 1000
_METADATA = re.compile(r"_iceberg/(\d+)-[^/]*\.metadata\.json$")


def new_table(storage: TableStorage, change: Change) -> CreateTableTransaction:
    """A transaction that creates the table, as it is when the change is made.

    Args:
        storage: Its root and catalog.
        change: The first commit.

    Raises:
        StorageFailed: The table exists, and its catalog was lost.
    """
    if change.operation != "mirror":  # which is made anew from its primary
        _refuse_if_forgotten(storage)
    catalog = storage.catalog()
    _make_namespace(catalog, storage.identifier[:-1])
    spec = PartitionSpec(
        *(
            PartitionField(
                source_id=change.schema.find_field(name).field_id,
                field_id=_FIRST_PARTITION_ID + position,
                transform=IdentityTransform(),
                name=name,
            )
            for position, name in enumerate(change.partition_by)
        )
    )
    transaction = catalog.create_table_transaction(
        storage.identifier,
        schema=change.schema,
        location=storage.uri,
        partition_spec=spec,
        properties={
            "format-version": "2",
            "write.metadata.path": f"{storage.uri}/_iceberg",
            "commit.retry.num-retries": "0",
            # For files without field ids, which another writer adds to a Delta primary.
            "schema.name-mapping.default": change.schema.name_mapping.model_dump_json(),
        },
    )
    return _with_field_ids_of(change.schema, spec, transaction)


def _refuse_if_forgotten(storage: TableStorage) -> None:
    """Refuse to begin a table anew where there is one that its catalog does not know.

    A writer killed before it could enter a new table in the catalog leaves metadata number 0.
    """
    import obstore

    found = [
        match
        for page in obstore.list(storage.store, prefix="_iceberg/")
        for item in page
        if (match := _METADATA.search(item["path"])) and int(match[1]) > 0
    ]
    if not found:
        return
    name = ".".join(storage.identifier)
    if storage.catalog().table_exists(storage.identifier):
        raise CommitConflict(f"{storage.uri}: the catalog has {name} by now")
    newest = max(found, key=lambda match: int(match[1]))[0]
    raise StorageFailed(
        f"{storage.uri} holds an Iceberg table that the catalog does not know as {name}: restore"
        f" the catalog, or register the table there with {newest}; to begin anew, move the folder"
        " away"
    )


def _make_namespace(catalog: Catalog, namespace: tuple[str, ...]) -> None:
    """Create the namespace unless it is there; the SQL catalog's own way loses races."""
    try:
        catalog.create_namespace_if_not_exists(namespace)
    except Exception:
        if not catalog.namespace_exists(namespace):
            raise


def _with_field_ids_of(
    schema: Schema, spec: PartitionSpec, transaction: CreateTableTransaction
) -> CreateTableTransaction:
    """The same new table, with the field ids that its files have.

    PyIceberg numbers the columns of a new table afresh, and those of a Delta table that has
    grown columns since, or that another writer added, are numbered otherwise.
    """
    draft = transaction._table  # no public way leads to it
    metadata = draft.metadata.model_copy(
        update={
            "schemas": [schema],
            "current_schema_id": schema.schema_id,
            "last_column_id": schema.highest_field_id,
            "partition_specs": [spec],
            "default_spec_id": spec.spec_id,
        }
    )
    return CreateTableTransaction(
        StagedTable(draft.name(), metadata, draft.metadata_location, draft.io, draft.catalog)
    )


def evolve(transaction: Transaction, evolution: Evolution) -> None:
    """Change the table's schema in a transaction that is being put together."""
    with transaction.update_schema() as update:
        for field in evolution.added:
            # A path, because a string with a dot would name a field of a struct.
            update.add_column((field.name,), field.field_type, doc=field.doc, required=False)
        for field in evolution.widened:
            update.update_column((field.name,), field_type=field.field_type)
        for field in evolution.relaxed:
            update.make_column_optional((field.name,))
        for field in evolution.documented:
            update.update_column((field.name,), doc=field.doc or "")


class Draft(Transaction):
    """A transaction on a table that is there; knows its metadata without a copy at every look.

    PyIceberg's applies the updates, and copies every snapshot of the table, some twenty times
    in one commit.
    """

    _seen: tuple[tuple[TableUpdate, ...], TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The table's metadata as it is when the updates so far are made."""
        if self._seen is None or self._seen[0] is not self._updates:
            self._seen = self._updates, super().table_metadata
        return self._seen[1]


def is_live(manifest: ManifestFile) -> bool:
    """Whether a manifest lists files that are visible, and not only ones that were removed."""
    return manifest.has_added_files() or manifest.has_existing_files()


def keep_files(update: _SnapshotProducer[Any]) -> Callable[[], None]:
    """Keep the manifests of an update whose commit is refused, until that is known to be so.

    PyIceberg deletes them at once. But a catalog's client that tries again after a lost answer is
    refused because of its own first try, which landed: its version would refer to files that are
    gone.

    Returns:
        Deletes them.
    """
    delete = update._clean_all_uncommitted
    update._clean_all_uncommitted = lambda: None  # type: ignore[method-assign]
    return delete


def remove_files(
    update: _SnapshotProducer[Any], entries: Sequence[tuple[IcebergDataFile, str]]
) -> None:
    """Remove files from the table in an update that is being put together.

    It is told which manifests list them. PyIceberg 0.12 would look for these in threads that
    share one evaluator of partitions and its state: under load it misses some, and the
    overwrite fails. It would also keep every overwrite's list of what that removed, which
    every later commit and reader then opens.

    Args:
        update: PyIceberg's overwrite.
        entries: Each file's entry, and the path of the manifest that lists it.
    """
    for file, _ in entries:
        update.delete_data_file(file)
    listing = {manifest for _, manifest in entries}

    def lists_some(_spec_id: int) -> Callable[[ManifestFile], bool]:
        return lambda manifest: manifest.manifest_path in listing

    existing = update._existing_manifests
    update._build_manifest_evaluator = lists_some  # type: ignore[assignment,method-assign]
    update._existing_manifests = lambda: [m for m in existing() if is_live(m)]  # type: ignore[method-assign]


def call_replace(update: _SnapshotProducer[Any]) -> None:
    """Have the snapshot called ``replace``: its files changed, and no row of the table.

    PyIceberg 0.12 reads such snapshots and makes none.
    """
    summary = update._summary

    def replacing(*args: Any, **kwargs: Any) -> Summary:
        made = summary(*args, **kwargs)
        return Summary(Operation.REPLACE, **made.additional_properties)

    update._summary = replacing  # type: ignore[method-assign]
