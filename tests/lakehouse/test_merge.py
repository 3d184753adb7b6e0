"""Merging by key: what it does to rows, which files it touches, what it refuses."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import obstore
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.types import DoubleType, IntegerType, LongType, StringType

from mcai_pipelines.lakehouse import merge
from mcai_pipelines.lakehouse.errors import (
    CommitContention,
    SchemaMismatch,
    StaleWrite,
    UnsupportedTable,
    UnusableKeys,
)
from mcai_pipelines.lakehouse.files import DataFile
from mcai_pipelines.lakehouse.keys import candidates
from mcai_pipelines.lakehouse.scan_files import scan_files
from mcai_pipelines.lakehouse.stage import StagedBatch
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.write import AppendKey
from tests.lakehouse.conftest import FORMATS, open_table, schema_of
from tests.lakehouse.faults.readers import everyone, markers, ours, rows, unreferenced
from tests.lakehouse.plain_readers import assert_reads_everywhere

SALES = pl.DataFrame(
    {"week": ["w1", "w1", "w2", "w3"], "item": [1, 2, 3, 4], "sales": [1.5, None, -2.0, 0.0]}
)
NEW = pl.DataFrame({"week": ["w1", "w2"], "item": [2, 5], "sales": [20.0, 50.0]})
MakeTable = Callable[..., Table]


def upserted(old: pl.DataFrame, new: pl.DataFrame, on: list[str]) -> pl.DataFrame:
    """What Polars makes of it: the reference."""
    return pl.concat([old.join(new, on=on, how="anti"), new])


def contents(table: Table) -> dict[str, bytes]:
    """Every live data file, byte for byte."""
    store = table.storage.store
    return {path: bytes(obstore.get(store, path).bytes()) for path in table.head().files}


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_a_row_replaces_its_key_or_is_added(
    make_table: MakeTable, primary: str, mirror: str | None
) -> None:
    table = make_table(primary, mirror, partition_by=["week"], primary_key=["item"])
    table.write(SALES)

    commit = table.write(NEW.lazy(), "merge")

    assert_reads_everywhere(table, upserted(SALES, NEW, ["item"]), by="item")
    assert commit.merged is not None
    assert (commit.merged.inserted, commit.merged.updated, commit.merged.deleted) == (1, 1, 0)
    assert markers(table) == []
    assert unreferenced(table) == set()


def test_the_first_merge_makes_the_table(make_table: MakeTable) -> None:
    table = make_table(partition_by=["week"])

    table.write(SALES, "merge", on=["item"])

    assert ours(table) == rows(SALES)


def test_files_without_a_key_stay_as_they_are_and_are_not_read(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_table("delta", "iceberg", partition_by=["week"])
    for start in range(0, 100, 10):
        items = list(range(start, start + 10))
        table.write(pl.DataFrame({"week": ["w1"] * 10, "item": items, "sales": [1.0] * 10}))
    table.write(SALES.with_columns(item=pl.col("item") + 1000))
    before = contents(table)
    read: list[str] = []
    scan = scan_files

    def noting(files: Any, *args: Any, **kwargs: Any) -> pl.LazyFrame:
        read.extend(file.path for file in files if file.path in before)
        return scan(files, *args, **kwargs)

    monkeypatch.setattr(merge, "scan_files", noting)
    change = pl.DataFrame({"week": ["w1", "w2"], "item": [42, 77], "sales": [9.0, 9.0]})
    commit = table.write(change, "merge", on=["item"])

    after = contents(table)
    gone = before.keys() - after.keys()
    assert len(gone) == 2
    assert set(read) == gone
    assert {path: after[path] for path in before.keys() - gone} == {
        path: data for path, data in before.items() if path not in gone
    }
    assert commit.merged is not None
    assert commit.merged.files_rewritten == commit.merged.files_read == 2


def test_files_between_whose_bounds_a_key_lies_are_read_and_not_rewritten(
    make_table: MakeTable,
) -> None:
    table = make_table()
    table.write(pl.DataFrame({"item": [0, 100], "sales": [1, 2]}))
    table.write(pl.DataFrame({"item": [200, 300], "sales": [3, 4]}))

    commit = table.write(pl.DataFrame({"item": [50], "sales": [5]}), "merge", on=["item"])

    assert commit.merged is not None
    assert (commit.merged.files_read, commit.merged.files_rewritten) == (1, 0)
    assert commit.rows == 1


def test_bounds_that_are_missing_or_of_another_type_rule_no_file_out() -> None:
    strange = DataFile("strange", 1, 1, lower={"item": "a"}, upper={"item": "b"})
    unknown = DataFile("unknown", 1, 1)
    below = DataFile("below", 1, 1, lower={"item": 1}, upper={"item": 6})
    nulls = DataFile("nulls", 1, 3, nulls={"item": 3})
    within = DataFile("within", 1, 1, lower={"item": 7}, upper={"item": 7})

    some = pl.DataFrame({"item": [7, 9]})
    found = candidates([unknown, below, nulls, within], some, ["item"], [])

    assert found == [unknown, within]
    assert candidates([strange], some, ["item"], []) == [strange]
    assert candidates([within], some.clear(), ["item"], []) == []


def test_large_files_keep_their_size_and_their_narrow_bounds(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "_SMALL_BYTES", 1)
    table = make_table("delta", primary_key=["item"])
    for start in (2000, 0, 3000, 1000):
        table.write(pl.DataFrame({"item": range(start, start + 1000), "sales": 0}))

    table.write(pl.DataFrame({"item": range(5, 4000, 100), "sales": 1}), "merge")

    files = list(table.head().files.values())
    assert [file.rows for file in files] == [1000] * 4
    widths: list[Any] = sorted(f.upper["item"] - f.lower["item"] for f in files)  # type: ignore[operator]
    assert widths[2] < 1100 < widths[3]  # the last one has the new rows, of all keys


def test_a_key_of_partition_and_number_reads_only_its_partitions(make_table: MakeTable) -> None:
    table = make_table(partition_by=["week"], primary_key=["week", "item"])
    for week in ("w1", "w2", "w3"):
        table.write(pl.DataFrame({"week": [week] * 3, "item": [1, 2, 3], "sales": [0, 0, 0]}))

    change = pl.DataFrame({"week": ["w1", "w2"], "item": [2, 9], "sales": [7, 7]})
    commit = table.write(change, "merge")

    assert commit.merged is not None
    assert (commit.merged.files_read, commit.merged.files_rewritten) == (1, 1)
    assert table.scan().filter(sales=7).collect().height == 2


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_merging_twice_is_merging_once(
    make_table: MakeTable, primary: str, mirror: str | None
) -> None:
    table = make_table(primary, mirror, partition_by=["week"])
    table.write(SALES)
    table.write(NEW, "merge", on=["item"])
    once = ours(table)

    again = table.write(NEW, "merge", on=["item"])

    assert again.merged is not None
    assert (again.merged.inserted, again.merged.updated) == (0, 2)
    assert set(map(tuple, everyone(table).values())) == {tuple(once)}


def test_a_row_moves_to_the_partition_that_it_now_says(make_table: MakeTable) -> None:
    table = make_table("iceberg", "delta", partition_by=["week"])
    table.write(SALES)

    table.write(pl.DataFrame({"week": ["w3"], "item": [3], "sales": [3.0]}), "merge", on=["item"])

    weeks = {file.partition: file.rows for file in table.head().files.values()}
    assert weeks.keys() == {("w1",), ("w3",)}
    assert ours(table, "delta") == ours(table, "iceberg")
    assert table.scan().filter(item=3).collect().rows() == [("w3", 3, 3.0)]


def test_ignoring_rows_whose_key_is_there(make_table: MakeTable) -> None:
    table = make_table("delta", partition_by=["week"])
    table.write(SALES)
    before = set(table.head().files)

    commit = table.write(NEW, "merge", on=["item"], when_matched="ignore")

    assert ours(table) == rows(pl.concat([SALES, NEW.filter(pl.col("item") == 5)]))
    assert before < set(table.head().files)
    assert commit.merged is not None
    assert (commit.merged.inserted, commit.merged.updated, commit.merged.ignored) == (1, 0, 1)


@pytest.mark.parametrize("when_matched", ["update", "ignore"])
@pytest.mark.parametrize("lazy", [True, False])
def test_a_column_of_the_frame_marks_keys_to_delete(
    make_table: MakeTable, when_matched: Any, lazy: bool
) -> None:
    columns = {"week": StringType(), "item": LongType(), "sales": DoubleType()}
    schema = schema_of(columns, required=["week", "item", "sales"])
    table = make_table(schema=schema, partition_by=["week"], primary_key=["item"])
    table.write(SALES.drop_nulls())
    change = pl.DataFrame(
        {
            "item": [1, 3, 6, 7],
            "week": [None, "w2", None, "w1"],  # a row that only deletes needs no values
            "sales": [None, 30.0, None, 7.0],
            "gone": [True, False, True, None],
        }
    )

    commit = table.write(
        change.lazy() if lazy else change, "merge", when_matched=when_matched, deleted="gone"
    )

    sales = dict(table.scan().select("item", "sales").collect().rows())
    assert sales == {3: 30.0 if when_matched == "update" else -2.0, 4: 0.0, 7: 7.0}
    assert commit.merged is not None
    assert (commit.merged.deleted, commit.merged.inserted) == (1, 1)


def test_a_merge_can_empty_the_table(make_table: MakeTable) -> None:
    table = make_table("delta", "iceberg")
    table.write(SALES)

    table.write(SALES.with_columns(gone=True), "merge", on=["item"], deleted="gone")

    assert set(map(tuple, everyone(table).values())) == {()}
    assert table.head().files == {}


def test_an_empty_frame_makes_a_version_that_changes_nothing(make_table: MakeTable) -> None:
    table = make_table("iceberg", "delta")
    table.write(SALES)
    files = set(table.head().files)

    commit = table.write(SALES.clear().lazy(), "merge", on=["item"], inputs={"x": 7})

    assert set(table.head().files) == files
    assert len(table.history()) == 2
    assert commit.version.properties["mcai.inputs"] == '{"x": 7}'


# ---------------------------------------------------------------------- what is refused


def test_rows_that_share_a_key_are_named(make_table: MakeTable) -> None:
    table = make_table(primary_key=["week", "item"])
    table.write(SALES)
    twice = pl.concat([SALES, SALES.tail(2), SALES.tail(1)])

    with pytest.raises(UnusableKeys) as refused:
        table.write(twice.lazy(), "merge")

    message = str(refused.value)
    assert "2 keys have more than one row" in message
    assert "week = w2, item = 3 (2 rows)" in message
    assert "week = w3, item = 4 (3 rows)" in message
    assert refused.value.exit_code == 2
    assert len(table.history()) == 1
    assert markers(table) == []
    assert unreferenced(table) == set()


def test_only_a_few_of_many_shared_keys_are_named(make_table: MakeTable) -> None:
    frame = pl.DataFrame({"item": [*range(1000), *range(1000)]})
    with pytest.raises(UnusableKeys, match=r"1,000 keys .* item = 4 \(2 rows\); and 995 more"):
        make_table().write(frame, "merge", on=["item"])


def test_rows_without_a_key_are_counted(make_table: MakeTable) -> None:
    frame = pl.DataFrame({"item": [1, None, None], "sales": [1, 2, 3]})
    with pytest.raises(UnusableKeys, match="key column 'item' has no value in 2 rows"):
        make_table().write(frame, "merge", on=["item"])
    with pytest.raises(UnusableKeys, match="no value in 1 rows"):
        make_table().write(frame.head(2), "merge", on=["item"])


@pytest.mark.parametrize(
    ("on", "message"),
    [
        (["sales"], "column 'sales' is double, whose values do not compare exactly"),
        (["shop"], "the table has no column 'shop', which is part of the key"),
        (["item", "parts"], "column 'parts' is list<string>"),
    ],
)
def test_columns_that_cannot_be_a_key(make_table: MakeTable, on: list[str], message: str) -> None:
    with pytest.raises(SchemaMismatch, match=message):
        make_table().write(SALES.with_columns(parts=pl.lit(["x"])), "merge", on=on)


def test_a_key_column_that_the_frame_lacks(make_table: MakeTable) -> None:
    table = make_table()
    table.write(SALES)
    with pytest.raises(SchemaMismatch, match="the frame has no column 'item'"):
        table.write(SALES.drop("item"), "merge", on=["week", "item"])


def test_a_marker_of_deleted_rows_has_to_be_boolean(make_table: MakeTable) -> None:
    table = make_table()
    for frame, found in ((SALES, "missing"), (SALES.with_columns(gone=1), "Int32")):
        with pytest.raises(SchemaMismatch, match=f"'gone', which marks deleted rows, is {found}"):
            table.write(frame, "merge", on=["item"], deleted="gone")


@pytest.mark.parametrize(
    ("mode", "arguments"),
    [
        ("merge", {}),
        ("merge", {"on": []}),
        ("merge", {"on": ["item"], "deleted": "item"}),
        ("merge", {"on": ["item"], "partitions": [("w1",)]}),
        ("append", {"on": ["item"]}),
        ("overwrite", {"deleted": "item"}),
    ],
)
def test_arguments_that_do_not_go_together(
    make_table: MakeTable, mode: Any, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="table t: "):
        make_table().write(SALES, mode, **arguments)


def test_a_failing_audit_keeps_a_merge_invisible(make_table: MakeTable) -> None:
    table = make_table("delta", partition_by=["week"])
    table.write(SALES)
    seen: list[int] = []

    def audit(batch: StagedBatch) -> None:
        staged = [table.storage.uri + "/" + file.path for file in batch.files]
        seen.append(pl.scan_parquet(staged, hive_partitioning=False).collect().height)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        table.write(NEW, "merge", on=["item"], audit=audit)

    assert seen == [3]  # the two new rows, and what else was in the file of the one that was there
    assert ours(table) == rows(SALES)
    assert markers(table) == []
    assert unreferenced(table) == set()


# ---------------------------------------------------------------------- schemas


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_merging_into_a_table_that_grows_columns_and_wider_types(
    tmp_path: Path, primary: str, mirror: str | None
) -> None:
    def declared(columns: dict[str, Any]) -> Table:
        schema = schema_of(columns)
        options: dict[str, Any] = {"schema": schema, "partition_by": ["week"]}
        return open_table(tmp_path, "t", primary, mirror, primary_key=["item"], **options)

    narrow = {"week": StringType(), "item": IntegerType(), "sales": DoubleType()}
    declared(narrow).write(SALES)
    declared({**narrow, "note": StringType()}).write(NEW.with_columns(note=pl.lit("a")), "merge")
    wide = declared({**narrow, "item": LongType(), "note": StringType(), "more": LongType()})

    big = pl.DataFrame({"week": ["w1", "w1"], "item": [1, 2**40], "more": [3, 4]})
    wide.write(big, "merge")

    noted = upserted(
        SALES.with_columns(note=pl.lit(None, pl.String)),
        NEW.with_columns(note=pl.lit("a")),
        ["item"],
    ).with_columns(more=pl.lit(None, pl.Int64))
    none = big.with_columns(sales=pl.lit(None, pl.Float64), note=pl.lit(None, pl.String))
    expected = upserted(noted, none.select(noted.columns), ["item"])
    assert_reads_everywhere(wide, expected, by="item")


def test_the_files_of_another_writer_without_the_partition_column(tmp_path: Path) -> None:
    from deltalake import write_deltalake

    table = open_table(tmp_path, "t", "delta", "iceberg", partition_by=["week"])
    table.write(SALES)
    more = SALES.with_columns(item=pl.col("item") + 10)
    write_deltalake(table.storage.uri, more.to_arrow(), mode="append")

    change = pl.DataFrame({"week": ["w1", "w9"], "item": [11, 14], "sales": [0.5, 0.25]})
    table.write(change, "merge", on=["item"])

    assert set(map(tuple, everyone(table).values())) == {
        tuple(rows(upserted(pl.concat([SALES, more]), change, ["item"])))
    }


def test_a_renamed_column_is_not_rewritten_by_name(make_table: MakeTable) -> None:
    table = make_table("iceberg")
    table.write(SALES)
    foreign = table.storage.catalog().load_table(table.storage.identifier)
    with foreign.update_schema() as update:
        update.rename_column("sales", "turnover")

    with pytest.raises(UnsupportedTable, match="was renamed or replaced"):
        table.write(NEW.rename({"sales": "turnover"}), "merge", on=["item"])
    table.write(NEW.rename({"sales": "turnover"}))
    with pytest.raises(UnsupportedTable, match="was renamed or replaced"):
        table.compact()


# ---------------------------------------------------------------------- others meanwhile


def overtaken(table: Table, other: Callable[[], object]) -> Callable[[str], None]:
    """Let somebody else commit when the merge has staged its files, once."""
    done: list[str] = []

    def on_step(name: str) -> None:
        if name == "staged" and not done:
            done.append(name)
            other()

    return on_step


def test_a_merge_with_a_key_is_made_once(make_table: MakeTable) -> None:
    table = make_table("delta", "iceberg")
    key = AppendKey("run 1", dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1))
    table.write(SALES, "merge", on=["item"], key=key)
    table.write(NEW, "merge", on=["item"])

    again = table.write(SALES, "merge", on=["item"], key=key)

    assert again.repeated
    assert ours(table) == rows(upserted(SALES, NEW, ["item"]))


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_others_may_append_other_keys_meanwhile(
    tmp_path: Path, primary: str, mirror: str | None
) -> None:
    table, other = (open_table(tmp_path, "t", primary, mirror) for _ in range(2))
    table.write(SALES)
    more = SALES.with_columns(item=pl.col("item") + 100)

    step = overtaken(table, lambda: other.write(more))
    table.write(NEW, "merge", on=["item"], on_step=step)

    assert set(map(tuple, everyone(table).values())) == {
        tuple(rows(pl.concat([upserted(SALES, NEW, ["item"]), more])))
    }


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
@pytest.mark.parametrize("when_matched", ["update", "ignore"])
def test_a_key_that_others_appended_meanwhile_is_not_doubled(
    tmp_path: Path, primary: str, mirror: str | None, when_matched: Any
) -> None:
    table, other = (open_table(tmp_path, "t", primary, mirror) for _ in range(2))
    table.write(SALES)
    theirs = pl.DataFrame({"week": ["w7"], "item": [5], "sales": [7.0]})

    step = overtaken(table, lambda: other.write(theirs))
    with pytest.raises(StaleWrite, match="compute it again"):
        table.write(NEW, "merge", on=["item"], when_matched=when_matched, on_step=step)

    assert ours(table) == rows(pl.concat([SALES, theirs]))
    assert unreferenced(table) == set()
    table.write(NEW, "merge", on=["item"], when_matched=when_matched)
    assert table.scan().filter(item=5).collect().height == 1


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_others_may_merge_other_keys_of_the_same_file_meanwhile(
    tmp_path: Path, primary: str, mirror: str | None
) -> None:
    table, other = (open_table(tmp_path, "t", primary, mirror) for _ in range(2))
    table.write(SALES)
    theirs = pl.DataFrame({"week": ["w1", "w9"], "item": [1, 9], "sales": [-1.0, -9.0]})

    step = overtaken(table, lambda: other.write(theirs, "merge", on=["item"]))
    table.write(NEW, "merge", on=["item"], on_step=step)

    expected = upserted(upserted(SALES, theirs, ["item"]), NEW, ["item"])
    assert set(map(tuple, everyone(table).values())) == {tuple(rows(expected))}
    assert markers(table) == []
    assert unreferenced(table) == set()


def test_a_merge_that_others_keep_overtaking_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, other = (open_table(tmp_path, "t", "delta", None) for _ in range(2))
    table.write(SALES)
    monkeypatch.setattr(merge, "_ATTEMPTS", 2)

    def meddle(name: str) -> None:
        if name == "staged":
            other.write(SALES.head(1), "merge", on=["item"])

    with pytest.raises(CommitContention, match="others rewrote the files of this merge's keys 2"):
        table.write(NEW, "merge", on=["item"], on_step=meddle)
    assert markers(table) == []
    assert unreferenced(table) == set()


def test_a_key_that_was_ignored_and_is_gone_meanwhile(tmp_path: Path) -> None:
    table, other = (open_table(tmp_path, "t", "delta", None) for _ in range(2))
    table.write(SALES)

    step = overtaken(table, lambda: other.write(SALES.head(1), "overwrite"))
    with pytest.raises(StaleWrite):
        table.write(NEW, "merge", on=["item"], when_matched="ignore", on_step=step)


def test_a_base_that_lacks_what_was_merged_since_is_stale(make_table: MakeTable) -> None:
    table = make_table()
    table.write(SALES)
    base = table.head()
    table.write(NEW, "merge", on=["item"])

    with pytest.raises(StaleWrite):
        table.write(NEW, "merge", on=["item"], base=base)

    others = NEW.with_columns(item=pl.col("item") + 50)
    table.write(others, "merge", on=["item"], base=base)
    assert ours(table) == rows(pl.concat([upserted(SALES, NEW, ["item"]), others]))


def test_a_table_that_others_made_meanwhile(tmp_path: Path) -> None:
    table, other = (open_table(tmp_path, "t", "iceberg", None) for _ in range(2))

    step = overtaken(table, lambda: other.write(SALES))
    with pytest.raises(StaleWrite):
        table.write(NEW, "merge", on=["item"], on_step=step)


# ---------------------------------------------------------------------- the law

KEYS: dict[str, tuple[pl.DataType, st.SearchStrategy[Any]]] = {
    "whole": (pl.Int64(), st.integers(-3, 12)),
    "text": (
        pl.String(),
        st.sampled_from(["", "a", "é" * 20, "long text of more than 16", "long text of more", "z"]),
    ),
    "day": (pl.Date(), st.dates(dt.date(2017, 1, 1), dt.date(2017, 1, 9))),
    "exact": (pl.Decimal(12, 2), st.decimals(-2, 2, places=2).map(Decimal)),
    "moment": (
        pl.Datetime("us", "UTC"),
        st.datetimes(dt.datetime(2017, 1, 1), dt.datetime(2017, 1, 1, 0, 0, 0, 900)).map(
            lambda value: value.replace(tzinfo=dt.UTC)
        ),
    ),
    "raw": (pl.Binary(), st.binary(max_size=2)),
    "flag": (pl.Boolean(), st.booleans()),
}


@st.composite
def frames(draw: st.DrawFn, on: list[str], *, unique: bool) -> pl.DataFrame:
    """Rows with these key columns, a partition and a value."""
    row = st.fixed_dictionaries(
        {name: KEYS[name][1] for name in on}
        | {"part": st.sampled_from(["p", "q/ü"]), "value": st.integers(0, 99)}
    )
    key = (lambda r: tuple(r[name] for name in on)) if unique else None
    found = draw(st.lists(row, max_size=8, unique_by=key))
    schema = {name: KEYS[name][0] for name in on} | {"part": pl.String(), "value": pl.Int64()}
    return pl.DataFrame(found, schema=schema)


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_merge_is_polars_anti_join_and_concat(
    tmp_path_factory: pytest.TempPathFactory, primary: str, mirror: str | None, data: st.DataObject
) -> None:
    on = data.draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=3, unique=True))
    by = data.draw(
        st.sampled_from([[], ["part"], *([[on[0]]] if on[0] in ("whole", "day") else [])])
    )
    table = open_table(tmp_path_factory.mktemp("t"), "t", primary, mirror, partition_by=by)
    expected = data.draw(frames(on, unique=False))  # the table may hold a key several times
    for slice in (expected.head(3), expected.slice(3)):
        table.write(slice)
    for _ in range(2):
        new = data.draw(frames(on, unique=True))
        expected = upserted(expected, new, on)

        table.write(new if data.draw(st.booleans()) else new.lazy(), "merge", on=on)

        for reader, seen in everyone(table).items():
            assert seen == rows(expected), reader
    assert unreferenced(table) == set()
