"""Erasing one subject from a namespace: a plan of what holds it, then its execution.

The plan reads and changes nothing. Neither it, nor the report, nor anything that an erasure
records, has the subject's key, or a hash of it: keys are few, so trying them all would tell it.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from mcai_pipelines.config.wording import did_you_mean, quoted
from mcai_pipelines.errors import BadInput, McaiError
from mcai_pipelines.lakehouse import erase_quarantine, traces
from mcai_pipelines.lakehouse.erase_plan import Aggregate, Foreign, Holding, Plan, Report
from mcai_pipelines.lakehouse.erase_reach import Known, derived, reach, survey
from mcai_pipelines.lakehouse.erase_table import Erasing, Removal, remove_rows
from mcai_pipelines.lakehouse.erased import Record
from mcai_pipelines.lakehouse.failures import as_storage_error
from mcai_pipelines.lakehouse.flight import new_batch_id
from mcai_pipelines.lakehouse.subject import KINDS, Subject, holds_keys
from mcai_pipelines.state import ErasureRecord

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.subject import Key
    from mcai_pipelines.lakehouse.table import Table


class Erasure:
    """The erasure of one subject.

    Args:
        lake: The namespace's tables.
        subject: Whom.
        tables: Keys of the tables to begin at; every table with the column unless given.

    Raises:
        BadInput: No table has the column, or none of the tables given; or the value is not one
            that the column can hold.
    """

    def __init__(self, lake: Lake, subject: Subject, tables: Sequence[str] = ()) -> None:
        self._lake = lake
        self._subject = subject
        self._known = survey(lake)
        self._check_tables(tables)
        self._reached = reach(self._known, subject.column, tables)
        self._keys = self._typed()

    def _check_tables(self, tables: Sequence[str]) -> None:
        column = self._subject.column
        for key in tables:
            if key not in self._known:
                what = f"no table {quoted(key)} has been written in {self._lake.namespace}"
                raise BadInput.at("--table", what, did_you_mean(key, self._known))
        begin = [self._known[key] for key in tables or self._known]
        for table in begin if tables else ():
            if not table.error and column not in table.columns:
                what = f"the table {table.record.key} has no column {quoted(column)}"
                raise BadInput.at("--subject", what, did_you_mean(column, table.columns))
        names = sorted({name for table in begin for name in table.columns})
        if column not in names and not any(table.error for table in begin):
            what = f"no table of the namespace {self._lake.namespace} has a column {quoted(column)}"
            fix = did_you_mean(column, names) if names else "write some tables first"
            raise BadInput.at("--subject", what, fix)

    def _typed(self) -> dict[tuple[str, str], Key]:
        """The subject's key in each column reached that can hold such a value."""
        keys: dict[tuple[str, str], Key] = {}
        kinds: set[str] = set()
        for table, columns in self._reached.items():
            opened = self._known[table].table
            assert opened is not None
            schema = opened.head().schema
            for column in sorted(columns):
                kind = schema.find_field(column).field_type
                kinds.add(str(kind))
                key = self._subject.under(column).key(schema)
                if key is not None and holds_keys(kind):
                    keys[table, column] = key
        if self._reached and not keys:
            column, named = self._subject.column, " or ".join(sorted(kinds))
            what = f"the column {column} is {named}, and the value given is no such value"
            raise BadInput.at("--subject", what, f"give a value of it ({KINDS})")
        return keys

    # ------------------------------------------------------------------ plan

    def plan(self) -> Plan:
        """Look for the subject everywhere; changes nothing."""
        holdings: list[Holding] = []
        foreign: list[Foreign] = []
        failed = {key: self._safe(known.error) for key, known in self._known.items() if known.error}
        for (name, _column), key in self._keys.items():
            with self._noting(failed, name):
                found = self._look(self._known[name], key)
                if isinstance(found, Holding):
                    holdings.append(found)
                elif found is not None:
                    foreign.append(found)
        quarantined: dict[str, Sequence[str]] = {}
        for site in self._sites():
            with self._noting(failed, site):
                quarantined[site] = erase_quarantine.find(self._lake, site, self._subjects())
        holders = [h.table for h in holdings] + [f.table for f in foreign]
        return Plan(
            column=self._subject.column,
            searched=sorted(self._reached),
            holdings=holdings,
            foreign=foreign,
            quarantined={site: files for site, files in quarantined.items() if files},
            aggregates=self._aggregates(holders),
            failed=failed,
        )

    def _look(self, known: Known, key: Key) -> Holding | Foreign | None:
        table, record = known.table, known.record
        assert table is not None
        with as_storage_error(table.key, table.storage.site, "searching"):
            if table.read_only:
                rows = _count_rows(table, key)
                where = Foreign(record.key, record.site, table.storage.uri, key.column, rows)
                return where if rows else None
            found = traces.find(table, key)
        if not found:
            return None
        return Holding(
            table=record.key,
            site=record.site,
            formats=table.formats,
            column=key.column,
            rows=found.rows,
            files=len(found.live),
            old_files=len(found.old),
            log_objects=len(found.logs),
            replica_of=record.replica_of,
        )

    def _aggregates(self, holders: Sequence[str]) -> list[Aggregate]:
        aggregates = []
        for key, inputs in derived(self._known, holders).items():
            if key in self._reached:
                continue
            table = self._known[key].table
            assert table is not None
            info = table.info()
            aggregates.append(Aggregate(key, info.version, info.rows, inputs))
        return aggregates

    # ------------------------------------------------------------------ execution

    def execute(
        self,
        plan: Plan,
        *,
        reason: str = "",
        id: str | None = None,
        on_table: Callable[[str], None] = lambda _key: None,
    ) -> Report:
        """Remove what a plan found; one failure does not keep the rest.

        Args:
            plan: Of this erasure.
            reason: Recorded; must not have the subject's key.
            id: Of an erasure to continue; a new one unless given.
            on_table: Called with each table's key before its turn.
        """
        record = Record(id or new_batch_id(), dt.datetime.now(dt.UTC), reason)
        report = Report(record.id, record.began, record.began, reason, plan)
        self._save(report, ended=None)
        removed: dict[str, Removal] = {}
        deleted: dict[str, int] = {}
        failed = dict(plan.failed)
        # A replica is erased by replicating its original again.
        for holding in sorted(plan.holdings, key=lambda h: (self._copies(h.table), h.table)):
            on_table(holding.table)
            with self._noting(failed, holding.table):
                removal = self._erase(holding, record)
                removed[holding.table] = removal.plus(removed.get(holding.table))
                if removal.remaining:
                    failed[holding.table] = (
                        f"{removal.remaining} objects may still hold the subject, because others"
                        " were writing; run again when they are done"
                    )
        for site, files in plan.quarantined.items():
            with self._noting(failed, site):
                deleted[site] = erase_quarantine.delete(self._lake, site, files)
        ended = dt.datetime.now(dt.UTC)
        report = replace(report, ended=ended, removed=removed, quarantined=deleted, failed=failed)
        self._save(report, ended=ended if report.complete else None)
        return report

    def _save(self, report: Report, *, ended: dt.datetime | None) -> None:
        """Keep the erasure in the state database."""
        from mcai_pipelines.lakehouse.erase_report import report_data

        self._lake.state.save_erasure(
            ErasureRecord(
                namespace=self._lake.namespace,
                id=report.id,
                column_name=self._subject.column,
                reason=report.reason,
                began_at=report.began,
                ended_at=ended,
                report=json.dumps(report_data(report), default=str),
            )
        )

    def _copies(self, table: str) -> int:
        """How many replications a table is away from the original."""
        seen: list[str] = []
        while table not in seen and table in self._known:
            seen.append(table)
            table = self._known[table].record.replica_of or table
        return len(seen)

    def _erase(self, holding: Holding, record: Record) -> Removal:
        table = self._known[holding.table].table
        assert table is not None
        key = self._keys[holding.table, holding.column]
        rewrite = remove_rows if holding.replica_of is None else self._follow
        with as_storage_error(table.key, table.storage.site, "erasing"):
            return Erasing(table, key, record, rewrite).run()

    def _follow(self, table: Table, key: Key, _erasure: str) -> tuple[int, int]:
        """Bring a replica to its original, which was erased before."""
        from mcai_pipelines.lakehouse.replicas import replicate_table

        before = traces.in_live_files(table, table.head(), key)
        record = self._known[table.key].record
        assert record.replica_of is not None
        replicate_table(self._lake, record.replica_of, record.site, replica=record.key)
        after = traces.in_live_files(table, table.head(), key)
        return sum(before.values()) - sum(after.values()), len(before.keys() - after.keys())

    # ------------------------------------------------------------------ both

    def _subjects(self) -> list[Subject]:
        columns = {self._subject.column, *(column for _, column in self._keys)}
        return [self._subject.under(column) for column in sorted(columns)]

    def _sites(self) -> list[str]:
        return sorted({known.record.site for known in self._known.values()})

    @contextmanager
    def _noting(self, failed: dict[str, str], what: str) -> Iterator[None]:
        """Note the failure of one table or site, and go on."""
        try:
            with as_storage_error(what):
                yield
        except McaiError as error:
            failed[what] = self._safe(str(error))

    def _safe(self, text: str) -> str:
        """An error's text without the subject's key, which a file's path may have."""
        return self._subject.hidden(text)


def check_reason(reason: str, subject: Subject) -> None:
    """Refuse a reason that has the subject's key, because it is kept.

    Raises:
        BadInput: It has.
    """
    if subject.hidden(reason) != reason:
        what = "the reason has the subject's key, and it is kept"
        raise BadInput.at("--reason", what, "name a ticket instead")


def _count_rows(table: Table, key: Key) -> int:
    import polars as pl

    rows = table.scan().filter(key.expression()).select(pl.len()).collect(engine="streaming")
    return int(rows.item())
