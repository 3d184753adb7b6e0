"""Where a writer may die: the named steps of the protocol, and moments between them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import obstore
from pyiceberg.catalog import MetastoreCatalog

from mcai_pipelines.lakehouse import flight, partitions, write
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import Change, Head, Log, Version

POINTS = (
    "staging",
    "between files",
    "staged",
    "audited",
    "primary written",
    "primary visible",
    "committed",
    "unmarked",
    "mirror written",
    "mirror visible",
    "mirrored",
    "sweeping",
    "done",
)
"""In the order of the protocol: `write.STEPS`, and between them:

Between files: one data file is written and the next is not. Primary written, mirror written:
all of the commit but the one step that makes it visible. Primary visible, mirror visible: it
is, and the writer does not know it yet. Unmarked: the batch's marker is gone. Sweeping: the
files of an earlier death are deleted, its marker is not.
"""

assert set(write.STEPS) <= set(POINTS)


def points(mirrored: bool, staged: bool) -> list[str]:
    """The points that a write passes.

    Args:
        mirrored: The table has a mirror.
        staged: The write stages files (a rollback does not).
    """
    steps = {*write.STEPS, "between files", "unmarked"}
    return [
        point
        for point in POINTS
        if (mirrored or "mirror " not in point) and (staged or point not in steps - {"unmarked"})
    ]


def before(point: str, other: str) -> bool:
    return POINTS.index(point) < POINTS.index(other)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def at(point: str, table: Table) -> Callable[[str], None]:
    """Arrange for this process to die at a point; returns the `on_step` to write with."""
    if point == "between files":
        _die_on_call(partitions, "folder", number=2)
    elif point.startswith("primary"):
        _die_committing(table.primary, point)
    elif point.startswith("mirror "):
        assert table.mirror_log is not None
        _die_committing(table.mirror_log, point)
    elif point == "unmarked":
        _die_on_call(table, "repair_mirror")
    elif point == "sweeping":
        _die_sweeping()

    def on_step(name: str) -> None:
        if name == point:
            die()

    return on_step


def _die_on_call(owner: Any, name: str, number: int = 1) -> None:
    original, calls = getattr(owner, name), count(1)

    def dying(*args: Any, **kwargs: Any) -> Any:
        if next(calls) == number:
            die()
        return original(*args, **kwargs)

    setattr(owner, name, dying)


def _die_committing(log: Log, point: str) -> None:
    if point.endswith("visible"):
        commit = log.commit

        def dying(base: Head | None, change: Change) -> Version:
            commit(base, change)
            die()
            raise AssertionError

        log.commit = dying  # type: ignore[method-assign]
    elif log.format == "iceberg":
        _die_before_compare_and_swap()
    else:
        _die_before_log_entry()


def _die_before_compare_and_swap() -> None:
    """The new metadata file is written, and the catalog still names the old one."""
    original = MetastoreCatalog._write_metadata

    def dying(*args: Any, **kwargs: Any) -> None:
        original(*args, **kwargs)
        die()

    MetastoreCatalog._write_metadata = staticmethod(dying)  # type: ignore[method-assign]


def _die_before_log_entry() -> None:
    """Half of the entry is in the temporary file that the store renames when it is whole."""
    original = obstore.put

    def dying(store: Any, path: str, file: Any, **kwargs: Any) -> Any:
        if path.startswith("_delta_log/"):
            whole = Path(store.prefix, path)
            whole.parent.mkdir(exist_ok=True)
            whole.with_name(f"{whole.name}#1").write_bytes(file[: len(file) // 2])
            die()
        return original(store, path, file, **kwargs)

    obstore.put = dying


def _die_sweeping() -> None:
    original = flight.delete

    def dying(storage: Any, paths: Sequence[str]) -> None:
        original(storage, paths)
        if any(path.startswith(flight.DATA) for path in paths):
            die()

    flight.delete = dying
