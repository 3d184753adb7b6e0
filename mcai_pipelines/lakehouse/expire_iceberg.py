"""Shortening an Iceberg log: snapshots leave the metadata, then their files go.

Format: Iceberg table specification, "Snapshot Retention Policy" and "Table Metadata Fields".
PyIceberg's ``expire_snapshots`` removes snapshots and no file, and none of what it removes is
checked against the other format.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from pyiceberg.exceptions import CommitFailedException, NoSuchNamespaceError, NoSuchTableError
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.update import AssertRefSnapshotId, RemoveSnapshotsUpdate

from mcai_pipelines.lakehouse.errors import CommitConflict
from mcai_pipelines.lakehouse.expire_log import References, below
from mcai_pipelines.lakehouse.iceberg_commit import Draft

if TYPE_CHECKING:
    from pyiceberg.manifest import ManifestFile
    from pyiceberg.table import Table as IcebergTable

    from mcai_pipelines.providers import TableStorage


class ExpiringIceberg:
    """See `ExpiringLog`.

    Args:
        storage: The table's root and catalog.
    """

    format = "iceberg"
    gaps = True

    def __init__(self, storage: TableStorage) -> None:
        self._storage = storage

    def _load(self) -> IcebergTable | None:
        try:
            return self._storage.catalog().load_table(self._storage.identifier)
        except (NoSuchTableError, NoSuchNamespaceError):
            return None

    def protected(self) -> set[int]:
        """See `ExpiringLog.protected`."""
        table = self._load()
        return {ref.snapshot_id for ref in table.metadata.refs.values()} if table else set()

    def references(self, without: Collection[int] = ()) -> References:
        """See `ExpiringLog.references`."""
        table = self._load()
        found = References()
        if table is None:
            return found
        found.metadata.add(below(table.metadata_location, self._storage))
        manifests: dict[str, ManifestFile] = {}
        kept = [s for s in table.snapshots() if s.snapshot_id not in without]
        for snapshot in kept:
            found.metadata.add(below(snapshot.manifest_list, self._storage))
            manifests.update((m.manifest_path, m) for m in snapshot.manifests(table.io))
        for path, manifest in manifests.items():
            found.metadata.add(below(path, self._storage))
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
                found.data.add(below(entry.data_file.file_path, self._storage))
        ids = {snapshot.snapshot_id for snapshot in kept}
        for statistics in (*table.metadata.statistics, *table.metadata.partition_statistics):
            if statistics.snapshot_id in ids:
                found.metadata.add(below(statistics.statistics_path, self._storage))
        return found

    def superseded(self, without: Collection[int]) -> set[str]:
        """See `ExpiringLog.superseded`: nothing is deleted by forgetting."""
        return set()

    def forget(self, versions: Collection[int]) -> None:
        """See `ExpiringLog.forget`."""
        table = self._load()
        current = table.current_snapshot() if table else None
        if table is None or current is None:
            return
        known = {snapshot.snapshot_id for snapshot in table.snapshots()} - self.protected()
        ids = sorted(known & set(versions))
        if not ids:
            return
        transaction = Draft(table)
        update = RemoveSnapshotsUpdate.model_validate({"snapshot-ids": ids})
        required = {"ref": MAIN_BRANCH, "snapshot-id": current.snapshot_id}
        requirement = AssertRefSnapshotId.model_validate(required)
        transaction._apply((update,), (requirement,))  # no public way takes the requirement
        try:
            transaction.commit_transaction()
        except CommitFailedException as error:
            raise CommitConflict(f"{self._storage.uri}: {error}") from error
