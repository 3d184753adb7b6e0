"""A table's Delta log.

The log is read by delta-rs. Commits are written here, one JSON file put under the next
version's name if that name is free (Delta protocol, "Delta Log Entries"), because
delta-rs offers no commit that removes and adds a chosen set of files in one version, and
because its own retries would append twice (docs/decisions/0002-own-delta-commits.md).
"""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from mcai_pipelines.lakehouse import delta_codec
from mcai_pipelines.lakehouse.errors import CommitConflict, UnsupportedTable, VersionNotFound
from mcai_pipelines.lakehouse.schema import Schema, delta_schema_json, from_delta_json
from mcai_pipelines.lakehouse.versions import RESTORED, Change, Head, Version

if TYPE_CHECKING:
    import polars as pl
    from deltalake import DeltaTable

    from mcai_pipelines.lakehouse.files import DataFile
    from mcai_pipelines.providers import TableStorage

CHECKPOINT_EVERY = 20
"""Versions between checkpoints: readers then replay at most so many JSON files."""

_HINT = "_delta_log/_last_checkpoint"
_SCHEMA = "mcai.schema"
_WRITABLE = {"appendOnly", "invariants", "timestampNtz"}
_OPERATIONS = {
    "expire": ("EXPIRE", {}),
    "append": ("WRITE", {"mode": "Append"}),
    "overwrite": ("WRITE", {"mode": "Overwrite"}),
    "merge": ("MERGE", {}),
    "compact": ("OPTIMIZE", {}),
    "rollback": ("RESTORE", {}),
    "mirror": ("WRITE", {"mode": "Overwrite"}),
    "replicate": ("WRITE", {"mode": "Overwrite"}),
}

logger = logging.getLogger(__name__)


