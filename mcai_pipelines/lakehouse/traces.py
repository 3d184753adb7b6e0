"""Where a table holds a subject: rows in its files, and what its logs say of them.

A log repeats values of the files that it lists: partitions, bounds and folder names. For a
file that is live now these are as true as its rows; what counts here is what a log says of
files that it lists no more, but for time travel.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from pyiceberg.schema import Schema

from mcai_pipelines.lakehouse.expire_files import Found, listed
from mcai_pipelines.lakehouse.iceberg_codec import from_bound, from_partition
from mcai_pipelines.lakehouse.keys import candidates
from mcai_pipelines.lakehouse.scan_files import PATH, scan_files

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.files import DataFile
    from mcai_pipelines.lakehouse.subject import Key
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.lakehouse.versions import Head
    from mcai_pipelines.providers import TableStorage


@dataclass(frozen=True)
class Traces:
    """What of a table holds a subject.

    Attributes:
        live: Live files to the number of the subject's rows in each.
        old: Files that are not live, to the number of rows.
        logs: Log objects that repeat the subject's key of a file that is not live.
    """

    live: Mapping[str, int] = field(default_factory=dict)
    old: Mapping[str, int] = field(default_factory=dict)
    logs: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.live or self.old or self.logs)

    @property
    def rows(self) -> int:
        """The subject's live rows."""
        return sum(self.live.values())


def find(table: Table, key: Key) -> Traces:
    """Look for a subject in all that a table's root holds.

    Args:
        table: The table.
        key: The subject's key in it.
    """
    head = table.head()
    found = listed(table.storage)
    live = in_live_files(table, head, key)
    old = _in_old_files(table, head, found, key)
    logs = [file.path for file in found if _says(table.storage, file, head, key)]
    return Traces(live, old, [*logs, *_receipts(table.storage, head, key)])


def in_live_files(table: Table, head: Head, key: Key) -> dict[str, int]:
    """Live files that hold the subject, to the number of its rows."""
    import polars as pl

    kind = pl.Series([key.value]).to_frame(key.column)
    kind = kind.cast({key.column: _dtype(key)})
    files = candidates(head.files.values(), kind, [key.column], head.partition_by)
    return count_rows(files, key, head.partition_by, table.storage)


def _dtype(key: Key) -> Any:
    from mcai_pipelines.lakehouse.schema import to_polars

    return to_polars(Schema(key.of))[key.column]


def count_rows(
    files: Sequence[DataFile], key: Key, partition_by: tuple[str, ...], storage: TableStorage
) -> dict[str, int]:
    """Files that hold the subject, to the number of its rows, by reading its column."""
    import polars as pl

    rows = scan_files(files, Schema(key.of), partition_by, storage, paths=True)
    counted = rows.filter(key.expression()).group_by(PATH).agg(pl.len()).collect(engine="streaming")
    return dict(counted.iter_rows())


def _in_old_files(table: Table, head: Head, found: Sequence[Found], key: Key) -> dict[str, int]:
    """Files that are not live and hold the subject; nothing is known of them but their bytes."""
    import polars as pl

    from mcai_pipelines.lakehouse.files import DataFile

    old = [f for f in found if f.kind == "data" and f.path not in head.files]
    by_path = {file.path: 0 for file in old if key.in_path(file.path)}
    rest = [DataFile(f.path, f.size, 0) for f in old if f.path not in by_path]
    try:
        return by_path | count_rows(rest, key, (), table.storage)
    except (pl.exceptions.PolarsError, OSError):  # one of them is broken off, or goes just now
        for file in rest:
            by_path |= _count_one(file, key, table.storage)
        return by_path


def _count_one(file: DataFile, key: Key, storage: TableStorage) -> dict[str, int]:
    """One file's rows of the subject; one that cannot be read may hold any."""
    import polars as pl

    try:
        return count_rows([file], key, (), storage)
    except FileNotFoundError:
        return {}
    except pl.exceptions.PolarsError:
        return {file.path: 0}


