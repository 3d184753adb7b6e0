"""Making a staged batch visible: one version, or none, whatever others do meanwhile.

The loop is this project's own, because a library's would append twice. Before each attempt
the log is asked whether the append was made before, or this very batch landed.
"""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING

from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.errors import (
    CommitConflict,
    CommitContention,
    HistoryExpired,
    ReadOnlyTable,
    SchemaMismatch,
    StaleWrite,
    VersionNotFound,
)
from mcai_pipelines.lakehouse.evolve import Evolution, plan_evolution
from mcai_pipelines.lakehouse.flight import Fate
from mcai_pipelines.lakehouse.scope import Everything, Nothing, Scope
from mcai_pipelines.lakehouse.versions import (
    BATCH,
    INPUTS,
    KEY,
    REPLICA_OF,
    Change,
    Head,
    Version,
    find_batch,
    find_commit,
    versions_since,
)

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.stage import StagedBatch
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.lakehouse.write import AppendKey, WriteRequest

COMMIT_SECONDS = 120.0
"""How long the commit loop keeps trying while others commit first."""


def made_before(table: Table, key: AppendKey | None, head: Head | None) -> Version | None:
    """The commit of an earlier attempt at the same append, if it led to a head.

    Args:
        table: Whose log to look in.
        key: The append's; None for a write that has none, or is no append.
        head: Where to start.
    """
    if key is None or head is None:
        return None
    try:
        return find_commit(table.primary, head.version, KEY, key.value, key.since)
    except HistoryExpired as error:
        raise HistoryExpired(f"table {table.key}: {error}") from error


def refuse_replica(table: Table, head: Head | None) -> None:
    """Refuse to write to a table that a replication wrote last, whatever it was opened as.

    Raises:
        ReadOnlyTable: A replication did.
    """
    if head is None or head.version is None:
        return
    try:
        original = table.primary.version(head.version).properties.get(REPLICA_OF)
    except VersionNotFound:
        return  # it has expired, so this commit conflicts; the next is tried on the newest
    if original is not None:
        raise ReadOnlyTable(
            f"table {table.key} at {table.storage.uri} is a replica of {original}: write that one,"
            " and replicate it again"
        )


class Committing:
    """The commit of one staged batch.

    Args:
        table: Where to.
        request: What and how.
        base: The head that the write was computed from; None for a table not there yet.
        batch: The id of the staged batch.
        scope: What the write replaces; an append nothing, an overwrite what the request says.
    """

    def __init__(
        self,
        table: Table,
        request: WriteRequest,
        base: Head | None,
        batch: str,
        scope: Scope | None = None,
    ) -> None:
        if scope is None:
            scope = Nothing() if request.mode == "append" else Everything(request.partitions)
        self._scope = scope
        self._table = table
        self._request = request
        self._base = base
        self._batch = batch
        self._tried: list[Head | None] = []

    def commit(self, staged: StagedBatch, evolution: Evolution) -> Version:
        """Make the staged files visible as one version, however many others commit.

        Returns:
            The version that shows them; or for an append that another attempt made
            meanwhile, that one's.

        Raises:
            StaleWrite: The schema, or what this write replaces, has changed since the base.
            CommitContention: Others kept committing first for two minutes.
        """
        head = self._base
        refuse_replica(self._table, head)
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
            repeated = made_before(self._table, self._request.key, head)
            if repeated is not None:
                return repeated

    def _landed(self) -> Version | None:
        return find_batch(self._table.primary, self._base, self._batch)

    def fate(self) -> Fate:
        """Whether the batch's commit landed, or still may.

        It cannot land any more once another version was made after the head that it was tried
        on.
        """
        if not self._tried:
            return Fate(landed=False)
        if self._landed() is not None:
            return Fate(landed=True)
        primary, last = self._table.primary, self._tried[-1]
        if next(versions_since(primary, last), None) is not None:
            return Fate(landed=False)
        known = last.version if last is not None else None
        sequence = primary.version(known).sequence if known is not None else -1
        return Fate(landed=False, doubtful_after=sequence)

    def _change(self, head: Head | None, staged: StagedBatch, evolution: Evolution) -> Change:
        if head is not self._base and head is not None:
            evolution = self._rebase(head, evolution)
        return Change(
            operation=self._request.operation,
            schema=evolution.schema,
            partition_by=self._table.partition_by,
            evolution=evolution,
            added=staged.files,
            removed=self._scope.replaced(head),
            properties=self._properties(),
        )

    def _properties(self) -> dict[str, str]:
        recorded = {**self._request.properties, BATCH: self._batch}
        if self._request.key is not None:
            recorded[KEY] = self._request.key.value
        if self._request.inputs is not None:
            recorded[INPUTS] = json.dumps(dict(self._request.inputs), sort_keys=True)
        return recorded

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
        if self._scope.is_stale(self._table.primary, self._base, head):
            raise StaleWrite(
                f"table {self._table.key}: what this write replaces was changed by version"
                f" {head.version}; compute it again and write again"
            )
        return again