class DeltaLog:
    """The ``_delta_log`` below a table's root.

    Args:
        storage: The table's root.
        adopted: The table is another tool's and only read, so it may use what this writer
            does not: deletion vectors and column mapping.
    """

    format = "delta"

    def __init__(self, storage: TableStorage, *, adopted: bool = False) -> None:
        self._storage = storage
        self._adopted = adopted

    def head(self) -> Head | None:
        """See `Log.head`."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        try:
            table = DeltaTable(self._storage.uri, storage_options=self._storage.delta_options)
        except TableNotFoundError:
            return None
        return self._head(table)

    def at(self, version: int) -> Head:
        """See `Log.at`."""
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        missing = f"{self._storage.uri}: there is no version {version}; see its history"
        newest = self.head()
        if newest is None or newest.version is None or not 0 <= version <= newest.version:
            raise VersionNotFound(missing)  # delta-rs would walk there, one number at a time
        try:
            return self._head(
                DeltaTable(
                    self._storage.uri,
                    version=version,
                    storage_options=self._storage.delta_options,
                )
            )
        except DeltaError as error:
            raise VersionNotFound(missing) from error

    def _head(self, table: DeltaTable) -> Head:
        metadata = table.metadata()
        partition_by = tuple(metadata.partition_columns)
        known = metadata.configuration.get(_SCHEMA)
        schema = from_delta_json(
            table.schema().to_json(), Schema.model_validate_json(known) if known else None
        )

        def list_files() -> dict[str, DataFile]:
            if not self._adopted:
                _require_plain_files(table, self._storage.uri)
            return _list_files(table, partition_by, schema, self._storage)

        return Head(table.version(), schema, partition_by, list_files, table)

    def version(self, id: int) -> Version:
        """See `Log.version`."""
        info = self._commit_info(id)
        return Version(
            id=id,
            sequence=id,
            committed_at=dt.datetime.fromtimestamp(info.get("timestamp", 0) / 1000, dt.UTC),
            operation=str(info.get("operation", "unknown")).lower(),
            properties={**self._foreign_restore(info, id), **_properties(info)},
            parent=id - 1 if id > 0 else None,
        )

    def _foreign_restore(self, info: Mapping[str, Any], id: int) -> dict[str, str]:
        """The version that another writer's RESTORE made visible again, told as we tell it.

        delta-rs records a version, or a time in milliseconds, which it compares with when the
        log's entries were written.
        """
        import obstore

        parameters = info.get("operationParameters") or {}
        if info.get("operation") != "RESTORE" or RESTORED in info:
            return {}
        if parameters.get("version") is not None:
            return {RESTORED: str(parameters["version"])}
        if str(parameters.get("datetime", "")).isdigit():
            moment = dt.datetime.fromtimestamp(int(parameters["datetime"]) / 1000, dt.UTC)
            with suppress(FileNotFoundError):  # expired
                for number in range(id - 1, -1, -1):
                    entry = obstore.head(self._storage.store, _entry(number))
                    if entry["last_modified"] <= moment:
                        return {RESTORED: str(number)}
        return {}

    def versions(self) -> Iterator[Version]:
        """See `Log.versions`."""
        head = self.head()
        if head is None or head.version is None:
            return
        for number in range(head.version, -1, -1):
            try:
                yield self.version(number)
            except VersionNotFound:
                return

    def as_of(self, moment: dt.datetime) -> Version | None:
        """See `Log.as_of`."""
        return next((v for v in self.versions() if v.committed_at <= moment), None)

    def _commit_info(self, id: int) -> dict[str, Any]:
        import obstore

        try:
            data = bytes(obstore.get(self._storage.store, _entry(id)).bytes())
        except FileNotFoundError as error:
            raise VersionNotFound(
                f"{self._storage.uri}: version {id} does not exist or has expired"
            ) from error
        for line in data.splitlines():
            if b'"commitInfo"' in line:
                action = json.loads(line)
                if "commitInfo" in action:
                    return cast("dict[str, Any]", action["commitInfo"])
        return {}

    def commit(self, base: Head | None, change: Change) -> Version:
        """See `Log.commit`."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        from mcai_pipelines.providers.exclusive import create

        version = 0 if base is None else cast("int", base.version) + 1
        if base is not None:
            _require_writable(cast("DeltaTable", base.handle), self._storage.uri)
        elif self._exists(_HINT):
            raise CommitConflict(f"{self._storage.uri}: there is a table by now")
        now_ms = time.time_ns() // 1_000_000
        actions = self._actions(base, change, now_ms)
        body = "\n".join(delta_codec.json_text(action) for action in actions).encode()
        try:
            create(self._storage.store, _entry(version), body)
        except AlreadyExistsError as error:
            raise CommitConflict(f"{self._storage.uri}: version {version} exists") from error
        if base is not None and self._has_expired(cast("int", base.version), version):
            obstore.delete(self._storage.store, _entry(version))
            raise CommitConflict(f"{self._storage.uri}: version {version} existed, and has expired")
        if version % CHECKPOINT_EVERY == CHECKPOINT_EVERY - 1:
            self._checkpoint()
        return self.version(version)

    def _has_expired(self, base: int, version: int) -> bool:
        """Whether an entry took a number that was free only because its first owner expired.

        Expiry deletes the oldest entries first, so the base's is gone then too; and never the
        newest.
        """
        if self._exists(_entry(base)):
            return False
        newest = self.head()
        return newest is None or newest.version != version

    def _exists(self, path: str) -> bool:
        import obstore

        try:
            obstore.head(self._storage.store, path)
        except FileNotFoundError:
            return False
        return True

    def _actions(self, base: Head | None, change: Change, now_ms: int) -> list[dict[str, Any]]:
        operation, parameters = _OPERATIONS[change.operation]
        info = {
            "timestamp": now_ms,
            "operation": operation,
            "operationParameters": parameters,
            "engineInfo": "mcai_pipelines",
            "isBlindAppend": change.operation == "append",
            **change.properties,
        }
        actions: list[dict[str, Any]] = [{"commitInfo": info}]
        protocol = _protocol(base, change.schema)
        if protocol:
            actions.append({"protocol": protocol})
        if base is None or (change.evolution is not None and change.evolution.changes):
            actions.append({"metaData": _metadata(base, change, now_ms)})
        names = change.partition_by
        actions.extend(delta_codec.remove_action(f, names, now_ms) for f in change.removed)
        actions.extend(delta_codec.add_action(f, names, now_ms) for f in change.added)
        if change.operation == "compact":
            for action in actions:
                for kind in action.keys() & {"add", "remove"}:
                    action[kind]["dataChange"] = False
        return actions

    def _checkpoint(self) -> None:
        from deltalake import DeltaTable
        from deltalake.exceptions import DeltaError

        try:
            DeltaTable(
                self._storage.uri, storage_options=self._storage.delta_options
            ).create_checkpoint()
        except (DeltaError, OSError) as error:  # the commit stands; the next checkpoint serves
            logger.warning("%s: no checkpoint was written: %s", self._storage.uri, error)

    def not_by_name(self, head: Head) -> set[str]:
        """See `Log.not_by_name`: none, because Delta finds them so itself."""
        return set()

    def scan(self, head: Head) -> pl.LazyFrame:
        """See `Log.scan`."""
        import polars as pl

        return pl.scan_delta(
            cast("DeltaTable", head.handle), storage_options=self._storage.polars_options
        )


