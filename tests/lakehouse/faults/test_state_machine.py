"""Any sequence of writes, rollbacks, evolutions and re-executions, compared with a plain model.

Every example is a table of its own. After each step the table and its mirror must show the
model's rows; at the end, so must every retained version of both, to every reader.
``MCAI_SOAK=N`` tries N random examples per combination of formats instead of the few of CI.
"""

from __future__ import annotations

import os
from contextlib import suppress
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from mcai_pipelines.lakehouse.replicate import replicate
from mcai_pipelines.lakehouse.schema import to_polars
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import REPLICA_VERSION, SOURCE
from mcai_pipelines.lakehouse.write import AppendKey, Commit
from tests.lakehouse.conftest import FORMATS, open_table
from tests.lakehouse.faults import model
from tests.lakehouse.faults.model import Column, Model, Row, comparable
from tests.lakehouse.faults.readers import markers, plain_frame, unreferenced

EXAMPLES = int(os.environ.get("MCAI_SOAK", "0"))
PARTITIONS = ["a", "b c/ü%", "b", "=&?#"]
_LONG = "a string longer than sixteen characters"
# Floats that float32 holds exactly, so that widening keeps them; texts around the 16 characters
# that bounds keep.
PLAIN = {
    "p": st.sampled_from(PARTITIONS),
    "id": st.sampled_from([0, 1, 7, -(2**31), 2**31 - 1]),
    "v": st.sampled_from([None, 0.0, 1.5, -2.25, 2.0**127, float("nan"), float("inf")]),
    "d": st.sampled_from([None, Decimal("0.00"), Decimal("999.99"), Decimal("-1.10")]),
    "s": st.sampled_from([None, "", "b", _LONG, _LONG + "!", "é" * 20, "\U0010ffff" * 17]),
    "r": st.integers(0, 3),
}
WIDE = {
    "id": st.sampled_from([2**31, -(2**63), 2**63 - 1, 5]),
    "v": st.sampled_from([1e300, 0.1, -0.25, None]),
    "d": st.sampled_from([Decimal("9999999999.99"), Decimal("0.01"), None]),
    "r": st.sampled_from([None, 1]),
}
NEW = {
    "whole": st.sampled_from([None, 1, 2**40]),
    "text": st.sampled_from([None, "new", _LONG]),
    "nested": st.sampled_from([None, {"a": 1, "b": ["x"]}, {"a": 2, "b": []}]),
}


class Crash(Exception):
    """The process ends between the primary's commit and the mirror's."""


def crash_before_mirror(step: str) -> None:
    if step == "committed":
        raise Crash


def _crash() -> None:
    raise Crash


