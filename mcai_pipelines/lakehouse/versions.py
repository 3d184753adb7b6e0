"""What a table's past looks like, and how a format's log is asked and extended.

A `Log` is one format's log of one table: Iceberg's or Delta's. `Table` drives two of them,
the primary and the mirror, through this face alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import takewhile
from typing import TYPE_CHECKING, Protocol

from mcai_pipelines.lakehouse.errors import HistoryExpired, VersionNotFound

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.evolve import Evolution
    from mcai_pipelines.lakehouse.files import DataFile
    from mcai_pipelines.lakehouse.schema import Schema

BATCH = "mcai.batch"
"""Commit property: the id of the staged batch, unique to one attempt to write."""
KEY = "mcai.key"
"""Commit property: an append's idempotency key."""
SOURCE = "mcai.source-version"
"""Commit property of a mirror: the primary version that it shows."""
REPLICA_OF = "mcai.replica-of"
"""Commit property of a replica: the key of the table that it copies."""
REPLICA_SITE = "mcai.replica-site"
"""Commit property of a replica: the site of the table that it copies."""
REPLICA_VERSION = "mcai.replica-version"
"""Commit property of a replica: the source's version that it shows."""
OPERATION = "mcai.operation"
"""Commit property: what was done, where the format has no word of its own for it."""
REPLICA_MADE = "mcai.replica-made"
"""Commit property of a replica: when that version was made; another table may reuse its number."""
REPLICA_PROPERTIES = frozenset({REPLICA_OF, REPLICA_SITE, REPLICA_VERSION, REPLICA_MADE})
"""What every version of a replica says."""
RESTORED = "mcai.restored-version"
"""Commit property of a rollback: the version whose content is visible again."""
CONTENT = "mcai.content-version"
"""Commit property of a compaction: the version whose rows it shows in other files."""
INPUTS = "mcai.inputs"
"""Commit property: JSON of input table key to the version that was read."""
CODE_VERSION = "mcai.code-version"
"""Commit property: the version of the code that computed the rows."""


@dataclass(frozen=True)
class Version:
    """One commit of a table.

    Attributes:
        id: Delta's version number, or Iceberg's snapshot id.
        sequence: 0, 1, 2 … for Delta; Iceberg's sequence number (from 1).
        committed_at: UTC.
        operation: As the format's log calls it.
        properties: What the writer recorded; ours start with ``mcai.``.
        parent: The version it was made on, if any and still known.
    """

    id: int
    sequence: int
    committed_at: dt.datetime
    operation: str
    properties: Mapping[str, str]
    parent: int | None

    @property
    def before(self) -> int | None:
        """The version whose content this one continues: a rollback's target, or the parent."""
        restored = self.properties.get(RESTORED)
        return int(restored) if restored is not None else self.parent

    @property
    def continues_expired(self) -> bool:
        """Whether it continues a version at all, if that is not retained any more."""
        return self.before is not None or self.sequence > 1  # Iceberg's first is number 1

    @property
    def is_compaction(self) -> bool:
        """Whether it changed files and no row, whoever made it.

        Delta's ``OPTIMIZE``; Iceberg's ``replace`` (specification, "Snapshots").
        """
        return CONTENT in self.properties or self.operation in ("optimize", "replace")

    @property
    def content(self) -> int:
        """The version that first showed its rows; its own id, unless it is a compaction of ours.

        What is computed from a table depends on this, and not on the files that hold the rows.
        """
        return int(self.properties.get(CONTENT, self.id))

    @property
    def carried(self) -> dict[str, str]:
        """What a version made on this one that changes no row says of the rows again."""
        kept = {INPUTS, CODE_VERSION, *REPLICA_PROPERTIES} & self.properties.keys()
        return {CONTENT: str(self.content), **{name: self.properties[name] for name in kept}}


@dataclass(frozen=True)
class Head:
    """A table at one version.

    Attributes:
        version: None for a table that exists and has no version yet.
        schema: With field ids.
        partition_by: Names of the partition columns, in order.
        list_files: Reads the live data files from the log, when first needed.
        handle: The library's own object, for the log that made this head.
    """

    version: int | None
    schema: Schema
    partition_by: tuple[str, ...]
    list_files: Callable[[], dict[str, DataFile]]
    handle: object

    @cached_property
    def files(self) -> dict[str, DataFile]:
        """The live data files by path."""
        return self.list_files()


