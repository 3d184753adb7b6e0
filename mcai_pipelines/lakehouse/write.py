"""The write protocol: stage → audit → commit → mirror, for one write of one table."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

from mcai_pipelines.lakehouse import flight, partitions, stage
from mcai_pipelines.lakehouse.commit import Committing, made_before
from mcai_pipelines.lakehouse.errors import RowsOutsidePartitions, SchemaMismatch
from mcai_pipelines.lakehouse.evolve import Evolution, merge_inferred, plan_evolution
from mcai_pipelines.lakehouse.files import Partition
from mcai_pipelines.lakehouse.fit import explained, fit
from mcai_pipelines.lakehouse.schema import delta_schema_json, from_polars
from mcai_pipelines.lakehouse.versions import BATCH, Head, Version

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.schema import Schema
    from mcai_pipelines.lakehouse.scope import Scope
    from mcai_pipelines.lakehouse.table import Table

Mode: TypeAlias = Literal["append", "overwrite", "overwrite_partitions", "merge"]
Audit: TypeAlias = Callable[[stage.StagedBatch], None]

STEPS = ("staging", "staged", "audited", "committed", "mirrored", "done")
"""The named points of the protocol, in order."""

_SHOWN = 5


@dataclass(frozen=True)
class AppendKey:
    """What makes an append the same append: a second one with an equal key is not made.

    Attributes:
        value: Run root, code version and input versions, in one string.
        since: When the run root began; no older commit can carry this key.
    """

    value: str
    since: dt.datetime | None = None


WhenMatched: TypeAlias = Literal["update", "ignore"]


@dataclass(frozen=True)
class MergeKeys:
    """How a merge finds and treats rows.

    Attributes:
        on: The key's columns.
        when_matched: ``update`` a row whose key is there, or ``ignore`` the new one.
        deleted: Boolean column of the frame, and not of the table: true deletes the key.
    """

    on: tuple[str, ...]
    when_matched: WhenMatched = "update"
    deleted: str | None = None


@dataclass(frozen=True)
class Merged:
    """What a merge did to the keys of its rows, and at what cost.

    Attributes:
        inserted: Keys that the table did not have, and has now.
        updated: Keys whose row was replaced.
        deleted: Keys that the table had, and has no more.
        ignored: Keys of rows that changed nothing.
        files_read: Files whose key columns were read, because they might hold such a key.
        files_rewritten: Files that held one; every other is as it was.
    """

    inserted: int = 0
    updated: int = 0
    deleted: int = 0
    ignored: int = 0
    files_read: int = 0
    files_rewritten: int = 0


@dataclass(frozen=True)
class Commit:
    """What a write did.

    Attributes:
        version: Of the primary.
        mirror_version: Of the mirror that shows it, if the table has one.
        rows: Rows written by this batch.
        files: Files added.
        bytes: Their size.
        rows_by_partition: Rows written, by partition value.
        repeated: The append had been made before, so nothing was written.
        merged: What a merge did.
    """

    version: Version
    mirror_version: Version | None = None
    rows: int = 0
    files: int = 0
    bytes: int = 0
    rows_by_partition: Mapping[Partition, int] = field(default_factory=dict)
    repeated: bool = False
    merged: Merged | None = None


@dataclass(frozen=True)
class WriteRequest:
    """The arguments of `Table.write`."""

    mode: Mode = "append"
    partitions: frozenset[Partition] | None = None
    key: AppendKey | None = None
    inputs: Mapping[str, int] | None = None
    properties: Mapping[str, str] = field(default_factory=dict)
    audit: Audit | None = None
    on_step: Callable[[str], None] = lambda _name: None
    merge: MergeKeys | None = None

    @property
    def operation(self) -> str:
        """What the commit is called (`Change.operation`)."""
        return self.mode if self.mode in ("append", "merge") else "overwrite"


class Writing:
    """One write in progress.

    Args:
        table: Where to.
        request: What and how.
        base: The head that the write was computed from; None for a table not there yet.
    """

    def __init__(self, table: Table, request: WriteRequest, base: Head | None) -> None:
        self._table = table
        self._request = request
        self._base = base
        self._batch = flight.new_batch_id()
        self._sunk = False
        self._scope: Scope | None = None
        self._rows_per_file: int | None = None

    def run(self, frame: pl.LazyFrame) -> Commit:
        """Carry the write through; see `Table.write` for what it raises."""
        repeated = self._repeated()
        if repeated is not None:
            return repeated
        evolution = self._plan(frame)
        if self._must_widen(evolution):
            evolution = self._widen(evolution)
        return self._carry(frame, evolution)

    def _repeated(self) -> Commit | None:
        """The same write, if an earlier attempt made it."""
        made = made_before(self._table, self._request.key, self._base)
        if made is None:
            return None
        mirrored = self._table.repair_mirror()
        self._table.sweep()
        return Commit(made, mirrored, repeated=True)

    def _carry(self, frame: pl.LazyFrame, evolution: Evolution) -> Commit:
        schema, where = evolution.schema, self._table.source
        fitted = fit(frame, schema, where=where)
        columns, wanted = self._table.partition_by, self._request.partitions
        if self._table.has_delta:
            delta_schema_json(schema)  # raises before anything is committed
        partitions.check_columns(schema, columns, where=where)
        partitions.check_wanted(schema, columns, wanted or (), where=where)
        step = self._request.on_step
        committing = Committing(self._table, self._request, self._base, self._batch, self._scope)

        def fate() -> flight.Fate:
            return replace(committing.fate(), late_files=not self._sunk)

        with flight.in_flight(self._table.storage, self._batch, fate):
            step("staging")
            with explained(frame, schema, where=where):
                staged = self._stage(fitted, schema)
            version = committing.commit(staged, evolution)
            step("committed")
            repeated = version.properties.get(BATCH) != self._batch
            if repeated:  # another attempt of this append landed meanwhile
                flight.discard(self._table.storage, self._batch)
        mirrored = self._table.repair_mirror()
        step("mirrored")
        self._table.sweep()
        step("done")
        if repeated:
            return Commit(version, mirrored, repeated=True)
        return _describe(version, mirrored, staged)

    # ------------------------------------------------------------------ schema

    def _plan(self, frame: pl.LazyFrame) -> Evolution:
        wanted = self._table.schema
        current = self._base.schema if self._base is not None else None
        if wanted is None:
            wanted = from_polars(frame.collect_schema(), where=self._table.key)
            wanted = merge_inferred(current, wanted) if current is not None else wanted
        if self._base is None or current is None:
            return Evolution(wanted)
        if self._base.partition_by != self._table.partition_by:
            raise SchemaMismatch.at(
                self._table.source,
                f"the table is partitioned by {_names(self._base.partition_by)}"
                f" and the contract says {_names(self._table.partition_by)}",
                "partitioning cannot change in place: keep it, or write a new table",
            )
        return plan_evolution(current, wanted, where=self._table.source)

    def _must_widen(self, evolution: Evolution) -> bool:
        if self._base is None or not self._table.has_delta or self._request.mode == "overwrite":
            return False
        if evolution.widened and self._base.files:
            return True
        return bool(self._table.primary.not_by_name(self._base))  # widened without the mirror

    def _widen(self, evolution: Evolution) -> Evolution:
        """Write the rows that are there again in the wider types, in a version of its own.

        Delta has no promotion that every reader knows: each file must hold the table's types.
        """
        assert self._base is not None
        request = WriteRequest(mode="overwrite", properties={"mcai.reason": "type widened"})
        rows = self._table.scan_head(self._base)
        widened = Writing(self._table, request, self._base)._carry(rows, evolution)
        # Exactly that version: what others commit after it must count as newer than the base.
        self._base = self._table.primary.at(widened.version.id)
        return plan_evolution(self._base.schema, evolution.schema, where=self._table.source)

    # ------------------------------------------------------------------ stage

    def _stage(self, fitted: pl.LazyFrame, schema: Schema) -> stage.StagedBatch:
        storage = self._table.storage
        staged = stage.stage(
            fitted,
            schema,
            self._table.partition_by,
            storage,
            self._batch,
            where=self._table.source,
            rows_per_file=self._rows_per_file,
        )
        self._sunk = True
        self._request.on_step("staged")
        if self._request.partitions is not None:
            _refuse_rows_outside(self._table, staged, self._request.partitions)
        if self._request.audit is not None:
            self._request.audit(staged)
        self._request.on_step("audited")
        return staged


def _names(columns: Sequence[str]) -> str:
    return ", ".join(columns) or "nothing"


def _refuse_rows_outside(
    table: Table, staged: stage.StagedBatch, wanted: frozenset[Partition]
) -> None:
    outside: dict[Partition, int] = {}
    for file in staged.files:
        if file.partition not in wanted:
            outside[file.partition] = outside.get(file.partition, 0) + file.rows
    if outside:
        shown = ", ".join(
            f"{'/'.join(map(str, partition))} ({rows} rows)"
            for partition, rows in list(outside.items())[:_SHOWN]
        )
        more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
        raise RowsOutsidePartitions(
            f"table {table.key}: the frame has rows outside the partitions of this run:"
            f" {shown}{more}; filter them out, or run those partitions too"
        )


def _describe(version: Version, mirrored: Version | None, staged: stage.StagedBatch) -> Commit:
    by_partition: dict[Partition, int] = {}
    for file in staged.files:
        by_partition[file.partition] = by_partition.get(file.partition, 0) + file.rows
    return Commit(
        version=version,
        mirror_version=mirrored,
        rows=staged.rows,
        files=len(staged.files),
        bytes=sum(file.size for file in staged.files),
        rows_by_partition=by_partition,
    )
