"""Expiring: old versions leave the logs of both formats, then the files that only they showed.

The order makes it safe against whoever works on the table meanwhile, and against a kill at any
point:

1. A note, ``_expiry/unfinished``, says that an expiry has begun, for the next one to complete.
2. What is there is listed.
3. The logs forget the old versions.
4. One version more is committed, which changes nothing. A rollback to a forgotten version,
   and any other commit that was prepared before, now conflicts, and looks at the log anew.
5. What the logs refer to is read afresh, and what batches are in flight. What was listed and is
   neither was needed by no one and can never be again: it is deleted.
6. The note goes.
"""

from __future__ import annotations

import datetime as dt
import json
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse import flight, pins
from mcai_pipelines.lakehouse.commit import COMMIT_SECONDS
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.errors import CommitConflict, CommitContention, VersionNotFound
from mcai_pipelines.lakehouse.expire_delta import ExpiringDelta
from mcai_pipelines.lakehouse.expire_files import Found, Unneeded, delete_files, listed, unneeded
from mcai_pipelines.lakehouse.expire_iceberg import ExpiringIceberg
from mcai_pipelines.lakehouse.expire_log import ExpiringLog, References
from mcai_pipelines.lakehouse.failures import as_storage_error
from mcai_pipelines.lakehouse.fence import EXPIRY, contended, fence
from mcai_pipelines.lakehouse.publish import open_log
from mcai_pipelines.lakehouse.retention import KEEP, OLDER_THAN, following, retained
from mcai_pipelines.lakehouse.versions import Log

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.providers import TableStorage

SAFE_AGE = dt.timedelta(days=1)
"""Files of no known batch are spared for so long: another tool may be about to commit them."""

_NOTE = "_expiry/unfinished"
_ATTEMPTS = 5

OnStep = Callable[[str], None]
STEPS = ("noted", "listed", "forgotten", "fenced", "deleted", "done")
"""The named points of an expiry, in order."""


@dataclass(frozen=True)
class Expiry:
    """What an expiry did, or would do.

    Attributes:
        expired: Versions forgotten, by format.
        retained: Versions kept, by format.
        files: Files deleted, by kind.
        bytes: Their size, by kind.
        kept: Files that no version refers to and that were kept, by the reason.
        dry_run: Nothing was changed.
    """

    expired: Mapping[str, int]
    retained: Mapping[str, int]
    files: Mapping[str, int]
    bytes: Mapping[str, int]
    kept: Mapping[str, int] = field(default_factory=dict)
    dry_run: bool = False

    @property
    def reclaimed(self) -> int:
        """Bytes that the deleted files had."""
        return sum(self.bytes.values())


def expire(
    table: Table,
    *,
    keep: int = KEEP,
    older_than: dt.timedelta = OLDER_THAN,
    safe_age: dt.timedelta = SAFE_AGE,
    regardless: bool = False,
    dry_run: bool = False,
    on_step: OnStep = lambda _name: None,
) -> Expiry:
    """See `Table.expire`.

    Args:
        table: The table.
        keep: See there.
        older_than: See there.
        safe_age: Files of unknown origin that are younger are spared.
        regardless: Neither running writes nor pins keep a version: for erasure.
        dry_run: See there.
        on_step: See there.
    """
    if keep < 1:
        raise ValueError("keep at least one version")
    if older_than < dt.timedelta(0) or safe_age < dt.timedelta(0):
        raise ValueError("an age is not negative")
    expiring = Expiring(table, keep, older_than, safe_age, regardless, on_step)
    with as_storage_error(table.key, table.storage.site, "expiring"):
        table.head()
        if dry_run:
            return expiring.rehearse()
        table.repair_mirror()
        table.sweep()
        return expiring.run()


