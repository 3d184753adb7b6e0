"""Which of a table's files nobody needs: by their names, their age, and what refers to them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse import flight, pins

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.expire_log import References
    from mcai_pipelines.providers import TableStorage

STREAMS = 8
"""Files deleted at once."""

_KINDS = (
    ("data", re.compile(r"(?!_(?!data/)).*\.parquet")),
    ("metadata", re.compile(r"_iceberg/.*\.metadata\.json")),
    ("manifest list", re.compile(r"_iceberg/snap-.*\.avro")),
    ("manifest", re.compile(r"_iceberg/.*\.avro")),
    ("statistics", re.compile(r"_iceberg/.*\.(stats|puffin)")),
    ("checkpoint", re.compile(r"_delta_log/.*\.checkpoint\..*")),
    ("log entry", re.compile(r"_delta_log/.*\.json")),
)
_OF_ICEBERG = ("metadata", "manifest list", "manifest", "statistics")
# What the object store's client for folders writes to before it renames (object_store, local).
_TEMPORARY = re.compile(r".*#\d+")


@dataclass(frozen=True)
class Found:
    """A file below a table's root.

    Attributes:
        path: Relative to the root.
        kind: ``data``, ``metadata``, ``manifest list``, ``manifest``, ``statistics``,
            ``checkpoint``, ``log entry`` or ``temporary``.
        size: Bytes.
        modified: When it was last written.
    """

    path: str
    kind: str
    size: int
    modified: dt.datetime


@dataclass
class Unneeded:
    """Files to delete, and how many others no version refers to, by why they are kept.

    Attributes:
        files: To be deleted.
        kept: Number of files by reason.
    """

    files: list[Found] = field(default_factory=list)
    kept: dict[str, int] = field(default_factory=dict)

    def keep(self, reason: str) -> None:
        """Count one file that is kept."""
        self.kept[reason] = self.kept.get(reason, 0) + 1


def listed(storage: TableStorage) -> list[Found]:
    """Every file of the table whose kind is known; markers and notes are not among them."""
    import obstore

    found = [
        Found(item["path"], kind, item["size"], item["last_modified"])
        for page in obstore.list(storage.store)
        for item in page
        if (kind := _kind(item["path"])) is not None
    ]
    return [*found, *_temporary(storage)]


def _kind(path: str) -> str | None:
    return next((kind for kind, pattern in _KINDS if pattern.fullmatch(path)), None)


def _temporary(storage: TableStorage) -> Iterator[Found]:
    """What killed writers left in a folder, which its store does not list.

    A bucket keeps the parts of broken uploads out of sight too: there a life cycle rule deletes
    them.
    """
    from obstore.store import LocalStore

    if not isinstance(storage.store, LocalStore):
        return
    root = Path(storage.uri)
    for path in root.rglob("*#*"):
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            about = path.stat()
            modified = dt.datetime.fromtimestamp(about.st_mtime, dt.UTC)
            relative = path.relative_to(root).as_posix()
            yield Found(relative, "temporary", about.st_size, modified)


def delete_files(storage: TableStorage, files: Sequence[Found]) -> None:
    """Delete files, several at once; what others deleted meanwhile is fine."""
    for file in files:
        if file.kind == "temporary":
            Path(storage.uri, file.path).unlink(missing_ok=True)
    paths = [file.path for file in files if file.kind != "temporary"]
    with ThreadPoolExecutor(STREAMS) as pool:
        for _ in pool.map(lambda path: flight.delete(storage, [path]), paths):
            pass


def unneeded(
    storage: TableStorage,
    found: Sequence[Found],
    references: References,
    *,
    fenced: Collection[str],
    older_than: dt.datetime,
    safe: dt.datetime,
) -> Unneeded:
    """Decide about each file that was listed before the references were read.

    Args:
        storage: The table's root: what is in flight is looked up now.
        found: All of the table's files.
        references: What the logs refer to.
        fenced: Formats in which a version was committed after the listing, so that metadata that
            was listed and that nothing refers to belongs to no commit that can still land.
        older_than: Metadata files that were current later are kept for their readers.
        safe: Other files of unknown origin are deleted only if they are older.
    """
    batches = pins.batches(storage, fenced=bool(fenced))
    result = Unneeded()
    for file in found:
        if file.path in references.data or file.path in references.metadata:
            continue
        batch = flight.batch_of(file.path) if file.kind == "data" else None
        if batch is not None:
            reason = "its batch is in flight" if batch in batches else None
        elif file.kind in ("checkpoint", "log entry"):
            continue  # `ExpiringLog.forget` has deleted what had to go
        elif file.kind == "metadata" and "iceberg" in fenced:
            reason = "readers may be at it" if file.modified > older_than else None
        elif file.kind in _OF_ICEBERG and "iceberg" in fenced:
            reason = None
        else:
            reason = "too young to tell" if file.modified > safe else None
        if reason is None:
            result.files.append(file)
        else:
            result.keep(reason)
    return result
