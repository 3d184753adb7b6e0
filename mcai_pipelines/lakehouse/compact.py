"""Compaction: few files of a good size instead of many small ones, with exactly the same rows.

Files are put together per partition, in the order they were written, until they reach the
target size; each such bin is written, its rows are counted, and all of them are one version.
A compaction is no news to a reader: its commit says which version's rows it shows
(`versions.CONTENT`), Iceberg calls it ``replace``, Delta ``OPTIMIZE`` without data change.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse import flight, stage
from mcai_pipelines.lakehouse.commit import Committing
from mcai_pipelines.lakehouse.compact_plan import SORTED, Bin, Request, plan
from mcai_pipelines.lakehouse.errors import CompactionFailed, LakeError
from mcai_pipelines.lakehouse.evolve import Evolution
from mcai_pipelines.lakehouse.scan_files import require_names, scan_files
from mcai_pipelines.lakehouse.versions import Change, Head, Version
from mcai_pipelines.lakehouse.write import WriteRequest

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.files import DataFile, Partition
    from mcai_pipelines.lakehouse.table import Table


@dataclass(frozen=True)
class Compaction:
    """What a compaction did, or would do.

    Attributes:
        version: The version it made; None where there was nothing to do.
        mirror_version: Of the mirror that shows it, if the table has one.
        files_before: Files that were rewritten.
        files_after: Files written instead.
        bytes_before: Size of the former.
        bytes_after: Size of the latter.
        rows: Rows rewritten; the table has the same as before.
        partitions: Partitions they are in; 1 for a table that is not partitioned.
        left: Files not rewritten after all, because others replaced some of them meanwhile.
        seconds: How long it took.
    """

    version: Version | None = None
    mirror_version: Version | None = None
    files_before: int = 0
    files_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    rows: int = 0
    partitions: int = 0
    left: int = 0
    seconds: float = 0.0


class _NothingLeft(LakeError):
    """Others replaced files of every bin."""


def compact(table: Table, request: Request, *, dry_run: bool = False) -> Compaction:
    """Carry a compaction through; see `Table.compact`."""
    started = time.monotonic()
    head = table.head()
    bins = plan(table, head, request)
    if dry_run:
        return _planned(bins, time.monotonic() - started)
    if not bins:
        table.repair_mirror()
        table.sweep()
        return Compaction(seconds=time.monotonic() - started)
    if table.primary.format == "iceberg":
        require_names(head, table=table.key)
    return _Compacting(table, head, bins, request).run(started)


class _Compacting:
    """One compaction in progress.

    Args:
        table: Whose files.
        head: Where the bins' files are live.
        bins: What to rewrite.
        request: How.
    """

    def __init__(self, table: Table, head: Head, bins: list[Bin], request: Request) -> None:
        self._table = table
        self._head = head
        self._bins = bins
        self._request = request
        self._batch = flight.new_batch_id()
        self._sunk = True

    def run(self, started: float) -> Compaction:
        """Write the bins, commit them, and have the mirror follow."""
        table, step = self._table, self._request.on_step
        request = WriteRequest(mode="overwrite", properties=self._request.properties)
        committing = _Committing(table, request, self._head, self._batch)

        def fate() -> flight.Fate:
            found = committing.fate()
            return flight.Fate(found.landed, found.doubtful_after, late_files=not self._sunk)

        version = None
        try:
            with flight.in_flight(table.storage, self._batch, fate):
                step("staging")
                committing.rewritten = self._write()
                step("staged")
                step("audited")
                staged = stage.StagedBatch(self._batch)
                version = committing.commit(staged, Evolution(self._head.schema))
                step("committed")
        except _NothingLeft:
            pass
        mirrored = table.repair_mirror()
        step("mirrored")
        table.sweep()
        step("done")
        rewritten = committing.rewritten if version is not None else []
        return _describe(version, mirrored, self._bins, rewritten, time.monotonic() - started)

    def _write(self) -> list[tuple[Bin, list[DataFile]]]:
        taken: dict[Partition, int] = {}
        rewritten = []
        for number, one in enumerate(self._bins):
            first = taken.get(one.partition, 0)
            files = self._write_bin(one, first)
            taken[one.partition] = first + len(files)
            rewritten.append((one, files))
            self._request.on_bin(number + 1, len(self._bins))
        return rewritten

    def _write_bin(self, one: Bin, first: int) -> list[DataFile]:
        head, table, sort_by = self._head, self._table, self._request.sort_by
        frame = scan_files(one.files, head.schema, head.partition_by, table.storage)
        self._sunk = False
        staged = stage.stage(
            frame.sort(sort_by) if sort_by else frame,
            head.schema,
            head.partition_by,
            table.storage,
            self._batch,
            where=table.source,
            first=first,
            rows_per_file=max(1, math.ceil(one.rows / one.outputs)),
            metadata={SORTED: json.dumps(list(sort_by))} if sort_by else None,
        )
        self._sunk = True
        _require_same(table.key, one, staged.files)
        return staged.files


def _require_same(table: str, one: Bin, files: Sequence[DataFile]) -> None:
    """Refuse to replace files by others that hold other rows, as far as counting can tell."""
    rows = sum(file.rows for file in files)
    if rows != one.rows or any(file.partition != one.partition for file in files):
        raise CompactionFailed(
            f"table {table}: compacting {len(one.files)} files that should hold {one.rows:,} rows"
            f" gave {rows:,}, so nothing was changed; the first of them is {one.files[0].path}"
        )
    for name in {name for file in files for name in file.nulls}:
        if any(name not in file.nulls for file in (*one.files, *files)):
            continue
        before = sum(file.nulls[name] for file in one.files)
        after = sum(file.nulls[name] for file in files)
        if before != after:
            raise CompactionFailed(
                f"table {table}: compacting {len(one.files)} files gave {after:,} nulls in the"
                f" column {name!r} instead of {before:,}, so nothing was changed; the first of"
                f" them is {one.files[0].path}"
            )


class _Committing(Committing):
    """The commit of the bins whose files are all still there."""

    rewritten: Sequence[tuple[Bin, Sequence[DataFile]]] = ()

    def _change(self, head: Head | None, staged: stage.StagedBatch, evolution: Evolution) -> Change:
        assert head is not None
        assert head.version is not None
        self._give_up(head)
        if not self.rewritten:
            raise _NothingLeft("others replaced the files meanwhile")
        carried = self._table.primary.version(head.version).carried
        return Change(
            operation="compact",
            schema=head.schema,
            partition_by=head.partition_by,
            added=[file for _, files in self.rewritten for file in files],
            removed=[file for one, _ in self.rewritten for file in one.files],
            properties={**carried, **self._properties()},
        )

    def _give_up(self, head: Head) -> None:
        """Let go of bins with a file that others replaced; their new files go at once."""
        lost = [pair for pair in self.rewritten if not pair[0].is_live(head)]
        self.rewritten = [pair for pair in self.rewritten if pair[0].is_live(head)]
        for _, files in lost:
            flight.delete(self._table.storage, [file.path for file in files])


def _planned(bins: Sequence[Bin], seconds: float) -> Compaction:
    """What a compaction would do; the size of what it would write is that of what it reads."""
    size = sum(one.bytes for one in bins)
    return Compaction(
        files_before=sum(len(one.files) for one in bins),
        files_after=sum(one.outputs for one in bins),
        bytes_before=size,
        bytes_after=size,
        rows=sum(one.rows for one in bins),
        partitions=len({one.partition for one in bins}),
        seconds=seconds,
    )


def _describe(
    version: Version | None,
    mirrored: Version | None,
    bins: Sequence[Bin],
    rewritten: Sequence[tuple[Bin, Sequence[DataFile]]],
    seconds: float,
) -> Compaction:
    files = [file for _, some in rewritten for file in some]
    before = [file for one, _ in rewritten for file in one.files]
    return Compaction(
        version=version,
        mirror_version=mirrored if version is not None else None,
        files_before=len(before),
        files_after=len(files),
        bytes_before=sum(file.size for file in before),
        bytes_after=sum(file.size for file in files),
        rows=sum(file.rows for file in files),
        partitions=len({one.partition for one, _ in rewritten}),
        left=sum(len(one.files) for one in bins) - len(before),
        seconds=seconds,
    )
