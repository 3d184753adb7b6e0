"""What an erasure finds and what it does, in plain data; the subject's key is in none of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.erase_table import Removal


@dataclass(frozen=True)
class Holding:
    """A table that holds the subject.

    Attributes:
        table: Its key in the lake.
        site: Where it is.
        formats: Its primary's, then its mirror's.
        column: The column that holds the subject's key.
        rows: The subject's live rows.
        files: Live files that hold them.
        old_files: Files that only old versions, or no version, show, and that hold it.
        log_objects: Log objects that repeat the key of such a file.
        replica_of: The table that this one copies.
    """

    table: str
    site: str
    formats: tuple[str, ...]
    column: str
    rows: int
    files: int
    old_files: int
    log_objects: int
    replica_of: str | None = None


@dataclass(frozen=True)
class Foreign:
    """An adopted table that holds the subject: its owner has to erase it."""

    table: str
    site: str
    uri: str
    column: str
    rows: int


@dataclass(frozen=True)
class Aggregate:
    """A table made from the subject's rows that does not have its key.

    Attributes:
        table: Its key in the lake.
        version: Its newest version.
        rows: Its live rows, any of which may contain the subject's share.
        inputs: Key of each input that leads to the subject, to the versions of it that retained
            versions were made from.
    """

    table: str
    version: int | None
    rows: int
    inputs: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Plan:
    """What an erasure would remove.

    Attributes:
        column: The column that the user named.
        searched: Tables that were looked into.
        holdings: Tables that hold the subject.
        foreign: Adopted tables that hold it: not ours to erase.
        quarantined: Site to the quarantined files that hold it.
        aggregates: What remains in tables made from it.
        failed: Table or site to the reason why it could not be looked into.
    """

    column: str
    searched: Sequence[str]
    holdings: Sequence[Holding]
    foreign: Sequence[Foreign]
    quarantined: Mapping[str, Sequence[str]]
    aggregates: Sequence[Aggregate]
    failed: Mapping[str, str]

    @property
    def found(self) -> bool:
        """Whether there is anything to remove."""
        return bool(self.holdings or any(self.quarantined.values()))


@dataclass(frozen=True)
class Report:
    """What an erasure did.

    Attributes:
        id: Of the erasure.
        began: UTC.
        ended: UTC.
        reason: What the user gave for it.
        plan: What was found.
        removed: Table to what was removed from it.
        quarantined: Site to the number of quarantined files that were deleted.
        failed: Table or site to the reason why it was not, or not wholly, erased.
    """

    id: str
    began: dt.datetime
    ended: dt.datetime
    reason: str
    plan: Plan
    removed: Mapping[str, Removal] = field(default_factory=dict)
    quarantined: Mapping[str, int] = field(default_factory=dict)
    failed: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether nothing of ours holds the subject any more."""
        return not self.failed
