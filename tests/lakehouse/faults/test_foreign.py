"""Others write to our tables with plain libraries, between our writes.

What they do to the primary is the truth, and the mirror follows; a mirror that they change is
brought back to the primary. Nothing is silently lost, and what we cannot keep is refused.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from pyiceberg.table import Table as IcebergTable

from mcai_pipelines.lakehouse.errors import StaleWrite
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.write import AppendKey
from tests.lakehouse.faults import crew
from tests.lakehouse.faults.readers import Rows, ours, plain_catalog, rows
from tests.lakehouse.faults.test_kill import Job, die_writing, open_weeks

OURS = pl.DataFrame({"p": ["a", "b"], "x": [1, 2], "s": ["one", "two"]})
THEIRS = pl.DataFrame({"p": ["a", "c"], "x": [10, 30], "s": ["ten", None]})
MORE = pl.DataFrame({"p": ["c", "d"], "x": [31, 40], "s": ["more", "more"]})
MIRRORED = [("iceberg", "delta"), ("delta", "iceberg")]

MakeTable = Callable[..., Table]


def seen_by(table: Table) -> list[Rows]:
    """What our readers and plain Polars see.

    PyIceberg 0.12 cannot read the ``string_view`` columns that delta-rs writes beside ours.
    """
    return [read(table, format) for format in table.formats for read in (ours, plain_polars)]


def plain_polars(table: Table, format: str) -> Rows:
    if format == "delta":
        return rows(pl.read_delta(table.storage.uri))
    return rows(pl.scan_iceberg(iceberg(table)).collect())


def arrow(frame: pl.DataFrame) -> pa.Table:
    return pa.table({name: frame[name].to_list() for name in frame.columns})


def delta(table: Table) -> DeltaTable:
    return DeltaTable(table.storage.uri)


def iceberg(table: Table) -> IcebergTable:
    return plain_catalog(table).load_table(table.storage.identifier)


def append_theirs(table: Table, format: str) -> None:
    if format == "delta":
        write_deltalake(table.storage.uri, arrow(THEIRS), mode="append")
    else:
        iceberg(table).append(arrow(THEIRS))


def delete_b(table: Table, format: str) -> None:
    if format == "delta":
        delta(table).delete("p = 'b'")
    else:
        iceberg(table).delete("p = 'b'")


def delete_within_a_file(table: Table, format: str) -> None:
    if format == "delta":
        delta(table).delete("x = 1")
    else:
        iceberg(table).delete("x = 1")


def compact(table: Table, format: str) -> None:
    if format == "delta":
        append_theirs(table, format)
        delta(table).optimize.compact()
        delta(table).delete("x >= 10")
    else:  # PyIceberg has no compaction: an overwrite with what is there is one
        iceberg(table).overwrite(iceberg(table).scan().to_arrow())


def roll_back(table: Table, format: str) -> None:
    if format == "delta":
        delta(table).restore(0)
    else:
        first = iceberg(table).history()[0].snapshot_id
        iceberg(table).manage_snapshots().set_current_snapshot(snapshot_id=first).commit()


CHANGES: dict[str, tuple[Callable[[Table, str], None], Callable[[Rows], Rows]]] = {
    "append": (append_theirs, lambda r: sorted([*r, *rows(THEIRS)], key=repr)),
    "delete a partition": (delete_b, lambda r: [row for row in r if row[0] != "b"]),
    "delete within a file": (delete_within_a_file, lambda r: [row for row in r if row[2] != 1]),
    "compact": (compact, lambda r: r),
    "roll back": (roll_back, lambda _r: rows(OURS)),
}
"""What others do, and what it makes of the rows."""


def make_ours(make_table: MakeTable, primary: str, mirror: str | None) -> Table:
    table = make_table(primary, mirror, partition_by=["p"])
    table.write(OURS)
    table.write(OURS.with_columns(x=pl.col("x") + 4))
    return table


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
@pytest.mark.parametrize("name", CHANGES)
def test_the_mirror_follows_what_others_do_to_the_primary(
    make_table: MakeTable, primary: str, mirror: str, name: str
) -> None:
    table = make_ours(make_table, primary, mirror)
    change, effect = CHANGES[name]
    expected = effect(ours(table))

    change(table, primary)

    assert set(map(tuple, seen_by(table))) == {tuple(expected)}
    table.write(MORE)  # our append keeps theirs
    both = sorted([*expected, *rows(MORE)], key=repr)
    assert set(map(tuple, seen_by(table))) == {tuple(both)}
    table.write(MORE, "overwrite_partitions", partitions=[("a",), ("c",), ("d",)])
    kept = [row for row in expected if row[0] == "b"]
    assert set(map(tuple, seen_by(table))) == {tuple(sorted([*kept, *rows(MORE)], key=repr))}


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
@pytest.mark.parametrize("name", CHANGES)
def test_a_mirror_that_others_changed_is_brought_back(
    make_table: MakeTable, primary: str, mirror: str, name: str
) -> None:
    table = make_ours(make_table, primary, mirror)
    expected = ours(table)
    change, _ = CHANGES[name]

    change(table, mirror)
    assert ours(table) == expected
    assert ours(table, mirror) == expected
    assert plain_polars(table, mirror) == expected

    change(table, mirror)
    table.write(MORE)
    both = sorted([*expected, *rows(MORE)], key=repr)
    assert set(map(tuple, seen_by(table))) == {tuple(both)}


@pytest.mark.parametrize("primary", ["iceberg", "delta"])
def test_an_overwrite_of_what_others_changed_is_stale(make_table: MakeTable, primary: str) -> None:
    table = make_ours(make_table, primary, None)
    base = table.head()
    append_theirs(table, primary)

    with pytest.raises(StaleWrite):
        table.write(MORE, "overwrite_partitions", partitions=[("c",), ("d",)], base=base)
    with pytest.raises(StaleWrite):
        table.write(MORE, "overwrite", base=base)

    untouched = OURS.filter(p="b")
    table.write(untouched, "overwrite_partitions", partitions=[("b",)], base=base)
    others = pl.concat([OURS, OURS.with_columns(x=pl.col("x") + 4), THEIRS]).filter(
        pl.col("p") != "b"
    )
    assert ours(table) == rows(pl.concat([others, untouched]))


@pytest.mark.parametrize("primary", ["iceberg", "delta"])
@pytest.mark.parametrize("by", ["version", "time"])
def test_an_append_that_others_rolled_back_is_made_again(
    make_table: MakeTable, primary: str, by: str
) -> None:
    table = make_ours(make_table, primary, None)
    before, number = ours(table), table.history()[0].id
    time.sleep(0.01)
    moment = dt.datetime.now(dt.UTC)
    time.sleep(0.01)
    table.write(MORE, key=AppendKey("run 1"))
    if primary == "delta":
        delta(table).restore(number if by == "version" else moment)
    else:
        undo = iceberg(table).manage_snapshots().set_current_snapshot(snapshot_id=number)
        undo.commit()
    assert ours(table) == before

    assert not table.write(MORE, key=AppendKey("run 1")).repeated
    assert table.write(MORE, key=AppendKey("run 1")).repeated
    assert ours(table) == sorted([*before, *rows(MORE)], key=repr)


@pytest.mark.parametrize("primary", ["iceberg", "delta"])
def test_a_time_after_others_rolled_back_shows_what_was_current(
    make_table: MakeTable, primary: str
) -> None:
    table = make_ours(make_table, primary, None)
    doubled, before = ours(table), table.history()[0].committed_at
    roll_back(table, primary)

    tomorrow = dt.datetime.now(dt.UTC) + dt.timedelta(days=1)
    assert rows(table.scan(as_of=tomorrow).collect()) == rows(OURS)
    assert rows(table.scan(as_of=before).collect()) == doubled


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_a_column_that_others_added_is_kept(
    make_table: MakeTable, primary: str, mirror: str
) -> None:
    table = make_ours(make_table, primary, mirror)
    wider = THEIRS.with_columns(new=pl.Series([{"u": 1, "v": [2]}, None]), z=pl.lit(9))
    if primary == "delta":
        write_deltalake(table.storage.uri, wider, mode="append", schema_mode="merge")
    else:
        with iceberg(table).update_schema() as update:
            update.union_by_name(wider.to_arrow().schema)
        iceberg(table).append(wider.to_arrow())

    expected = rows(pl.concat([OURS, OURS.with_columns(x=pl.col("x") + 4), wider], how="diagonal"))
    assert set(map(repr, seen_by(table))) == {repr(expected)}
    table.write(OURS.clear().with_columns(ours=pl.lit(1.5)))
    assert set(map(len, seen_by(table))) == {len(expected)}


@pytest.mark.parametrize("expired_from", ["iceberg", "delta"])
def test_files_stay_when_the_version_that_added_them_expired(
    tmp_path: Path, expired_from: str
) -> None:
    """The writer was killed right after its commit, so its marker tells nothing any more."""
    table = open_weeks(tmp_path, expired_from, None)
    table.write(Job("append", 0).frame())
    job = Job("append", 1)
    assert crew.run(die_writing, tmp_path, expired_from, None, job, "committed") == crew.KILLED
    expected = ours(table)
    if expired_from == "iceberg":
        theirs = iceberg(table)
        theirs.append(theirs.scan().to_arrow().slice(0, 0))
        expired = [s.snapshot_id for s in theirs.snapshots()[:-1]]
        theirs.maintenance.expire_snapshots().by_ids(expired).commit()
    else:
        theirs_delta = delta(table)
        write_deltalake(theirs_delta, theirs_delta.to_pyarrow_table().slice(0, 0), mode="append")
        delta(table).create_checkpoint()
        for entry in sorted(Path(table.storage.uri, "_delta_log").glob("*.json"))[:-1]:
            entry.unlink()

    table.write(Job("append", 2).frame())

    new = sorted([*expected, *rows(Job("append", 2).frame())], key=repr)
    assert set(map(tuple, seen_by(table))) == {tuple(new)}


def test_other_tools_cannot_vacuum_what_iceberg_still_shows(make_table: MakeTable) -> None:
    table = make_table("iceberg", "delta", partition_by=["p"])
    old = table.write(OURS).version
    table.write(THEIRS, "overwrite")

    delta(table).vacuum(dry_run=False)

    assert rows(table.scan(version=old.id).collect()) == rows(OURS)
