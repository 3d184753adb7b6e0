"""Merging rows into a table by key: copy-on-write of the files that hold a key, and no other.

The frame is computed once, into files of a batch of its own that is never committed (an eager
frame stays in memory); its keys are held in memory, its rows and the table's are streamed.
Files that may hold a key are found by partition and by the bounds in the log, then by reading
their key columns. What is left of them and the new rows are one staged batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from pyiceberg.schema import Schema

from mcai_pipelines.lakehouse import flight, keys
from mcai_pipelines.lakehouse.errors import CommitContention, LakeError
from mcai_pipelines.lakehouse.merge_source import GONE, ROW, Source, check_marker, open_source
from mcai_pipelines.lakehouse.scan_files import PATH, require_names, scan_files
from mcai_pipelines.lakehouse.write import (
    Commit,
    Merged,
    MergeKeys,
    Mode,
    WhenMatched,
    Writing,
)

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.evolve import Evolution
    from mcai_pipelines.lakehouse.files import DataFile
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.lakehouse.versions import Head, Log
    from mcai_pipelines.providers import TableStorage

_ATTEMPTS = 20
_SMALL_BYTES = 64 << 20  # smaller files are put together where they are rewritten


class _Overtaken(LakeError):
    """Others rewrote files that hold a merge's keys, and no row that has one: look again."""

    def __init__(self, head: Head) -> None:
        super().__init__("others rewrote its files first")
        self.head = head


def merge_keys(
    table: Table, mode: Mode, on: Sequence[str] | None, matched: WhenMatched, deleted: str | None
) -> MergeKeys | None:
    """How a write merges; None for one that does not.

    Raises:
        ValueError: The arguments do not go together.
    """
    if mode != "merge":
        if on is not None or matched != "update" or deleted is not None:
            raise ValueError(f"table {table.key}: on, when_matched and deleted go with merge only")
        return None
    columns = tuple(on) if on is not None else table.primary_key
    if not columns:
        raise ValueError(
            f"table {table.key}: a merge needs a key: the contract's primary key, or on=[…]"
        )
    if deleted in columns:
        raise ValueError(f"table {table.key}: {deleted} is part of the key and cannot mark rows")
    return MergeKeys(columns, matched, deleted)


class Merging(Writing):
    """One merge in progress; see `Table.write`."""

    def run(self, frame: pl.LazyFrame | pl.DataFrame) -> Commit:
        """Carry the merge through."""
        how = self._request.merge
        assert how is not None
        repeated = self._repeated()
        if repeated is not None:
            return repeated
        rows = frame.lazy()
        check_marker(how, rows, where=self._table.source)
        rows = rows.drop(how.deleted) if how.deleted else rows
        evolution = self._plan(rows)
        keys.check_columns(
            evolution.schema, how.on, rows.collect_schema().names(), self._table.source
        )
        with open_source(
            frame, evolution.schema, how, self._table.storage, self._table.source
        ) as new:
            if self._must_widen(evolution):
                evolution = self._widen(evolution)
            for _ in range(_ATTEMPTS):
                try:
                    return self._merge(new, evolution, how)
                except _Overtaken as overtaken:
                    self._base = overtaken.head
                    self._batch, self._sunk = flight.new_batch_id(), False
                    evolution = self._plan(rows)
        raise CommitContention(
            f"table {self._table.key}: others rewrote the files of this merge's keys"
            f" {_ATTEMPTS} times; run again when fewer write at once"
        )

    def _merge(self, new: Source, evolution: Evolution, how: MergeKeys) -> Commit:
        import polars as pl

        table, schema = self._table, evolution.schema
        if self._base is not None and table.primary.format == "iceberg":
            require_names(self._base, table=table.key)
        search = _Search(new, schema, table.partition_by, table.storage)
        found = search.matches(self._base.files.values() if self._base is not None else ())
        matched = new.keys.filter(pl.col(ROW).is_in(found[ROW].unique().implode()))
        replacing = matched if how.when_matched == "update" else matched.filter(GONE)
        holding = found.filter(pl.col(ROW).is_in(replacing[ROW].implode()))
        paths = set(holding[PATH])
        files = self._base.files if self._base is not None else {}
        rewritten = _in_order([f for path, f in files.items() if path in paths], new.on[0])
        self._rows_per_file = _rows_per_file(rewritten)
        kept = scan_files(rewritten, schema, table.partition_by, table.storage)
        kept = kept.join(replacing.lazy(), on=new.on, how="anti", maintain_order="left")
        added = new.rows.filter(~pl.col(GONE)).drop(GONE)
        if how.when_matched == "ignore":
            added = added.join(matched.lazy(), on=new.on, how="anti")
        self._scope = _Keyed(search, rewritten, frozenset(found[PATH]))
        commit = self._carry(pl.concat([kept, added]) if rewritten else added, evolution)
        if commit.repeated:
            return commit
        merged = _count(new.keys, matched, how, search.files_read, len(rewritten))
        return replace(commit, merged=merged)


