"""A writer dies at every named point of the protocol; then the same write is made again.

Every reader of every format sees the old rows or the new rows and never a part of them; the
second write gives the exact rows, and leaves neither markers nor files that nobody shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from mcai_pipelines.lakehouse.compact import Compaction
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.write import AppendKey, Commit
from tests.lakehouse.conftest import FORMATS, open_table
from tests.lakehouse.faults import crew, death
from tests.lakehouse.faults.readers import (
    Rows,
    everyone,
    markers,
    ours,
    plain,
    rows,
    unreferenced,
)

WHOLE = pl.DataFrame(
    {"week": ["w1", "w1", "w2", "w3"], "item": [1, 2, 3, 4], "sales": [1.5, None, -2.0, 0.0]}
)
OnStep = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """One write, as a run of a pipeline would make it: again after a failure, the same."""

    mode: str
    number: int
    target: int = 0

    def frame(self) -> pl.DataFrame:
        if self.mode == "merge":  # the same keys each time, and a new one
            new = WHOLE.tail(1).with_columns(item=pl.lit(10 * self.number + 1000, pl.Int64))
            return pl.concat([WHOLE, new]).with_columns(sales=pl.lit(float(self.number)))
        return WHOLE.with_columns(item=pl.col("item") + 10 * self.number)

    def run(self, table: Table, on_step: OnStep = lambda _name: None) -> Commit | Compaction:
        frame = self.frame()
        match self.mode:
            case "append":
                return table.write(frame, key=AppendKey(f"run {self.number}"), on_step=on_step)
            case "overwrite":
                return table.write(frame, "overwrite", on_step=on_step)
            case "overwrite_partitions":  # w2 comes out empty
                frame = frame.filter(pl.col("week") != "w2")
                weeks = [("w1",), ("w2",), ("w3",)]
                return table.write(frame, "overwrite_partitions", partitions=weeks, on_step=on_step)
            case "merge":
                return table.write(frame.lazy(), "merge", on=["item"], on_step=on_step)
            case "compact":
                return table.compact(on_step=on_step)
        return table.rollback(self.target)

    def expected(self, before: Rows, target: Rows) -> Rows:
        new = rows(self.frame())
        match self.mode:
            case "append":
                return sorted(before + new, key=repr)
            case "overwrite":
                return new
            case "overwrite_partitions":
                kept = [row for row in before if row[2] not in ("w1", "w2", "w3")]
                return sorted([*kept, *(row for row in new if row[2] != "w2")], key=repr)
            case "merge":
                items = set(self.frame()["item"])
                return sorted([*(row for row in before if row[0] not in items), *new], key=repr)
            case "compact":
                return before
        return target


def open_weeks(root: Path, primary: str, mirror: str | None) -> Table:
    return open_table(root, "weeks", primary, mirror, partition_by=["week"])


def die_writing(root: Path, primary: str, mirror: str | None, job: Job, point: str) -> None:
    """What the child process does."""
    table = open_weeks(root, primary, mirror)
    job.run(table, death.at(point, table))


MODES = ["append", "overwrite", "overwrite_partitions", "merge", "compact", "rollback"]
CASES = [
    (mode, primary, mirror)
    for primary, mirror in FORMATS
    for mode in MODES
    if mirror is not None or mode in ("append", "overwrite_partitions")
]
"""A table without a mirror passes no point that one with a mirror does not pass too."""


@pytest.mark.parametrize(("mode", "primary", "mirror"), CASES)
def test_killed_at_every_point(tmp_path: Path, mode: str, primary: str, mirror: str | None) -> None:
    table = open_weeks(tmp_path, primary, mirror)
    first = table.write(WHOLE.with_columns(week=pl.lit("w0")))
    table.write(WHOLE)
    before = ours(table)
    points = death.points(mirrored=mirror is not None, staged=mode != "rollback")
    for number, point in enumerate(points):
        if mode in ("rollback", "compact"):  # something to undo, or to compact
            table.write(WHOLE)
            before = ours(table)
        if point == "sweeping":  # somebody died earlier, and left files
            lost = Job("append", 100 + number)
            assert crew.run(die_writing, tmp_path, primary, mirror, lost, "staged") == crew.KILLED
        job = Job(mode, number, target=first.version.id)
        new = job.expected(before, rows(WHOLE.with_columns(week=pl.lit("w0"))))

        assert crew.run(die_writing, tmp_path, primary, mirror, job, point) == crew.KILLED, point

        visible = not death.before(point, "primary visible")
        assert ours(table) == plain(table, primary) == (new if visible else before), point
        if mirror is not None:
            mirrored = not death.before(point, "mirror visible")
            assert plain(table, mirror) == (new if mirrored else before), point
        versions = len(table.history())

        again = job.run(table)

        assert set(map(tuple, everyone(table).values())) == {tuple(new)}, point
        assert markers(table) == [], point
        if mode == "append":
            assert isinstance(again, Commit)
            assert again.repeated is visible
            assert len(table.history()) == versions + (not visible)
        if mode == "compact":
            assert (again.version is None) is visible
        before = new
    assert unreferenced(table) == set()


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_killed_making_the_table(tmp_path: Path, primary: str, mirror: str | None) -> None:
    for point in death.points(mirrored=mirror is not None, staged=True):
        if point == "sweeping":  # there is nothing to sweep yet
            continue
        root = tmp_path / point.replace(" ", "-")
        table = open_weeks(root, primary, mirror)
        job = Job("append", 0)

        assert crew.run(die_writing, root, primary, mirror, job, point) == crew.KILLED, point

        visible = not death.before(point, "primary visible")
        assert plain(table, primary) == (rows(job.frame()) if visible else []), point
        job.run(table)
        assert set(map(tuple, everyone(table).values())) == {tuple(rows(job.frame()))}, point
        assert markers(table) == [], point
        assert unreferenced(table) == set(), point


@pytest.mark.parametrize(("primary", "mirror"), [("iceberg", "delta"), ("delta", "iceberg")])
def test_a_reader_repairs_the_mirror_that_a_killed_writer_left_behind(
    tmp_path: Path, primary: str, mirror: str
) -> None:
    table = open_weeks(tmp_path, primary, mirror)
    table.write(WHOLE)
    job = Job("overwrite", 1)
    assert crew.run(die_writing, tmp_path, primary, mirror, job, "committed") == crew.KILLED
    assert plain(table, mirror) == rows(WHOLE)

    assert ours(table, mirror) == rows(job.frame())
    assert plain(table, mirror) == rows(job.frame())
