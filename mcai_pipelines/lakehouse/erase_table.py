"""Erasing a subject from one table: its rows, then every trace of them in files and logs.

1. A record says that the erasure has begun (see `erased`).
2. The live files that hold the subject are written anew without its rows: staged, audited,
   committed as one version. The mirror follows.
3. A version is committed that changes nothing: unlike the one before, neither log lists in it a
   file that holds the subject, not even as removed.
4. All older versions are expired at once, and the files go that only they showed.
5. Whatever is left is looked for the subject again; then the record is completed.

A kill leaves the record, and the next erasure begins again at step 2.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse import erased, expire, traces
from mcai_pipelines.lakehouse.errors import LakeError, StaleWrite
from mcai_pipelines.lakehouse.evolve import plan_evolution
from mcai_pipelines.lakehouse.fence import fence
from mcai_pipelines.lakehouse.scan_files import require_names, scan_files
from mcai_pipelines.lakehouse.versions import CONTENT, OPERATION
from mcai_pipelines.lakehouse.write import WriteRequest, Writing

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.files import DataFile
    from mcai_pipelines.lakehouse.stage import StagedBatch
    from mcai_pipelines.lakehouse.subject import Key
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.lakehouse.versions import Head, Log
    from mcai_pipelines.providers import TableStorage

OPERATION_NAME = "erase"
"""`OPERATION` of the versions that an erasure commits."""

STEPS = ("recorded", "rewritten", "fenced", *expire.STEPS, "verified", "completed")
"""The named points of one table's erasure, in order."""

_ATTEMPTS = 20


class SubjectRemains(LakeError):
    """Files still hold the subject, because others are writing it; run the erasure again."""


@dataclass(frozen=True)
class Removal:
    """What was removed from one table.

    Attributes:
        rows: The subject's live rows.
        files_rewritten: Live files that held them.
        versions: Versions that were expired, by format.
        files: Files deleted, by kind.
        bytes: Their size, by kind.
        remaining: Files that still hold the subject, or may: others are writing them.
    """

    rows: int = 0
    files_rewritten: int = 0
    versions: Mapping[str, int] = field(default_factory=dict)
    files: Mapping[str, int] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)
    remaining: int = 0

    def plus(self, other: Removal | None) -> Removal:
        """Both together: a table may hold the subject in several columns."""
        if other is None:
            return self
        return Removal(
            self.rows + other.rows,
            self.files_rewritten + other.files_rewritten,
            _sum(self.versions, other.versions),
            _sum(self.files, other.files),
            _sum(self.bytes, other.bytes),
            self.remaining + other.remaining,
        )


def _sum(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in {**one, **other}}


class Erasing:
    """One table's erasure in progress.

    Args:
        table: The table; not adopted.
        key: The subject's key in it.
        record: Of the erasure.
        rewrite: Removes the subject's rows from what is visible, and says from how many rows
            and files; a replica's rewrites nothing and follows its source.
        on_step: Called with each name of `STEPS` as it is reached.
    """

    def __init__(
        self,
        table: Table,
        key: Key,
        record: erased.Record,
        rewrite: Callable[[Table, Key, str], tuple[int, int]] | None = None,
        on_step: Callable[[str], None] = lambda _name: None,
    ) -> None:
        self._table = _with_both_logs(table)
        self._key = key
        self._record = record
        self._rewrite = rewrite or remove_rows
        self._on_step = on_step

    def run(self) -> Removal:
        """Carry the erasure through, also one that was begun before.

        Raises:
            SubjectRemains: Others kept writing the subject's rows.
            LakeError: See `Table.write` and `Table.expire`.
        """
        table, storage = self._table, self._table.storage
        own = erased.continued(storage, self._record)
        begun = [own, *(r for r in erased.unfinished(storage) if r.id != own.id)]
        for record in begun:
            erased.save(storage, erased.with_versions(record, table))
        self._on_step("recorded")
        rows, files = self._rewrite(table, self._key, self._record.id)
        self._on_step("rewritten")
        table.repair_mirror()
        fence(table, OPERATION_NAME, {"mcai.erasure": self._record.id})
        self._on_step("fenced")
        latest = [erased.with_versions(record, table) for record in begun]
        done = expire.expire(
            table,
            keep=1,
            older_than=dt.timedelta(0),
            safe_age=dt.timedelta(0),
            regardless=True,
            on_step=self._on_step,
        )
        _clean_receipts(table, self._key)
        _remove_folders(storage, self._key)
        left = traces.find(table, self._key)
        self._on_step("verified")
        removal = Removal(rows, files, done.expired, done.files, done.bytes, _count(left))
        if not left:
            now = dt.datetime.now(dt.UTC)
            for record in latest:
                kept = erased.without_retained(record, table)
                erased.save(storage, replace(kept, ended=now))
            self._on_step("completed")
        return removal


