"""Replicas: a table copied to another site, either format to either, file by file.

A replica shows one version of its source. Only the files that it lacks are copied, byte for
byte; then one commit makes them visible and the ones that the source no longer shows
invisible, so that removals, compactions, overwrites, rollbacks and new columns all arrive as
the same difference of two sets of files. Its commit records which version of the source it
shows, and is based on a replica version that was loaded *before* the source's head: whoever
was overtaken in between conflicts and looks again, so a replica never moves backwards.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse import flight
from mcai_pipelines.lakehouse.copying import Place
from mcai_pipelines.lakehouse.errors import (
    CommitConflict,
    CommitContention,
    ReplicaDiverged,
    SchemaMismatch,
    TableNotFound,
    UnsupportedTable,
)
from mcai_pipelines.lakehouse.evolve import plan_evolution
from mcai_pipelines.lakehouse.failures import StorageFailed, as_storage_error
from mcai_pipelines.lakehouse.iceberg import IcebergLog
from mcai_pipelines.lakehouse.pins import pinned
from mcai_pipelines.lakehouse.schema import delta_schema_json
from mcai_pipelines.lakehouse.transfer import Progress, Transfer
from mcai_pipelines.lakehouse.versions import (
    BATCH,
    REPLICA_MADE,
    REPLICA_OF,
    REPLICA_SITE,
    REPLICA_VERSION,
    Change,
    Head,
    Version,
    find_batch,
)

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.files import DataFile
    from mcai_pipelines.lakehouse.table import Table

STREAMS = 8
"""Files copied at once."""

REPLICATE_SECONDS = 120.0
"""How long a replication keeps looking again while others commit to the replica first."""


@dataclass(frozen=True)
class Replication:
    """What a replication did.

    Attributes:
        version: Of the replica's primary.
        mirror_version: Of the replica's mirror, if it has one.
        source_version: The version of the source that it shows.
        files_copied: Files whose bytes were copied.
        bytes_copied: Their size.
        files_reused: Files of the source's version that the replica's storage had already.
        bytes_reused: Their size.
        files_repaired: Files that were there damaged and were copied anew.
        files_removed: Files that the replica showed and the source's version does not.
        seconds: How long it took.
        unchanged: The replica showed that version already; nothing was done.
    """

    version: Version
    mirror_version: Version | None
    source_version: int
    files_copied: int = 0
    bytes_copied: int = 0
    files_reused: int = 0
    bytes_reused: int = 0
    files_repaired: int = 0
    files_removed: int = 0
    seconds: float = 0.0
    unchanged: bool = False


@dataclass(frozen=True)
class ReplicaRequest:
    """The arguments of `replicate`.

    Attributes:
        site: The source's site, recorded in the replica's commit.
        streams: Files copied at once.
        force: Show the source again where somebody else wrote to the replica.
        verify: Read the whole replica again, and copy anew what is not as it was copied.
        properties: More to record in the commit; names start with ``mcai.``.
        on_progress: Called as files arrive, from several threads, one at a time.
    """

    site: str = ""
    streams: int = STREAMS
    force: bool = False
    verify: bool = False
    properties: Mapping[str, str] = field(default_factory=dict)
    on_progress: Callable[[Progress], None] = lambda _progress: None


def replicate(source: Table, target: Table, request: ReplicaRequest | None = None) -> Replication:
    """Make a table at another site show what the source shows.

    An unchanged source costs a look at two logs. A killed replication is resumed by the next:
    what it had copied is not copied again.

    Args:
        source: Where from; may be an adopted table.
        target: Where to: a replica of the same source, or a table not there yet.
        request: How; see `ReplicaRequest`.

    Raises:
        TableNotFound: The source has not been written yet.
        ReplicaDiverged: The target is no replica of the source, or somebody wrote to it.
        UnsupportedTable: The source's files alone do not tell its rows, or not in the
            target's format.
        SchemaMismatch: The target's format lacks a type, or the source's schema changed in a
            way that readers of the replica cannot follow.
        CopyFailed: A file is damaged at the source, or arrives damaged time and again.
        StorageFailed: The source or the target failed; the last version there is as it was.
        CommitContention: Others kept committing to the replica.
    """
    with as_storage_error(target.key, target.storage.site, "replicating"):
        return _Replicating(source, target, request or ReplicaRequest()).run()


class _Replicating:
    def __init__(self, source: Table, target: Table, request: ReplicaRequest) -> None:
        self._source = source
        self._target = target
        self._request = request
        self._batch = flight.new_batch_id()
        self._begun = time.monotonic()
        self._copying: int | None = None

    def run(self) -> Replication:
        deadline = self._begun + REPLICATE_SECONDS
        lacking: int | None = None
        while True:
            try:
                return self._once()
            except CommitConflict as error:  # somebody else replicates it too
                if time.monotonic() > deadline:
                    raise self._overtaken() from error
            except FileNotFoundError as error:  # the source expired what was being copied
                if lacking == self._copying:
                    raise self._lacks(error) from error
                lacking = self._copying
            time.sleep(random.uniform(0.01, 0.2))

    @staticmethod
    def _at(table: Table) -> AbstractContextManager[None]:
        return as_storage_error(table.key, table.storage.site, "replicating")

    def _once(self) -> Replication:
        with self._at(self._target):
            shown = self._target.primary.head()
            last = self._last_replication(shown)
        with self._at(self._source):
            truth = self._source.primary.head()
        if truth is None or truth.version is None:
            raise TableNotFound(
                f"table {self._source.key} has not been written yet at"
                f" {self._source.storage.uri}; materialize it first"
            )
        with self._at(self._source):
            made = self._source.primary.version(truth.version).committed_at.isoformat()
        if last is not None and _shows(last) == (str(truth.version), made):
            return self._unchanged(last, truth)
        self._copying = truth.version
        return self._carry(shown, truth, made)

    # ------------------------------------------------------------------ what the replica shows

    def _last_replication(self, shown: Head | None) -> Version | None:
        """The replica's newest version, which a replication made.

        Raises:
            ReplicaDiverged: It did not, or not of this source.
        """
        if shown is None or shown.version is None:
            return None
        newest = self._target.primary.version(shown.version)
        original = newest.properties.get(REPLICA_OF)
        if original == self._source.key:
            return newest
        where = f"table {self._target.key} at {self._target.storage.uri}"
        if original is not None:
            raise ReplicaDiverged(f"{where} is a replica of {original}, not of {self._source.key}")
        made = (v for v in self._target.primary.versions() if REPLICA_OF in v.properties)
        replica = next(made, None)
        if replica is None or replica.properties[REPLICA_OF] != self._source.key:
            raise ReplicaDiverged(
                f"{where} is a table of its own, not a replica of {self._source.key}: give the"
                " replica another key"
            )
        if self._request.force:
            return None
        raise ReplicaDiverged(
            f"{where}: version {newest.id} ({newest.operation},"
            f" {newest.committed_at:%Y-%m-%d %H:%M:%S} UTC) was not made by a replication, and a"
            f" replica is written by nobody else; keep those rows in {self._source.key} if they"
            " matter, then replicate with force to show the source again (history keeps them)"
        )

    def _unchanged(self, last: Version, truth: Head) -> Replication:
        assert truth.version is not None
        repaired = 0
        if self._request.verify:
            wanted = self._wanted(truth)
            with self._in_flight(truth, wanted):
                repaired = len(self._bring(wanted))
        return Replication(
            version=last,
            mirror_version=self._target.repair_mirror(),
            source_version=truth.version,
            files_repaired=repaired,
            seconds=time.monotonic() - self._begun,
            unchanged=True,
        )

    # ------------------------------------------------------------------ copy and commit

    def _carry(self, shown: Head | None, truth: Head, made: str) -> Replication:
        wanted = self._wanted(truth)
        with self._at(self._target):
            before = dict(shown.files) if shown is not None else {}
        change = self._change(shown, truth, made, wanted, before)
        missing = {path: file for path, file in wanted.items() if path not in before}
        with self._in_flight(truth, missing):
            copied = self._bring(wanted if self._request.verify else missing)
            version = self._commit(shown, change)
        mirrored = self._target.repair_mirror()
        self._target.sweep()
        kept = [file for path, file in wanted.items() if path not in copied]
        new = [file for path, file in copied.items() if path not in before]
        return Replication(
            version=version,
            mirror_version=mirrored,
            source_version=int(change.properties[REPLICA_VERSION]),
            files_copied=len(new),
            bytes_copied=sum(file.size for file in new),
            files_reused=len(kept),
            bytes_reused=sum(file.size for file in kept),
            files_repaired=len(copied) - len(new),
            files_removed=len(change.removed),
            seconds=time.monotonic() - self._begun,
        )

    def _wanted(self, truth: Head) -> dict[str, DataFile]:
        """Path at the replica to each file of the source's version."""
        with self._at(self._source):
            return {_path_at_replica(path): file for path, file in truth.files.items()}

    def _bring(self, files: Mapping[str, DataFile]) -> dict[str, DataFile]:
        return Transfer(
            Place(self._source.storage, self._source.key),
            Place(self._target.storage, self._target.key),
            files,
            self._request.streams,
            self._request.on_progress,
            verify=self._request.verify,
        ).run()

    @contextmanager
    def _in_flight(self, truth: Head, files: Mapping[str, DataFile]) -> Iterator[None]:
        """Nobody deletes, at either site, what is copied and what has arrived."""
        assert truth.version is not None
        keep = flight.Fate(landed=True)  # a failure deletes nothing: the next takes what arrived
        note = {"batches": sorted({flight.batch_of(path) or "" for path in files})}
        with ExitStack() as stack:
            if not self._source.read_only:
                pin = pinned(self._source.storage, truth.version)
                stack.enter_context(self._told(self._source, pin))
            arriving = flight.in_flight(self._target.storage, self._batch, lambda: keep, note)
            stack.enter_context(self._told(self._target, arriving))
            yield

    @contextmanager
    def _told(self, table: Table, context: AbstractContextManager[None]) -> Iterator[None]:
        """Where entering or leaving a context fails, the error names the table's site."""
        with ExitStack() as stack:
            with self._at(table):
                stack.enter_context(context)
            yield
            with self._at(table):
                stack.pop_all().close()

    def _change(
        self,
        shown: Head | None,
        truth: Head,
        made: str,
        wanted: Mapping[str, DataFile],
        before: Mapping[str, DataFile],
    ) -> Change:
        self._check_formats(truth)
        if shown is not None and shown.partition_by != truth.partition_by:
            raise SchemaMismatch.at(
                self._source.key,
                f"it is partitioned by {', '.join(truth.partition_by) or 'nothing'} and its"
                f" replica {self._target.key} by {', '.join(shown.partition_by) or 'nothing'}",
                "replicate it under another key",
            )
        for path, file in wanted.items():
            if path in before and before[path].size != file.size:
                raise UnsupportedTable(
                    f"table {self._source.key}: {path} was replaced in place by a file of another"
                    " size; write the rows as a new version"
                )
        return Change(
            operation="replicate",
            schema=truth.schema,
            partition_by=truth.partition_by,
            evolution=plan_evolution(shown.schema, truth.schema, where=self._source.key)
            if shown
            else None,
            added=[replace(f, path=path) for path, f in wanted.items() if path not in before],
            removed=[file for path, file in before.items() if path not in wanted],
            properties={
                **self._request.properties,
                BATCH: self._batch,
                REPLICA_OF: self._source.key,
                REPLICA_SITE: self._request.site,
                REPLICA_VERSION: str(truth.version),
                REPLICA_MADE: made,
            },
        )

    def _check_formats(self, truth: Head) -> None:
        """Refuse, before anything is copied, what the replica's formats cannot show."""
        log = self._source.primary
        if isinstance(log, IcebergLog) and log.maps_other_names(truth):
            raise UnsupportedTable(
                f"table {self._source.key}: a column was renamed, and files without field ids are"
                " found by its former name, which a replica does not know; write its rows anew"
                " with the tool that owns it"
            )
        if not self._target.has_delta:
            return
        delta_schema_json(truth.schema)
        other = self._source.primary.not_by_name(truth)
        if other:
            raise UnsupportedTable(
                f"table {self._source.key}: {len(other)} of its files were written before a column"
                " was widened or renamed, and Delta finds columns by name and type: write its rows"
                f" anew first (mcai table mirror {self._source.key} --format delta does)"
            )

    def _commit(self, shown: Head | None, change: Change) -> Version:
        primary = self._target.primary
        with self._at(self._target):
            try:
                return primary.commit(shown, change)
            except McaiError:
                raise
            except Exception:
                # It failed, or it succeeded and its answer was lost: the log knows.
                landed = find_batch(primary, shown, self._batch)
                if landed is not None:
                    return landed
                raise

    def _lacks(self, error: FileNotFoundError) -> StorageFailed:
        return StorageFailed(
            f"table {self._source.key}: a file of its newest version is gone: {error}; restore it,"
            " or roll back to a version without it"
        )

    def _overtaken(self) -> CommitContention:
        return CommitContention(
            f"table {self._target.key}: others kept committing first for"
            f" {REPLICATE_SECONDS:.0f} s; run again when fewer write at once"
        )


def _shows(version: Version) -> tuple[str | None, str | None]:
    """Which version of the source a replica's version shows, and when that was made."""
    return version.properties.get(REPLICA_VERSION), version.properties.get(REPLICA_MADE)


def _path_at_replica(path: str) -> str:
    """The same path, below ``_data/`` where another tool's vacuum deletes nothing."""
    return path if path.startswith(f"{flight.DATA}/") else f"{flight.DATA}/{path}"
