"""Batches in flight: which staged files a live writer still needs, and which nobody will commit.

A marker, ``_staged/<batch>.json``, says that a batch is in flight and who writes it, from
before its first file until its commit is known to have landed or not. A killed writer leaves
its marker; the next writer finds that it is dead, and deletes the files that no version shows.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from mcai_pipelines.lakehouse.versions import BATCH

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.versions import Version
    from mcai_pipelines.providers import TableStorage

ABANDONED_AFTER = dt.timedelta(days=3)
"""A marker of another machine counts as abandoned after this long."""

LATE = dt.timedelta(minutes=1)
"""A failed sink's tasks may still finish a file this long after the failure was reported."""

DATA = "_data"
"""Folder of the data files, below the table's root."""

_MARKERS = "_staged"
_FIELDS = {"batch", "started", "host", "pid", "process_started"}
_BATCH_IN_NAME = re.compile(r"/(\d{8}T\d{6}-[0-9a-f]{12})-\d{5}\.parquet$")
_Marker: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Fate:
    """What became of a batch whose write failed.

    Attributes:
        landed: A commit shows its files.
        doubtful_after: None where that is certain. Otherwise the answer of its commit was lost,
            and it may still land until a version with a greater sequence number exists.
        late_files: The sink itself failed, and what it began may still appear.
    """

    landed: bool
    doubtful_after: int | None = None
    late_files: bool = False


def new_batch_id() -> str:
    """A fresh id; ids sort by time."""
    return f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:12]}"


def is_batch_file(path: str) -> bool:
    """Whether a data file's name is one that `stage` gives: it then holds every column."""
    return _BATCH_IN_NAME.search(f"/{path}") is not None


@contextmanager
def in_flight(
    storage: TableStorage,
    batch: str,
    fate: Callable[[], Fate],
    notes: Mapping[str, Any] | None = None,
) -> Iterator[None]:
    """Keep the batch's marker for as long as the block runs; a killed process leaves it.

    If the block raises, the batch's files are deleted, unless its commit landed or that
    cannot be told: then the marker stays, and `sweep` decides later. It also stays where a
    sink failed, whose tasks may finish a file after this has looked.

    Args:
        storage: The table's root.
        batch: The id of the staged batch.
        fate: Looks for the batch's commit in the log.
        notes: More to say in the marker.
    """
    marker: _Marker = {
        **(notes or {}),
        "batch": batch,
        "started": dt.datetime.now(dt.UTC).isoformat(),
        "host": _host(),
        "pid": os.getpid(),
        "process_started": _process_start(os.getpid()),
    }
    path = f"{_MARKERS}/{batch}.json"
    _mark(storage, path, marker)
    try:
        yield
    except Exception:
        with suppress(Exception):  # the error that is on its way says what went wrong
            found = fate()
            if found.doubtful_after is not None:
                _mark(storage, path, {**marker, "doubtful_after": found.doubtful_after})
            else:
                if not found.landed:
                    discard(storage, batch)
                if found.late_files:
                    over = dt.datetime.now(dt.UTC).isoformat()
                    _mark(storage, path, {**marker, "over": over})
                else:
                    delete(storage, [path])
        raise
    delete(storage, [path])


def _mark(storage: TableStorage, path: str, marker: _Marker) -> None:
    import obstore

    obstore.put(storage.store, path, json.dumps(marker).encode())


def discard(storage: TableStorage, batch: str) -> None:
    """Delete the files of a batch that will not be committed, half-written ones too."""
    import obstore

    for page in obstore.list(storage.store, prefix=f"{DATA}/"):
        delete(storage, [item["path"] for item in page if f"/{batch}-" in item["path"]])


def delete(storage: TableStorage, paths: Sequence[str]) -> None:
    """Delete files by their paths below the table's root; one that is gone already is fine."""
    import obstore

    for path in paths:
        with suppress(FileNotFoundError):
            obstore.delete(storage.store, path)


