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

from mcai_pipelines.lakehouse.errors import VersionNotFound

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
RESTORED = "mcai.restored-version"
"""Commit property of a rollback: the version whose content is visible again."""
INPUTS = "mcai.inputs"
"""Commit property: JSON of input table key to the version that was read."""


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
        operation: ``append``, ``overwrite``, ``rollback`` or ``mirror``.
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
    if head is None or head.version is None:
        yield from log.versions()
        return
    known = log.version(head.version).sequence
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
    """
    for version in lineage(log, head):
        if version.properties.get(name) == value:
            return version
        if since is not None and version.committed_at < since:
            return None
    return None