def _with_both_logs(table: Table) -> Table:
    """The table with a log that it is not opened with, such as one whose contract lost its mirror.

    That log refers to the subject as well: it follows the primary once more.
    """
    other = expire.undeclared(table)
    if other is None:
        return table
    both = copy(table)
    both.mirror_log = other
    return both


def _count(left: traces.Traces) -> int:
    return len(left.live) + len(left.old) + len(left.logs)


def _clean_receipts(table: Table, key: Key) -> None:
    """Forget the receipts of a replica's files in a folder that names the subject."""
    import obstore

    from mcai_pipelines.lakehouse.receipts import FOLDER

    store = table.storage.store
    for page in obstore.list(store, prefix=f"{FOLDER}/"):
        for item in page:
            lines = bytes(obstore.get(store, item["path"]).bytes()).splitlines(keepends=True)
            kept = [line for line in lines if not key.in_path(json.loads(line)["path"])]
            if len(kept) < len(lines):
                obstore.put(store, item["path"], b"".join(kept))


def _remove_folders(storage: TableStorage, key: Key) -> None:
    """Remove the empty folders that name the subject; a bucket has none."""
    from obstore.store import LocalStore

    if isinstance(storage.store, LocalStore):
        root = Path(storage.uri)
        folders = [path for path in root.rglob("*=*") if path.is_dir()]
        for folder in sorted(folders, reverse=True):  # inner ones first
            if key.in_path(folder.relative_to(root).as_posix()):
                with suppress(OSError):  # somebody is writing into it
                    folder.rmdir()


# ---------------------------------------------------------------------- copy on write


def remove_rows(table: Table, key: Key, erasure: str) -> tuple[int, int]:
    """Commit a version without the subject's rows, rewriting only the files that hold them.

    Args:
        table: The table.
        key: The subject's key in it.
        erasure: Id, recorded in the commit.

    Returns:
        Rows removed, and files rewritten.

    Raises:
        SubjectRemains: Others kept changing the same files, or kept writing such rows.
    """
    rows = files = 0
    for _ in range(_ATTEMPTS):
        head = table.head()
        holding = traces.in_live_files(table, head, key)
        if not holding:
            return rows, files
        if table.primary.format == "iceberg":
            require_names(head, table=table.key)
        rewritten = [head.files[path] for path in holding]
        try:
            _Rewriting(table.as_head(head), head, rewritten, key, erasure).run_rewrite()
        except StaleWrite:
            continue  # somebody else rewrote one of them: look again
        rows += sum(holding.values())
        files += len(holding)
    raise SubjectRemains(
        f"table {table.key}: others kept changing the files that hold the subject; run again when"
        " fewer write at once"
    )


class _Rewriting(Writing):
    """The write that replaces the files that hold a subject."""

    def __init__(
        self, table: Table, head: Head, rewritten: list[DataFile], key: Key, erasure: str
    ) -> None:
        expected = sum(file.rows for file in rewritten)
        assert head.version is not None
        carried = table.primary.version(head.version).carried
        del carried[CONTENT]  # these are other rows
        properties = {**carried, OPERATION: OPERATION_NAME, "mcai.erasure": erasure}
        request = WriteRequest("overwrite", properties=properties, audit=self._audit)
        super().__init__(table, request, head)
        self._head = head
        self._rewritten = rewritten
        self._key = key
        self._expected = expected
        self._scope = _Rewritten(rewritten)

    def run_rewrite(self) -> None:
        storage = self._table.storage
        rows = scan_files(self._rewritten, self._head.schema, self._head.partition_by, storage)
        unchanged = plan_evolution(self._head.schema, self._head.schema, where=self._table.key)
        self._carry(rows.filter(~self._key.expression()), unchanged)

    def _audit(self, staged: StagedBatch) -> None:
        """Refuse to commit a batch that holds the subject, or lacks a row of somebody else."""
        counts = traces.count_rows(
            staged.files, self._key, self._head.partition_by, self._table.storage
        )
        before = traces.count_rows(
            self._rewritten, self._key, self._head.partition_by, self._table.storage
        )
        if counts or staged.rows != self._expected - sum(before.values()):
            raise LakeError(
                f"table {self._table.key}: the rewritten files do not hold exactly the other rows;"
                " nothing was changed; please report this"
            )


@dataclass(frozen=True)
class _Rewritten:
    """The scope of an erasure: the files that held the subject when it looked."""

    files: list[DataFile]

    def replaced(self, head: Head | None) -> list[DataFile]:
        """See `Scope.replaced`."""
        return list(self.files)

    def is_stale(self, log: Log, base: Head | None, head: Head) -> bool:
        """See `Scope.is_stale`."""
        return any(file.path not in head.files for file in self.files)