def sweep(storage: TableStorage, retained: Callable[[], Sequence[Version]]) -> int:
    """Delete what killed writers staged and nobody will commit.

    Args:
        storage: The table's root.
        retained: Every retained version, newest first: a writer killed between its commit and
            the removal of its marker leaves one of a batch that is visible. Called only where
            there is something to sweep.

    Returns:
        The number of files deleted.
    """
    import obstore

    abandoned = {p: m for p, m in markers(storage).items() if is_abandoned(m)}
    if not abandoned:
        return 0
    versions = retained()
    abandoned = {p: m for p, m in abandoned.items() if not _may_be_shown(m, versions)}
    committed = {version.properties.get(BATCH) for version in versions}
    lost = {marker["batch"] for marker in abandoned.values()} - committed
    deleted = 0
    for page in obstore.list(storage.store, prefix=f"{DATA}/") if lost else ():
        for item in page:
            match = _BATCH_IN_NAME.search(item["path"])
            if match and match[1] in lost:
                delete(storage, [item["path"]])
                deleted += 1
    delete(storage, [path for path, marker in abandoned.items() if not may_be_late(marker)])
    return deleted


def markers(storage: TableStorage) -> dict[str, _Marker]:
    """Every marker of the table by its path; what is no marker is passed over."""
    import obstore

    found: dict[str, _Marker] = {}
    for page in obstore.list(storage.store, prefix=f"{_MARKERS}/"):
        for item in page:
            with suppress(FileNotFoundError, ValueError):
                marker = json.loads(bytes(obstore.get(storage.store, item["path"]).bytes()))
                if isinstance(marker, dict) and marker.keys() >= _FIELDS:
                    found[item["path"]] = marker
    return found


def batch_of(path: str) -> str | None:
    """The batch that a data file was staged in, by its name; None for another tool's file."""
    match = _BATCH_IN_NAME.search(path)
    return match[1] if match else None


def is_abandoned(marker: _Marker) -> bool:
    """Whether whoever put the marker is dead, or done with it."""
    if "doubtful_after" in marker or "over" in marker:
        return True
    if marker["host"] != _host():
        started = dt.datetime.fromisoformat(marker["started"])
        return dt.datetime.now(dt.UTC) - started > ABANDONED_AFTER
    return bool(_process_start(marker["pid"]) != marker["process_started"])


def may_be_late(marker: _Marker) -> bool:
    """Whether a file of a failed batch may still appear."""
    over = marker.get("over")
    return over is not None and dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(over) < LATE


def _may_be_shown(marker: _Marker, versions: Sequence[Version]) -> bool:
    """Whether the log cannot tell (any more, or yet) that no version shows a batch's files.

    Not any more: versions made since the batch began have expired, perhaps its own, whose
    files later versions still show. Not yet: its commit may still land.
    """
    started = dt.datetime.fromisoformat(marker["started"])
    ids = {version.id for version in versions}
    if any(v.committed_at >= started for v in versions if _lost_its_parent(v, ids)):
        return True
    newest = max((version.sequence for version in versions), default=-1)
    return bool(newest <= marker.get("doubtful_after", -2))


def _lost_its_parent(version: Version, retained: set[int]) -> bool:
    if version.parent is None:  # so is that of Iceberg's first snapshot, which is number 1
        return version.sequence > 1
    return version.parent not in retained


def _host() -> str:
    """Where a process id means something: this boot of this machine, and this PID namespace.

    Containers may share a host's name and not its processes, and machines may share a name.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _process_start(pid: int) -> str | None:
    """When a process started, in clock ticks since boot; None where it does not run.

    Read from ``/proc`` (proc(5), field 22 of ``stat``); elsewhere only its existence is known.
    """
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
            return None if fields[0] == "Z" else fields[19]
    except FileNotFoundError:
        if os.path.isdir("/proc/self"):
            return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "running"
