"""A governed lake table: one primary log, perhaps a mirror, one set of data files.

The life of one write: stage (files no reader looks at) → audit (exactly those bytes) →
commit (one version of the primary) → mirror (the other format follows). The laws it keeps
are listed in docs/architecture.md, "Laws of the lakehouse".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse import erased, flight, mirror, retention
from mcai_pipelines.lakehouse import expire as expiry
from mcai_pipelines.lakehouse.compact import Compaction, compact
from mcai_pipelines.lakehouse.compact_plan import MIN_FILES, TARGET_BYTES
from mcai_pipelines.lakehouse.compact_plan import Request as CompactRequest
from mcai_pipelines.lakehouse.errors import ReadOnlyTable, TableNotFound, VersionNotFound
from mcai_pipelines.lakehouse.failures import as_storage_error
from mcai_pipelines.lakehouse.files import Partition
from mcai_pipelines.lakehouse.merge import Merging, merge_keys
from mcai_pipelines.lakehouse.restore import restore
from mcai_pipelines.lakehouse.versions import Head, Log, Version
from mcai_pipelines.lakehouse.write import (
    AppendKey,
    Audit,
    Commit,
    Mode,
    WhenMatched,
    WriteRequest,
    Writing,
)

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.schema import Schema
    from mcai_pipelines.providers import TableStorage


class _Unset:
    """Marks an argument that was not given, where None means something."""


@dataclass(frozen=True)
class TableInfo:
    """A table in numbers.

    Attributes:
        version: Newest version's id, as the primary's format counts.
        committed_at: When it was made (UTC).
        rows: Live rows.
        files: Live data files.
        bytes: Size of the live data files.
        partitions: Distinct partition values; 0 for a table that is not partitioned.
        schema: Column name to type, as Iceberg names types.
        metadata_location: Newest Iceberg metadata file, where Iceberg is one of the formats.
    """

    version: int
    committed_at: dt.datetime
    rows: int
    files: int
    bytes: int
    partitions: int
    partition_by: tuple[str, ...]
    schema: Mapping[str, str]
    metadata_location: str | None


class Table:
    """One table at one site.

    Args:
        key: Its name in messages and in other tables' input versions, such as
            ``aws_us_east_1/transactions``.
        storage: Its root and catalog.
        primary: The log of record.
        mirror_log: The other format's log, if the contract asks for one.
        schema: What the contract asks for; None to take the table as it is (reading), or
            the first frame's columns (writing without a contract).
        partition_by: The contract's partition columns.
        source: What an error about the schema names: the contract's file.
        read_only: The table is adopted from elsewhere; writing and rolling back are refused.
        replica_of: Key of the table that this one copies; it is written by `replicate` alone.
        primary_key: The contract's key columns, by which a merge finds rows.
    """

    def __init__(
        self,
        key: str,
        storage: TableStorage,
        primary: Log,
        mirror_log: Log | None = None,
        schema: Schema | None = None,
        partition_by: Sequence[str] = (),
        source: str | None = None,
        read_only: bool = False,
        replica_of: str | None = None,
        primary_key: Sequence[str] = (),
    ) -> None:
        self.key = key
        self.storage = storage
        self.primary = primary
        self.mirror_log = mirror_log
        self.schema = schema
        self.partition_by = tuple(partition_by)
        self.source = source or key
        self.read_only = read_only
        self.replica_of = replica_of
        self.primary_key = tuple(primary_key)

    @property
    def formats(self) -> tuple[str, ...]:
        """The primary's format, then the mirror's."""
        return tuple(log.format for log in (self.primary, self.mirror_log) if log is not None)

    @property
    def has_delta(self) -> bool:
        """Whether Delta is one of the formats."""
        return "delta" in self.formats

    # ------------------------------------------------------------------ reading

    def head(self) -> Head:
        """The newest version of the primary.

        Raises:
            TableNotFound: There is none.
        """
        head = self.primary.head()
        if head is None or head.version is None:
            raise TableNotFound(
                f"table {self.key} has not been written yet at {self.storage.uri};"
                " materialize it first"
            )
        return head

    def scan(
        self,
        *,
        version: int | None = None,
        as_of: dt.datetime | None = None,
        format: str | None = None,
    ) -> pl.LazyFrame:
        """Read the table lazily; columns and predicates are pushed down to the files.

        Args:
            version: A version's id (`history`); the newest unless given.
            as_of: The version that was current at this time (UTC where it has no zone).
            format: ``iceberg`` or ``delta``: read the mirror instead of the primary, after
                it has caught up.

        Raises:
            TableNotFound: The table has not been written yet, or not in that format.
            VersionNotFound: The version does not exist, or has expired.
        """
        with as_storage_error(self.key, self.storage.site, "reading"):
            head = self.resolve(version=version, as_of=as_of, format=format)
            return self._log(format).scan(head)

    def scan_head(self, head: Head) -> pl.LazyFrame:
        """Read the primary at a head that `head` or `resolve` returned."""
        return self.primary.scan(head)

    def resolve(
        self,
        *,
        version: int | None = None,
        as_of: dt.datetime | None = None,
        format: str | None = None,
    ) -> Head:
        """The head that `scan` reads with the same arguments: a version that stays put."""
        if version is not None and as_of is not None:
            raise ValueError("give a version or a time, not both")
        log = self._log(format)
        head = self.head()
        if log is not self.primary:
            self.repair_mirror()
            head = log.head() or head
        with erased.explained(self, version=version, moment=as_of):
            if as_of is not None:
                version = self._version_at(log, as_of)
            return head if version is None or version == head.version else log.at(version)

    def _log(self, format: str | None) -> Log:
        for log in (self.primary, self.mirror_log):
            if log is not None and format in (None, log.format):
                return log
        raise TableNotFound(f"table {self.key} is kept as {', '.join(self.formats)}, not {format}")

    def _version_at(self, log: Log, moment: dt.datetime) -> int:
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        version = log.as_of(moment)
        if version is not None:
            return version.id
        oldest = min(log.versions(), key=lambda v: v.sequence, default=None)
        begins = f"; its history begins {oldest.committed_at.isoformat()}" if oldest else ""
        raise VersionNotFound(f"table {self.key} had no version at {moment.isoformat()}{begins}")

    def history(self) -> list[Version]:
        """Every retained version of the primary, newest first; undone ones included."""
        with as_storage_error(self.key, self.storage.site, "reading"):
            self.head()
            return list(self.primary.versions())

    def info(self) -> TableInfo:
        """The table in numbers, from its log alone."""
        with as_storage_error(self.key, self.storage.site, "reading"):
            head = self.head()
            assert head.version is not None
            files = head.files.values()
            return TableInfo(
                version=head.version,
                committed_at=self.primary.version(head.version).committed_at,
                rows=sum(file.rows for file in files),
                files=len(files),
                bytes=sum(file.size for file in files),
                partitions=len({file.partition for file in files}) if head.partition_by else 0,
                partition_by=head.partition_by,
                schema={field.name: str(field.field_type) for field in head.schema.fields},
                metadata_location=self._metadata_location(),
            )

    def _metadata_location(self) -> str | None:
        locations = (
            getattr(log, "metadata_location", None) for log in (self.primary, self.mirror_log)
        )
        return next((location for location in locations if location), None)

    # ------------------------------------------------------------------ writing

    def write(
        self,
        frame: pl.LazyFrame | pl.DataFrame,
        mode: Mode = "append",
        *,
        partitions: Sequence[Partition] | None = None,
        key: AppendKey | None = None,
        base: Head | type[_Unset] | None = _Unset,
        inputs: Mapping[str, int] | None = None,
        properties: Mapping[str, str] | None = None,
        audit: Audit | None = None,
        on_step: Callable[[str], None] | None = None,
        on: Sequence[str] | None = None,
        when_matched: WhenMatched = "update",
        deleted: str | None = None,
    ) -> Commit:
        """Stage a frame, audit it, and make it visible as one version.

        Streams: memory does not grow with the table.

        Args:
            frame: Its columns must fit the contract's (`fit`).
            mode: ``append``; ``overwrite`` (the whole table); ``overwrite_partitions``
                (exactly ``partitions``: one that the frame has no rows for is emptied);
                ``merge`` (by key: a row replaces every row of the table with its key, or is
                added). A merge holds the frame's keys in memory, rewrites the files that hold
                one and leaves every other as it is; an empty frame makes a version too.
            partitions: Tuples of values of the partition columns, in their order.
            key: Makes an append idempotent.
            base: The primary's head before the inputs were read (None: there was no table);
                an overwrite is stale if what it replaces has changed since. The head at the
                call unless given.
            inputs: Version read of each input table, recorded in the commit.
            properties: More to record in the commit; names start with ``mcai.``.
            audit: Called with the staged batch before the commit; raising keeps it invisible.
            on_step: Called with each name of `write.STEPS` as it is reached.
            on: Key columns of a merge; the contract's primary key unless given.
            when_matched: What a merge does with a row whose key the table has: ``update`` the
                table's, or ``ignore`` the row.
            deleted: Boolean column of the frame, and not of the table, by which a merge deletes
                keys: no row of a key that it marks true is in the table afterwards.

        Raises:
            SchemaMismatch: Frame, contract and table do not fit.
            UnusableKeys: Rows to merge have no key, or share one; the message says which.
            RowsOutsidePartitions: The frame has rows outside ``partitions``.
            StaleWrite: Since ``base``, what an overwrite replaces changed, a row with a key of a
                merge was added, changed or removed, or the schema changed (an append too);
                compute it again and write again. Compactions change nothing in this sense.
            CommitContention: Others kept committing first for two minutes.
            MirrorLagging: It is visible in the primary, and the mirror could not follow.
            StorageFailed: The storage failed; what was committed before is as it was.
        """
        self._refuse_if_adopted()
        if mode == "overwrite_partitions" and (partitions is None or not self.partition_by):
            raise ValueError(
                f"table {self.key}: overwrite_partitions needs a partitioned table, and the"
                " partitions to replace"
            )
        keys = merge_keys(self, mode, on, when_matched, deleted)
        if mode != "overwrite_partitions" and partitions is not None:
            raise ValueError(f"table {self.key}: partitions go with overwrite_partitions only")
        request = WriteRequest(
            mode=mode,
            partitions=frozenset(partitions) if partitions is not None else None,
            key=key,
            inputs=inputs,
            properties=properties or {},
            audit=audit,
            on_step=on_step or (lambda _name: None),
            merge=keys,
        )
        with as_storage_error(self.key, self.storage.site, "writing"):
            start = self.primary.head() if isinstance(base, type) else base
            if keys is not None:
                return Merging(self, request, start).run(frame)
            return Writing(self, request, start).run(frame.lazy())

    def compact(
        self,
        *,
        target_size: int = TARGET_BYTES,
        sort_by: Sequence[str] = (),
        partitions: Sequence[Partition] | None = None,
        min_files: int = MIN_FILES,
        dry_run: bool = False,
        properties: Mapping[str, str] | None = None,
        on_step: Callable[[str], None] | None = None,
        on_bin: Callable[[int, int], None] | None = None,
    ) -> Compaction:
        """Rewrite small files as few of a good size, in one version that changes no row.

        Streams. Whoever reads or appends meanwhile is not disturbed, and a write that it
        overtakes is not stale because of it; files that others replace meanwhile are left.

        Args:
            target_size: Bytes of a file; one of three quarters of it is left as it is.
            sort_by: Columns to sort the rows of each partition by, so that filters on them skip
                files. The rows of a partition that are not sorted yet are held in memory.
            partitions: Tuples of values of the partition columns; all unless given.
            min_files: How many small files are worth rewriting as one; those that are not
                sorted as asked for always are.
            dry_run: Change nothing and tell what would be rewritten.
            properties: More to record in the commit.
            on_step: Called with each name of `write.STEPS` as it is reached.
            on_bin: Called with the number of new files written, and how many there will be.

        Raises:
            TableNotFound: The table has not been written yet.
            SchemaMismatch: A column to sort by, or a partition, is none of the table.
            CompactionFailed: The new files hold other rows than the old; nothing was changed.
            MirrorLagging: It is visible in the primary, and the mirror could not follow.
        """
        self._refuse_if_adopted()
        request = CompactRequest(
            target_size=target_size,
            sort_by=tuple(sort_by),
            partitions=frozenset(partitions) if partitions is not None else None,
            min_files=min_files,
            properties=properties or {},
            on_step=on_step or (lambda _name: None),
            on_bin=on_bin or (lambda _done, _of: None),
        )
        with as_storage_error(self.key, self.storage.site, "compacting"):
            return compact(self, request, dry_run=dry_run)

    def rollback(self, version: int, *, properties: Mapping[str, str] | None = None) -> Commit:
        """Make an earlier version's rows visible again, as a new version.

        History keeps both: what was undone, and that it was undone. Columns added since stay.

        Args:
            version: A retained version's id.
            properties: More to record in the commit.

        Raises:
            VersionNotFound: The version does not exist, or has expired.
        """
        self._refuse_if_adopted()
        with (
            as_storage_error(self.key, self.storage.site, "rolling back"),
            erased.explained(self, version=version),
        ):
            return restore(self, version, properties or {})

    def as_head(self, head: Head) -> Table:
        """This table, declared as it is at a head: what a contract asks for changes nothing."""
        return Table(
            self.key,
            self.storage,
            self.primary,
            self.mirror_log,
            schema=head.schema,
            partition_by=head.partition_by,
            source=self.source,
            replica_of=self.replica_of,
            primary_key=self.primary_key,
        )

    def _refuse_if_adopted(self) -> None:
        if self.read_only:
            raise ReadOnlyTable(
                f"table {self.key} is adopted from {self.storage.uri} and only read;"
                " write it with the tool that owns it"
            )
        if self.replica_of is not None:
            raise ReadOnlyTable(
                f"table {self.key} at {self.storage.uri} is a replica of {self.replica_of}: write"
                " that one, and replicate it again"
            )

    def mirror_to(self, format: str) -> Version | None:
        """Publish the table in its other format too, from what its log says of its files.

        From then on this object's writes and reads keep the mirror; `Lake.mirror` remembers it
        for others. No data is read or written, but of an Iceberg table whose files were in part
        written before a column was widened or renamed: its rows are written anew first, in a
        version of their own, because Delta finds columns by name and type.

        Args:
            format: ``iceberg`` or ``delta``.

        Returns:
            The mirror's version; None where the table has not been written yet.

        Raises:
            BadInput: The table is kept in that format, or has a type that the format lacks.
            ReadOnlyTable: The table is adopted from elsewhere.
            UnsupportedTable, MirrorLagging: The mirror cannot follow; the message says why.
        """
        from mcai_pipelines.lakehouse.publish import publish

        if self.read_only:
            self._refuse_if_adopted()
        return publish(self, format)

    def repair_mirror(self) -> Version | None:
        """Bring the mirror, if there is one, to the primary's newest version."""
        if self.mirror_log is None:
            return None
        return mirror.follow(self.primary, self.mirror_log, table=self.key, site=self.storage.site)

    def expire(
        self,
        *,
        keep: int = retention.KEEP,
        older_than: dt.timedelta = retention.OLDER_THAN,
        dry_run: bool = False,
        on_step: Callable[[str], None] | None = None,
    ) -> expiry.Expiry:
        """Forget old versions in both formats, and delete the files that only they showed.

        A file goes only when no retained version of either format, no pinned version and no
        running write refers to it. One version is committed that changes no row.

        Args:
            keep: Versions that are kept however old they are, those of expiries not counted.
            older_than: Versions that were current within this time are kept too. Nobody may be
                reading an older one.
            dry_run: Change nothing and tell what would be done.
            on_step: Called with each name of `expire.STEPS` as it is reached.

        Raises:
            TableNotFound: The table has not been written yet.
            MirrorLagging: The mirror could not catch up, so nothing was expired.
            CommitContention: Others kept committing first for two minutes.
            ReadOnlyTable: It is adopted from elsewhere.
        """
        if self.read_only:
            self._refuse_if_adopted()
        return expiry.expire(
            self,
            keep=keep,
            older_than=older_than,
            dry_run=dry_run,
            on_step=on_step or (lambda _name: None),
        )

    def sweep(self) -> int:
        """Delete what killed writers staged and will never commit; returns files deleted."""
        return flight.sweep(self.storage, lambda: list(self.primary.versions()))