class LakeTable(RuleBasedStateMachine):
    root: Path
    formats: tuple[str, str | None]
    numbers = count()

    def __init__(self) -> None:
        super().__init__()
        self.name = f"t{next(self.numbers)}"
        self.columns = list(model.COLUMNS)
        self.wide: set[str] = set()
        self.model = Model()
        self.keys = [f"key {number}" for number in range(3)]
        self.table = self.open()
        self.replica = self.open_replica()

    def open(self) -> Table:
        schema = model.to_schema(self.columns)
        return open_table(self.root, self.name, *self.formats, schema=schema, partition_by=["p"])

    def open_replica(self) -> Table:
        """At another site, in the other format; mirrored if its source is.

        A widened Iceberg table is copied as Iceberg only: no byte of it is encoded anew.
        """
        primary, mirror = self.formats
        other = "iceberg" if mirror is None else mirror
        site = self.root / "elsewhere"
        site.mkdir(exist_ok=True)
        return open_table(site, self.name, other, mirror and primary, replica_of=self.name)

    # ------------------------------------------------------------------ the steps

    def draw(self, data: st.DataObject, parts: list[str] | None = None) -> list[Row]:
        def values(column: Column) -> st.SearchStrategy[Any]:
            if column.name == "p" and parts is not None:
                return st.sampled_from(parts)
            if column.name in self.wide:
                return st.one_of(PLAIN[column.name], WIDE[column.name])
            return {**PLAIN, **NEW}[column.name.split("_")[0]]

        row = st.fixed_dictionaries({column.name: values(column) for column in self.columns})
        return data.draw(st.lists(row, max_size=4))

    def frame(self, rows: list[Row]) -> pl.LazyFrame:
        return pl.LazyFrame(rows, schema=to_polars(model.to_schema(self.columns)))

    def made(self, write: Any, rows: list[Row], keys: frozenset[str], crash: bool) -> Commit | None:
        """Make a write; the model learns its version's rows from ``rows``."""
        before = len(self.model.versions)
        commit = None
        try:
            commit = write(crash_before_mirror if crash else None)
        except Crash:
            self.table = self.open()
        head, *past = self.table.history()
        new = len(past) + 1 - before
        if new == 2:  # a version that only widened
            self.model.add(past[0].id, self.model.head.rows, self.model.head.keys)
        if new:
            self.model.add(head.id, rows, keys)
        return commit

    @rule(data=st.data(), crash=st.booleans())
    def append(self, data: st.DataObject, crash: bool) -> None:
        rows, head = self.draw(data), self.model.head
        frame = self.frame(rows)
        self.made(
            lambda step: self.table.write(frame, on_step=step),
            head.rows + rows,
            head.keys,
            crash,
        )

    @rule(data=st.data(), crash=st.booleans())
    def append_once(self, data: st.DataObject, crash: bool) -> None:
        """A re-execution with the same key changes nothing, unless it was rolled back."""
        made = frozenset().union(*(then.keys for then in self.model.versions.values()))
        undone = sorted(made - self.model.head.keys)
        key = data.draw(st.sampled_from(undone or self.keys))
        rows, head, versions = self.draw(data), self.model.head, len(self.model.versions)
        frame = self.frame(rows)
        commit = self.made(
            lambda step: self.table.write(frame, key=AppendKey(key), on_step=step),
            head.rows + rows,
            head.keys | {key},
            crash,
        )
        repeated = key in head.keys
        assert commit is None or commit.repeated is repeated
        assert (len(self.model.versions) == versions) is repeated

    @rule(data=st.data(), crash=st.booleans())
    def overwrite(self, data: st.DataObject, crash: bool) -> None:
        rows = self.draw(data)
        frame = self.frame(rows)
        self.made(
            lambda step: self.table.write(frame, "overwrite", on_step=step),
            rows,
            self.model.head.keys,
            crash,
        )

    @rule(
        data=st.data(),
        parts=st.lists(st.sampled_from(PARTITIONS), min_size=1, unique=True),
        crash=st.booleans(),
    )
    def overwrite_partitions(self, data: st.DataObject, parts: list[str], crash: bool) -> None:
        rows, head = self.draw(data, parts), self.model.head
        frame = self.frame(rows)
        self.made(
            lambda step: self.table.write(
                frame,
                "overwrite_partitions",
                partitions=[(part,) for part in parts],
                on_step=step,
            ),
            [row for row in head.rows if row["p"] not in parts] + rows,
            head.keys,
            crash,
        )

    @rule(data=st.data(), crash=st.booleans())
    def merge(self, data: st.DataObject, crash: bool) -> None:
        on = ["p", "s"]
        rows = [row for row in self.draw(data) if row["s"] is not None]
        rows = list({tuple(row[name] for name in on): row for row in rows}.values())
        keys, head = {tuple(row[name] for name in on) for row in rows}, self.model.head
        frame = self.frame(rows)
        self.made(
            lambda step: self.table.write(frame, "merge", on=on, on_step=step),
            [row for row in head.rows if tuple(row[name] for name in on) not in keys] + rows,
            head.keys,
            crash,
        )

    @precondition(lambda self: self.model.versions)
    @rule(crash=st.booleans(), sort_by=st.sampled_from([(), ("id",), ("v", "s")]))
    def compact(self, crash: bool, sort_by: tuple[str, ...]) -> None:
        head = self.model.head
        self.made(
            lambda step: self.table.compact(sort_by=sort_by, on_step=step),
            head.rows,
            head.keys,
            crash,
        )

    @precondition(lambda self: self.model.versions)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        target = data.draw(st.sampled_from(list(self.model.versions)))
        then = self.model.versions[target]
        self.made(lambda _step: self.table.rollback(target), then.rows, then.keys, crash=False)

    @rule(kind=st.sampled_from(list(model.NEW_TYPES)))
    def add_column(self, kind: str) -> None:
        name = f"{kind}_{len(self.columns)}"
        self.columns.append(Column(name, model.NEW_TYPES[kind]))
        self.table = self.open()

    @rule(name=st.sampled_from([*model.WIDER, "r"]))
    def widen_or_relax(self, name: str) -> None:
        self.wide.add(name)
        self.columns = [
            Column(c.name, model.WIDER.get(name, c.kind)) if c.name == name else c
            for c in self.columns
        ]
        if name == "id":
            self.columns = [
                Column(c.name, c.kind, required=True) if c.name == "id" else c for c in self.columns
            ]
        self.table = self.open()

    @precondition(lambda self: self.model.versions)
    @rule(crash=st.booleans())
    def copy(self, crash: bool) -> None:
        """Whatever happened since the last time arrives in one version; a second one is none."""
        with pytest.MonkeyPatch.context() as patch:
            if crash:
                patch.setattr(self.replica, "repair_mirror", _crash)
            with suppress(Crash):
                replicate(self.table, self.replica)
        versions = len(self.replica.history())
        assert replicate(self.table, self.replica).unchanged
        assert len(self.replica.history()) == versions
        self.replica_shows(self.model.head.rows)

    @precondition(lambda self: self.model.versions and self.formats[1] is None)
    @rule()
    def mirror(self) -> None:
        """A table that has had one format so far gets the other, and keeps it."""
        primary, head = self.formats[0], self.model.head
        other = {"iceberg": "delta", "delta": "iceberg"}[primary]
        self.made(lambda _step: self.table.mirror_to(other), head.rows, head.keys, crash=False)
        self.formats = (primary, other)
        self.table = self.open()

    # ------------------------------------------------------------------ what must hold

    def replica_shows(self, rows: list[Row]) -> None:
        for format in self.replica.formats:
            assert comparable(self.replica.scan(format=format).collect().to_dicts()) == comparable(
                rows
            ), format
            plain = plain_frame(self.replica, format).to_dicts()
            assert comparable(plain) == comparable(rows), f"plain {format}"

    @precondition(lambda self: self.model.versions)
    @invariant()
    def shows_the_rows(self) -> None:
        for format in self.table.formats:
            seen = self.table.scan(format=format).collect().to_dicts()
            assert comparable(seen) == comparable(self.model.head.rows), format

    @precondition(lambda self: self.model.head.rows)
    @invariant()
    def filters_find_rows(self) -> None:
        """Partitions and files that cannot match are skipped, and none that can."""
        turn, rows = len(self.model.versions), self.model.head.rows
        row = rows[turn % len(rows)]
        names = [name for name in PLAIN if row.get(name) is not None]
        name = names[turn % len(names)]
        for format in self.table.formats:
            lake = self.table.scan(format=format)
            value = pl.lit(row[name], dtype=lake.collect_schema()[name])
            equal = lake.filter(pl.col(name) == value).collect().to_dicts()
            above = lake.filter(pl.col(name) >= value).collect().to_dicts()
            wanted = [r for r in rows if model.equal(r, name, row[name])]
            assert comparable(equal) == comparable(wanted), (format, name, row[name])
            wanted = [r for r in rows if model.at_least(r, name, row[name])]
            assert comparable(above) == comparable(wanted), (format, name, row[name])

    def teardown(self) -> None:
        if not self.model.versions:
            return
        log, mirror = self.table.primary, self.table.mirror_log
        for version, then in self.model.versions.items():
            seen = log.scan(log.at(version)).collect().to_dicts()
            assert comparable(seen) == comparable(then.rows), version
        for shown in mirror.versions() if mirror else ():
            assert mirror is not None
            seen = mirror.scan(mirror.at(shown.id)).collect().to_dicts()
            then = self.model.versions[int(shown.properties[SOURCE])]
            assert comparable(seen) == comparable(then.rows), shown
        for format in self.table.formats:
            plain = plain_frame(self.table, format).to_dicts()
            assert comparable(plain) == comparable(self.model.head.rows), format
        assert markers(self.table) == []
        assert unreferenced(self.table) == set()
        self.copy(crash=False)
        for copied in self.replica.history():
            then = self.model.versions[int(copied.properties[REPLICA_VERSION])]
            log = self.replica.primary
            seen = log.scan(log.at(copied.id)).collect().to_dicts()
            assert comparable(seen) == comparable(then.rows), copied
        assert markers(self.replica) == []
        assert unreferenced(self.replica) == set()


def profile() -> settings:
    return settings(
        max_examples=EXAMPLES or 6,
        stateful_step_count=25 if EXAMPLES else 16,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes
        suppress_health_check=list(HealthCheck),
    )


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_the_table_is_what_the_model_says(tmp_path: Path, primary: str, mirror: str | None) -> None:
    machine = type("Machine", (LakeTable,), {"root": tmp_path, "formats": (primary, mirror)})
    run_machine(machine, settings=profile())