def _entry(version: int) -> str:
    return f"_delta_log/{version:020}.json"


def _properties(info: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(value) for name, value in info.items() if name.startswith("mcai.")}


def _list_files(
    table: DeltaTable, partition_by: tuple[str, ...], schema: Schema, storage: TableStorage
) -> dict[str, DataFile]:
    import pyarrow as pa

    rows = pa.table(table.get_add_actions()).to_pylist()
    files = (delta_codec.from_add_row(row, partition_by, schema, storage) for row in rows)
    return {file.path: file for file in files}


def _protocol(base: Head | None, schema: Schema) -> dict[str, Any] | None:
    """The ``protocol`` action a commit needs; None where the table's own suffices."""
    zoneless = '"timestamp_ntz"' in delta_schema_json(schema)
    if base is None and not zoneless:
        return {"minReaderVersion": 1, "minWriterVersion": 2}
    if not zoneless or (base is not None and _has_zoneless(cast("DeltaTable", base.handle))):
        return None
    return {
        "minReaderVersion": 3,
        "minWriterVersion": 7,
        "readerFeatures": ["timestampNtz"],
        "writerFeatures": ["timestampNtz", "appendOnly", "invariants"],
    }


def _has_zoneless(table: DeltaTable) -> bool:
    return "timestampNtz" in (table.protocol().writer_features or ())


def _metadata(base: Head | None, change: Change, now_ms: int) -> dict[str, Any]:
    """The ``metaData`` action: the whole of it, as every change of it replaces it.

    Files that this table no longer shows may still belong to a retained Iceberg version,
    so the retention that a plain ``vacuum`` respects is set beyond any use.
    """
    configuration = {
        "delta.deletedFileRetentionDuration": "interval 36500 days",
        "delta.logRetentionDuration": "interval 36500 days",
    }
    table_id, created = str(uuid.uuid4()), now_ms
    if base is not None:
        metadata = cast("DeltaTable", base.handle).metadata()
        configuration = dict(metadata.configuration)
        table_id, created = str(metadata.id), metadata.created_time or now_ms
    configuration[_SCHEMA] = change.schema.model_dump_json()
    return {
        "id": table_id,
        "format": {"provider": "parquet", "options": {}},
        "schemaString": delta_schema_json(change.schema),
        "partitionColumns": list(change.partition_by),
        "configuration": configuration,
        "createdTime": created,
    }


def _require_plain_files(table: DeltaTable, uri: str) -> None:
    """Refuse to take the listed files for the table's rows where they are not."""
    protocol = table.protocol()
    mapping = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if "deletionVectors" in (protocol.reader_features or ()) or mapping != "none":
        feature = "column mapping" if mapping != "none" else "deletion vectors"
        raise UnsupportedTable(
            f"{uri}: the Delta table uses {feature}, so its files alone do not tell its rows;"
            " write the rows into a table without it, or adopt this one read-only"
        )


def _require_writable(table: DeltaTable, uri: str) -> None:
    """Refuse to write to a table with a feature whose rules this writer does not keep."""
    protocol = table.protocol()
    configuration = table.metadata().configuration
    features = set(protocol.writer_features or ()) | set(protocol.reader_features or ())
    foreign = sorted(features - _WRITABLE)
    if not features and protocol.min_writer_version > 2:
        foreign = [f"writer version {protocol.min_writer_version}"]
    if configuration.get("delta.appendOnly") == "true":
        foreign.append("append-only")
    if "delta.invariants" in table.schema().to_json():
        foreign.append("invariants")
    if foreign:
        raise UnsupportedTable(
            f"{uri}: the table uses {', '.join(foreign)}, which this writer would break;"
            " write it with the tool that set it, or adopt it read-only"
        )
