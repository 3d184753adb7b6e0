"""The write protocol: stage → audit → commit → mirror, for one write of one table."""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse import flight, partitions, stage
from mcai_pipelines.lakehouse.errors import (
    CommitConflict,
    CommitContention,
    RowsOutsidePartitions,
    SchemaMismatch,
    StaleWrite,
)
from mcai_pipelines.lakehouse.evolve import Evolution, merge_inferred, plan_evolution
from mcai_pipelines.lakehouse.files import DataFile, Partition
from mcai_pipelines.lakehouse.fit import explained, fit
from mcai_pipelines.lakehouse.schema import delta_schema_json, from_polars
from mcai_pipelines.lakehouse.versions import (
    BATCH,
    INPUTS,
    KEY,
    Change,
    Head,
    Version,
    find_batch,
    find_commit,
    versions_since,
)

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.schema import Schema
    from mcai_pipelines.lakehouse.table import Table

Mode: TypeAlias = Literal["append", "overwrite", "overwrite_partitions"]
Audit: TypeAlias = Callable[[stage.StagedBatch], None]

COMMIT_SECONDS = 120.0
"""How long the commit loop keeps trying while others commit first."""

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
    """

    version: Version
    mirror_version: Version | None = None
    rows: int = 0
    files: int = 0
    bytes: int = 0
    rows_by_partition: Mapping[Partition, int] = field(default_factory=dict)
    repeated: bool = False


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
        self._tried: list[Head | None] = []

    def run(self, frame: pl.LazyFrame) -> Commit:
        """Carry the write through; see `Table.write` for what it raises."""
        repeated = self._made_before(self._base)
        if repeated is not None:
            mirrored = self._table.repair_mirror()
            self._table.sweep()
            return Commit(repeated, mirrored, repeated=True)
        evolution = self._plan(frame)
        if self._must_widen(evolution):
            evolution = self._widen(evolution)
        return self._carry(frame, evolution)

    def _carry(self, frame: pl.LazyFrame, evolution: Evolution) -> Commit:
        schema, where = evolution.schema, self._table.source
        fitted = fit(frame, schema, where=where)
        columns, wanted = self._table.partition_by, self._request.partitions
        if self._table.has_delta:
            delta_schema_json(schema)  # raises before anything is committed
        partitions.check_columns(schema, columns, where=where)
        partitions.check_wanted(schema, columns, wanted or (), where=where)
        step = self._request.on_step
        with flight.in_flight(self._table.storage, self._batch, self._fate):
            step("staging")
            with explained(frame, schema, where=where):
                staged = self._stage(fitted, schema)
            version = self._commit(staged, evolution)
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

    def _made_before(self, head: Head | None) -> Version | None:
        key = self._request.key
        if key is None or head is None:
            return None
        return find_commit(self._table.primary, head.version, KEY, key.value, key.since)

    def _landed(self) -> Version | None:
        return find_batch(self._table.primary, self._base, self._batch)

    def _fate(self) -> flight.Fate:
        """Whether the batch's commit landed, or still may.

        It cannot land any more once another version was made after the head that it was tried
        on.
        """
        if not self._tried:
            return flight.Fate(landed=False)
        if self._landed() is not None:
            return flight.Fate(landed=True)
        primary, last = self._table.primary, self._tried[-1]
        if next(versions_since(primary, last), None) is not None:
            return flight.Fate(landed=False)
        known = last.version if last is not None else None
        sequence = primary.version(known).sequence if known is not None else -1
        return flight.Fate(landed=False, doubtful_after=sequence)

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
        return (
            bool(evolution.widened)
            and self._table.has_delta
            and self._request.mode != "overwrite"
            and self._base is not None
            and bool(self._base.files)
        )

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

    # ------------------------------------------------------------------ stage and commit

    def _stage(self, fitted: pl.LazyFrame, schema: Schema) -> stage.StagedBatch:
        storage = self._table.storage
        staged = stage.stage(
            fitted,
            schema,
            self._table.partition_by,
            storage,
            self._batch,
            where=self._table.source,
        )
        self._request.on_step("staged")
        if self._request.partitions is not None:
            _refuse_rows_outside(self._table, staged, self._request.partitions)
        if self._request.audit is not None:
            self._request.audit(staged)
        self._request.on_step("audited")
        return staged

    def _commit(self, staged: stage.StagedBatch, evolution: Evolution) -> Version:
        head = self._base
        deadline = time.monotonic() + COMMIT_SECONDS
        delay = 0.02
        while True:
            change = self._change(head, staged, evolution)
            self._tried.append(head)
            try:
                return self._table.primary.commit(head, change)
            except CommitConflict:
                if time.monotonic() > deadline:
                    raise CommitContention(
                        f"table {self._table.key}: others kept committing first for"
                        f" {COMMIT_SECONDS:.0f} s; run again when fewer write at once"
                    ) from None
            except McaiError:  # refused before it was tried
                self._tried.pop()
                raise
            except Exception:
                # It failed, or it succeeded and its answer was lost: the log knows.
                landed = self._landed()
                if landed is not None:
                    return landed
                raise
            time.sleep(random.uniform(0, delay))
            delay = min(delay * 2, 1.0)
            # A conflict may be with this commit itself, where a lost answer made the storage's
            # client try again.
            landed = self._landed()
            if landed is not None:
                return landed
            head = self._table.primary.head()
            repeated = self._made_before(head)
            if repeated is not None:
                return repeated

    def _change(self, head: Head | None, staged: stage.StagedBatch, evolution: Evolution) -> Change:
        if head is not self._base and head is not None:
            evolution = self._rebase(head, evolution)
        return Change(
            operation="append" if self._request.mode == "append" else "overwrite",
            schema=evolution.schema,
            partition_by=self._table.partition_by,
            evolution=evolution,
            added=staged.files,
            removed=self._replaced(head),
            properties=self._properties(),
        )

    def _properties(self) -> dict[str, str]:
        recorded = {**self._request.properties, BATCH: self._batch}
        if self._request.key is not None:
            recorded[KEY] = self._request.key.value
        if self._request.inputs is not None:
            recorded[INPUTS] = json.dumps(dict(self._request.inputs), sort_keys=True)
        return recorded

    def _replaced(self, head: Head | None) -> list[DataFile]:
        """The live files that this write makes invisible."""
        if head is None or self._request.mode == "append":
            return []
        wanted = self._request.partitions
        return [f for f in head.files.values() if wanted is None or f.partition in wanted]

    def _rebase(self, head: Head, evolution: Evolution) -> Evolution:
        """The evolution from a newer head, if the staged files are still right for it.

        Raises:
            StaleWrite: The schema, or what this write replaces, has changed since the base.
        """
        try:
            again = plan_evolution(head.schema, evolution.schema, where=self._table.source)
        except SchemaMismatch:
            again = None
        if (
            again is None
            or again.schema.fields != evolution.schema.fields
            or head.partition_by != self._table.partition_by
        ):
            raise StaleWrite(
                f"table {self._table.key}: its schema changed during the write;"
                " compute it again and write again"
            )
        before = {file.path for file in self._replaced(self._base)}
        if before != {file.path for file in self._replaced(head)}:
            raise StaleWrite(
                f"table {self._table.key}: what this write replaces was changed by version"
                f" {head.version}; compute it again and write again"
            )
        return again


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