# ---------------------------------------------------------------------- logs


def _says(storage: TableStorage, file: Found, head: Head, key: Key) -> bool:
    """Whether a log object repeats the subject's key of a file that is not live."""
    match file.kind:
        case "manifest":
            return _manifest_says(storage, file, head, key)
        case "checkpoint" if file.path.endswith(".parquet"):
            return any(_action_says(a, head, key) for a in _checkpoint(storage, file.path))
        case "log entry":
            return any(_action_says(a, head, key) for a in _entry(storage, file.path))
        case "temporary":
            text = Path(storage.uri, file.path).read_bytes().decode(errors="replace")
            return any(written in unquote(text) for written in key.texts)
    return False


def _entry(storage: TableStorage, path: str) -> Iterator[dict[str, Any]]:
    for line in _read(storage, path).splitlines():
        yield json.loads(line)


def _checkpoint(storage: TableStorage, path: str) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = ["add", "remove"]
    actions = pq.read_table(pa.BufferReader(_read(storage, path)), columns=columns)
    return cast("list[dict[str, Any]]", actions.to_pylist())


def _read(storage: TableStorage, path: str) -> bytes:
    import obstore

    return bytes(obstore.get(storage.store, path).bytes())


def _action_says(action: Mapping[str, Any], head: Head, key: Key) -> bool:
    of = action.get("add") or action.get("remove")
    if not of:
        return False
    path = unquote(of["path"])
    if action.get("add") and path in head.files:
        return False
    stats = json.loads(of.get("stats") or "{}")
    values = [
        dict(of.get("partitionValues") or {}).get(key.column),
        (stats.get("minValues") or {}).get(key.column),
        (stats.get("maxValues") or {}).get(key.column),
    ]
    return key.in_path(path) or any(_same(value, key) for value in values if value is not None)


def _same(value: Any, key: Key) -> bool:
    return value == key.value or str(value) in key.texts


def _manifest_says(storage: TableStorage, file: Found, head: Head, key: Key) -> bool:
    from pyiceberg.manifest import ManifestEntryStatus

    table = storage.catalog().load_table(storage.identifier)
    for entry in _entries(table.io, f"{storage.uri}/{file.path}", file.size):
        of = entry.data_file
        path = of.file_path.removeprefix(f"{storage.uri}/")
        if path in head.files and entry.status != ManifestEntryStatus.DELETED:
            continue
        bounds = [
            from_bound(key.of.field_type, raw)
            for values in (of.lower_bounds, of.upper_bounds)
            if (raw := (values or {}).get(key.of.field_id)) is not None
        ]
        if key.column in head.partition_by:
            place = head.partition_by.index(key.column)
            bounds.append(from_partition(key.of.field_type, of.partition[place]))
        if key.in_path(path) or any(_same(value, key) for value in bounds):
            return True
    return False


def _entries(io: Any, location: str, size: int) -> list[Any]:
    """A manifest's entries, whether a manifest list names it or not."""
    from pyiceberg.manifest import ManifestContent, ManifestFile

    return ManifestFile.from_args(
        manifest_path=location,
        manifest_length=size,
        partition_spec_id=0,
        content=ManifestContent.DATA,
        sequence_number=0,
        min_sequence_number=0,
        added_snapshot_id=0,
    ).fetch_manifest_entry(io, discard_deleted=False)


# ---------------------------------------------------------------------- receipts of a replica


def _receipts(storage: TableStorage, head: Head, key: Key) -> list[str]:
    """Receipts (see `receipts`) that name a folder of the subject's."""
    import obstore

    from mcai_pipelines.lakehouse.receipts import FOLDER

    return [
        item["path"]
        for page in obstore.list(storage.store, prefix=f"{FOLDER}/")
        for item in page
        if any(
            key.in_path(json.loads(line)["path"])
            for line in _read(storage, item["path"]).splitlines()
        )
    ]