class Expiring:
    """One expiry in progress; see `Table.expire` for the arguments."""

    def __init__(
        self,
        table: Table,
        keep: int,
        older_than: dt.timedelta,
        safe_age: dt.timedelta,
        regardless: bool,
        on_step: OnStep,
    ) -> None:
        self._table = table
        self._keep = keep
        self._older_than = older_than
        self._safe_age = safe_age
        self._regardless = regardless
        self._on_step = on_step
        self._now = dt.datetime.now(dt.UTC)
        self._logs = [log for log in (table.primary, table.mirror_log) if log is not None]
        self._expiring = [_expiring(log, table.storage) for log in self._logs]
        other = undeclared(table)
        # A log that the table is not opened with keeps all of its versions.
        self._kept = [_expiring(other, table.storage)] if other is not None else []

    # ------------------------------------------------------------------ carrying it through

    def rehearse(self) -> Expiry:
        """What `run` would do now; files that a fence makes deletable count by their age."""
        old, kept = self._choose()
        references, gone = self._references(old), set[str]()
        for log, versions in zip(self._expiring, old, strict=True):
            gone |= log.superseded(versions)
        found = listed(self._table.storage)
        dead = self._unneeded(found, references, fenced=any(old))
        return self._describe(old, kept, dead, [f for f in found if f.path in gone], True)

    def run(self) -> Expiry:
        """Forget, fence and delete."""
        old, kept = self._choose()
        must = any(old) or self._is_unfinished()
        if must:
            self._note()
        self._on_step("noted")
        found = listed(self._table.storage)
        self._on_step("listed")
        gone: set[str] = set()
        if must:
            old, kept, gone = self._forget()
            self._on_step("forgotten")
            fence(self._table, EXPIRY)
            self._on_step("fenced")
        dead = self._unneeded(found, self._references(), fenced=must)
        if any(pins.versions(self._table.storage) & ids for ids in old) and not self._regardless:
            dead = Unneeded(kept={"a reader has pinned an expired version": len(dead.files)})
            must = False  # the next expiry completes this one
        delete_files(self._table.storage, dead.files)
        self._on_step("deleted")
        if must:
            pins.clear(self._table.storage)
            flight.delete(self._table.storage, [_NOTE])
        self._on_step("done")
        return self._describe(old, kept, dead, [f for f in found if f.path in gone], False)

    def _forget(self) -> tuple[list[set[int]], list[int], set[str]]:
        """Make the logs forget; others may commit meanwhile, and then the choice is made anew."""
        deadline = time.monotonic() + COMMIT_SECONDS
        forgotten: list[set[int]] = [set() for _ in self._logs]
        gone: set[str] = set()
        while True:
            old, kept = self._choose()
            for known, more in zip(forgotten, old, strict=True):
                known |= more
            try:
                # The mirror first: it must never show a version that its primary forgot.
                for log, versions in reversed(list(zip(self._expiring, old, strict=True))):
                    gone |= log.superseded(versions)
                    log.forget(versions)
                return forgotten, kept, gone
            except CommitConflict:
                if time.monotonic() > deadline:
                    raise CommitContention(contended(self._table.key)) from None
            time.sleep(random.uniform(0, 0.1))

    def _references(self, without: Sequence[Collection[int]] = ()) -> References:
        """What all logs refer to; another expiry may take away what is just being read."""
        for attempt in range(_ATTEMPTS):
            found = References()
            try:
                for log in self._kept:
                    found |= log.references()
                for place, log in enumerate(self._expiring):
                    found |= log.references(without[place] if without else ())
                return found
            except (FileNotFoundError, VersionNotFound):
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0, 0.1))
        raise AssertionError("unreachable")

    def _note(self) -> None:
        import obstore

        body = json.dumps({"began": self._now.isoformat()}).encode()
        obstore.put(self._table.storage.store, _NOTE, body)

    def _is_unfinished(self) -> bool:
        import obstore

        try:
            obstore.head(self._table.storage.store, _NOTE)
        except FileNotFoundError:
            return False
        return True

    # ------------------------------------------------------------------ choosing

    def _choose(self) -> tuple[list[set[int]], list[int]]:
        """Versions to forget, and the number of those to keep, for each log."""
        storage = self._table.storage
        floor = self._now - self._older_than
        pinned: set[int] = set()
        if not self._regardless:
            pinned = pins.versions(storage)
            # A running write reads what was current when it began.
            floor = min(floor, pins.oldest_writer(storage) or floor)
        primary, *mirror = (list(log.versions()) for log in self._logs)
        named = pinned | self._expiring[0].protected()
        keep = retained(primary, self._keep, floor, named, self._expiring[0].gaps)
        chosen = [(primary, keep)]
        for versions in mirror:
            named = pinned | self._expiring[1].protected()
            chosen.append((versions, following(versions, keep, named, self._expiring[1].gaps)))
        return (
            [{v.id for v in versions} - kept for versions, kept in chosen],
            [len(kept) for _, kept in chosen],
        )

    def _unneeded(self, found: Sequence[Found], refs: References, *, fenced: bool) -> Unneeded:
        return unneeded(
            self._table.storage,
            found,
            refs,
            fenced=self._table.formats if fenced else (),
            older_than=self._before(self._older_than),
            safe=self._before(self._safe_age),
        )

    def _before(self, age: dt.timedelta) -> dt.datetime:
        """The time so long ago; no age at all includes what a clock ahead of ours has dated."""
        return self._now - age if age else dt.datetime.max.replace(tzinfo=dt.UTC)

    def _describe(
        self,
        old: Sequence[Collection[int]],
        retained: Sequence[int],
        dead: Unneeded,
        gone: Sequence[Found],
        dry_run: bool,
    ) -> Expiry:
        formats = [log.format for log in self._logs]
        files: dict[str, int] = {}
        size: dict[str, int] = {}
        for file in (*dead.files, *gone):
            files[file.kind] = files.get(file.kind, 0) + 1
            size[file.kind] = size.get(file.kind, 0) + file.size
        return Expiry(
            expired={name: len(ids) for name, ids in zip(formats, old, strict=True)},
            retained=dict(zip(formats, retained, strict=True)),
            files=files,
            bytes=size,
            kept=dead.kept,
            dry_run=dry_run,
        )


def _expiring(log: Log, storage: TableStorage) -> ExpiringLog:
    return ExpiringDelta(storage, log) if isinstance(log, DeltaLog) else ExpiringIceberg(storage)


def undeclared(table: Table) -> Log | None:
    """The log of the other format, where there is one that the table is not opened with.

    A contract may have lost its mirror, or another process publishes the table just now.
    """
    for format in {"iceberg", "delta"} - set(table.formats):
        log = open_log(format, table.storage)
        with suppress(BadInput):  # the site has no Iceberg catalog
            return log if log.head() is not None else None
    return None
