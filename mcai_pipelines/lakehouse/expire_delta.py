"""Shortening a Delta log: a checkpoint stands for the entries before it, which then go.

Format: Delta transaction log protocol, "Checkpoints" and "Metadata Cleanup".
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import unquote

from mcai_pipelines.lakehouse import flight
from mcai_pipelines.lakehouse.errors import UnsupportedTable
from mcai_pipelines.lakehouse.expire_log import References

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.delta import DeltaLog
    from mcai_pipelines.providers import TableStorage

_FOLDER = "_delta_log/"
_HINT = "_delta_log/_last_checkpoint"
# Entries, checkpoints of one or more parts, checksums and compacted entries.
_OBJECT = re.compile(r"_delta_log/(\d{20})\.(json|crc|checkpoint\..*|\d{20}\.compacted\.json)")


class ExpiringDelta:
    """See `ExpiringLog`.

    Args:
        storage: The table's root.
        log: Its log.
    """

    format = "delta"
    gaps = False

    def __init__(self, storage: TableStorage, log: DeltaLog) -> None:
        self._storage = storage
        self._log = log

    def protected(self) -> set[int]:
        """See `ExpiringLog.protected`: Delta has neither branches nor tags."""
        return set()

    def references(self, without: Collection[int] = ()) -> References:
        """See `ExpiringLog.references`.

        The oldest readable version's files, and whatever a later entry adds.
        """
        objects = self._objects()
        if not objects:
            return References()
        begins = max(without) + 1 if without else _oldest_readable(objects, self._storage)
        found = References(data=set(self._log.at(begins).files))
        for path, number in objects.items():
            if number > begins and path.endswith(f"{number:020}.json"):
                found.data.update(self._added(path))
        found.metadata = set(objects) - self._before(objects, begins)
        return found

    def superseded(self, without: Collection[int]) -> set[str]:
        """See `ExpiringLog.superseded`."""
        return self._before(self._objects(), max(without) + 1) if without else set()

    def forget(self, versions: Collection[int]) -> None:
        """See `ExpiringLog.forget`.

        The oldest entries go first, so that those that are there are always a whole end of the
        log, whenever this is killed.
        """
        if not versions:
            return
        begins = max(versions) + 1
        self._checkpoint(begins)
        objects = self._objects()
        gone = self._before(objects, begins)
        flight.delete(self._storage, sorted(gone))

    def _objects(self) -> dict[str, int]:
        """The log's objects by path, with the version that each belongs to."""
        import obstore

        return {
            item["path"]: int(match[1])
            for page in obstore.list(self._storage.store, prefix=_FOLDER)
            for item in page
            if (match := _OBJECT.fullmatch(item["path"]))
        }

    @staticmethod
    def _before(objects: dict[str, int], version: int) -> set[str]:
        return {path for path, number in objects.items() if number < version}

    def _added(self, path: str) -> set[str]:
        import obstore

        body = bytes(obstore.get(self._storage.store, path).bytes())
        actions = (json.loads(line) for line in body.splitlines() if b'"add"' in line)
        return {unquote(action["add"]["path"]) for action in actions if "add" in action}

    def _checkpoint(self, version: int) -> None:
        """Write the checkpoint of a version, without what it says of files removed before.

        Those tombstones are for a plain ``vacuum``, which never deletes by them here (see
        `delta._metadata`); the files are deleted by whoever expires, and until then the table
        would carry each file's name and partition through every later checkpoint.
        """
        import obstore
        import pyarrow as pa
        import pyarrow.compute as pc
        import pyarrow.parquet as pq
        from deltalake import DeltaTable

        path = f"{_FOLDER}{version:020}.checkpoint.parquet"
        if path not in self._objects():
            options = self._storage.delta_options
            DeltaTable(
                self._storage.uri, version=version, storage_options=options
            ).create_checkpoint()
        body = bytes(obstore.get(self._storage.store, path).bytes())
        actions = pq.read_table(pa.BufferReader(body))
        live = actions.filter(pc.is_null(actions["remove"]))
        if live.num_rows < actions.num_rows:
            sink = pa.BufferOutputStream()
            pq.write_table(live, sink)
            body = sink.getvalue().to_pybytes()
            obstore.put(self._storage.store, path, body)
        self._point_at(version, live.num_rows, len(body))

    def _point_at(self, version: int, actions: int, size: int) -> None:
        """Name the checkpoint in ``_last_checkpoint``, unless that names a later one."""
        import obstore

        try:
            hint = json.loads(bytes(obstore.get(self._storage.store, _HINT).bytes()))
        except (FileNotFoundError, ValueError):
            hint = {}
        if hint.get("version", -1) <= version:
            hint = {"version": version, "size": actions, "sizeInBytes": size}
            obstore.put(self._storage.store, _HINT, json.dumps(hint).encode())


def _oldest_readable(objects: dict[str, int], storage: TableStorage) -> int:
    """Version 0, or the oldest checkpoint's: what an interrupted expiry left before it is none."""
    if f"{_FOLDER}{0:020}.json" in objects:
        return 0
    checkpoints = [number for path, number in objects.items() if ".checkpoint." in path]
    if not checkpoints:
        raise UnsupportedTable(
            f"{storage.uri}: the Delta log begins after version 0 and has no checkpoint, so what"
            " it refers to cannot be told; nothing was deleted"
        )
    return min(checkpoints)