@dataclass(frozen=True)
class Change:
    """What one commit does: one visible change is one version.

    Attributes:
        operation: ``append``, ``overwrite``, ``merge``, ``compact``, ``rollback``, ``mirror`` or
            ``replicate``.
        schema: The schema after it.
        partition_by: The table's partition columns.
        evolution: What changes in the schema; None for a new table.
        added: Files that become visible.
        removed: Files that stop being visible.
        properties: Recorded in the commit.
    """

    operation: str
    schema: Schema
    partition_by: tuple[str, ...]
    evolution: Evolution | None = None
    added: Sequence[DataFile] = ()
    removed: Sequence[DataFile] = ()
    properties: Mapping[str, str] = field(default_factory=dict)


class Log(Protocol):
    """One format's log of one table."""

    format: str

    def head(self) -> Head | None:
        """The newest version, freshly loaded; None where there is no table."""
        ...

    def at(self, version: int) -> Head:
        """The table as of a version.

        Raises:
            VersionNotFound: It does not exist, or has expired.
        """
        ...

    def version(self, id: int) -> Version:
        """One commit's description.

        Raises:
            VersionNotFound: It does not exist, or has expired.
        """
        ...

    def versions(self) -> Iterator[Version]:
        """Every retained commit, newest first, undone ones included."""
        ...

    def as_of(self, moment: dt.datetime) -> Version | None:
        """The version that was current at a time (UTC); None if there was none yet."""
        ...

    def commit(self, base: Head | None, change: Change) -> Version:
        """Make the change visible as the one version after ``base``, or not at all.

        Raises:
            CommitConflict: Somebody else made the version after ``base``.
        """
        ...

    def scan(self, head: Head) -> pl.LazyFrame:
        """Read the table at a version, with pushdown of columns and predicates."""
        ...

    def not_by_name(self, head: Head) -> set[str]:
        """Paths of live files whose columns are not found by the table's names and types.

        Iceberg finds columns by field id and reads narrower types as the table's; Delta does
        neither.
        """
        ...


def lineage(log: Log, head: int | None) -> Iterator[Version]:
    """The versions whose content led to ``head``, newest first.

    A rollback continues what it restored, so the versions that it undid are not among them.
    The walk ends where the log has expired.
    """
    seen: set[int] = set()
    while head is not None and head not in seen:
        seen.add(head)
        try:
            version = log.version(head)
        except VersionNotFound:
            return
        yield version
        head = version.before


def versions_since(log: Log, head: Head | None) -> Iterator[Version]:
    """The commits made after a head was loaded, newest first, undone ones included."""
    try:
        known = -1 if head is None or head.version is None else log.version(head.version).sequence
    except VersionNotFound:
        known = -1  # it has expired, so whatever is retained is newer
    yield from takewhile(lambda version: version.sequence > known, log.versions())


def find_batch(log: Log, head: Head | None, batch: str) -> Version | None:
    """The commit of a staged batch, if it landed after a head was loaded.

    One that was undone since counts: versions that are still retained show its files.
    """
    found = (v for v in versions_since(log, head) if v.properties.get(BATCH) == batch)
    return next(found, None)


def find_commit(
    log: Log, head: int | None, name: str, value: str, since: dt.datetime | None = None
) -> Version | None:
    """The commit in the current lineage whose property ``name`` equals ``value``.

    Args:
        log: The primary's log.
        head: Where to start.
        name: ``BATCH`` or ``KEY``.
        value: What it must equal.
        since: No commit older than this can match (the run that makes the key did not exist);
            the walk ends there.

    Raises:
        HistoryExpired: The log has forgotten commits that were made after ``since``.
    """
    oldest: Version | None = None
    for version in lineage(log, head):
        if version.properties.get(name) == value:
            return version
        if since is not None and version.committed_at < since:
            return None
        oldest = version
    if since is not None and oldest is not None and oldest.continues_expired:
        raise HistoryExpired(
            f"what was committed between {since:%Y-%m-%d %H:%M:%S} UTC, when this run began, and"
            f" {oldest.committed_at:%Y-%m-%d %H:%M:%S} UTC has expired or was erased, so whether"
            " this append was made then cannot be told; look whether its rows are there, and start"
            " a new run if they are not"
        )
    return None