def _in_order(files: list[DataFile], column: str) -> list[DataFile]:
    """Files by their lower bound, so that neighbors stay neighbors and bounds stay narrow."""
    known = [file for file in files if column in file.lower]
    unknown = [file for file in files if column not in file.lower]
    return sorted(known, key=lambda file: cast("Any", file.lower[column])) + unknown


def _rows_per_file(files: Sequence[DataFile]) -> int | None:
    """How large the new files may be: as the largest of the old ones, if that is not small."""
    rows = sum(file.rows for file in files)
    if not rows:
        return None
    usual = round(_SMALL_BYTES * rows / sum(file.size for file in files))
    return max(usual, *(file.rows for file in files))


def _count(
    all_keys: pl.DataFrame, matched: pl.DataFrame, how: MergeKeys, read: int, rewritten: int
) -> Merged:
    deletions, found = int(all_keys[GONE].sum()), int(matched[GONE].sum())
    present = matched.height - found
    update = how.when_matched == "update"
    return Merged(
        inserted=all_keys.height - deletions - present,
        updated=present if update else 0,
        deleted=found,
        ignored=deletions - found + (0 if update else present),
        files_read=read,
        files_rewritten=rewritten,
    )


@dataclass
class _Search:
    """Finds the keys of the new rows in files of the table, each file once.

    Attributes:
        files_read: Files whose key columns were read.
    """

    new: Source
    schema: Schema
    partition_by: tuple[str, ...]
    storage: TableStorage
    files_read: int = 0
    _known: dict[str, bool] = field(default_factory=dict)

    def matches(self, files: Iterable[DataFile]) -> pl.DataFrame:
        """Each path, and the number of each new row (`ROW`) whose key is in that file."""
        import polars as pl

        on = self.new.on
        read = keys.candidates(files, self.new.keys, on, self.partition_by)
        self.files_read += len(read)
        columns = Schema(*(self.schema.find_field(name) for name in on))
        found = (
            scan_files(read, columns, self.partition_by, self.storage, paths=True)
            .join(self.new.keys.lazy(), on=on, how="inner")
            .select(pl.col(PATH), pl.col(ROW))
            .unique()
            .collect(engine="streaming")
        )
        if not set(found[PATH]) <= {file.path for file in read}:  # a key would be there twice
            raise LakeError(f"{self.storage.uri}: a file's path is not as the log names it")
        return found

    def rows(self, files: Sequence[DataFile]) -> pl.DataFrame:
        """The rows in these files that have one of the keys, in the order of the keys."""
        on = self.new.on
        read = keys.candidates(files, self.new.keys, on, self.partition_by)
        return (
            scan_files(read, self.schema, self.partition_by, self.storage)
            .join(self.new.keys.lazy(), on=on, how="semi")
            .sort(on)
            .collect(engine="streaming")
        )

    def any_in(self, files: Sequence[DataFile]) -> bool:
        """Whether a key is in one of the files."""
        new = [file for file in files if file.path not in self._known]
        holding = set(self.matches(new)[PATH])
        self._known |= {file.path: file.path in holding for file in new}
        return any(self._known[file.path] for file in files)


@dataclass(frozen=True)
class _Keyed:
    """The scope of a merge.

    Attributes:
        search: Finds its keys in files that others added meanwhile.
        rewritten: Files that its staged batch replaces.
        holding: Paths of the files that hold a key: `rewritten`, and those that were left
            because the new row is ignored.
    """

    search: _Search
    rewritten: Sequence[DataFile]
    holding: frozenset[str]

    def replaced(self, head: Head | None) -> list[DataFile]:
        """See `Scope.replaced`."""
        return list(self.rewritten)

    def is_stale(self, log: Log, base: Head | None, head: Head) -> bool:
        """Whether others added a key, or changed or removed a row that has one.

        Raises:
            _Overtaken: They did not, but put rows with a key into other files.
        """
        before = base.files if base is not None else {}
        gone = [before[path] for path in self.holding if path not in head.files]
        new = [file for path, file in head.files.items() if path not in before]
        if not gone and not self.search.any_in(new):
            return False
        if not self.search.rows(gone).equals(self.search.rows(new)):
            return True
        raise _Overtaken(head)
