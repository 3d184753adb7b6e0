"""Compaction: fewer files, the same rows, and nobody is disturbed."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import obstore
import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyiceberg.types import IntegerType, LongType

from mcai_pipelines.lakehouse import compact
from mcai_pipelines.lakehouse.compact_plan import SORTED, Request, plan
from mcai_pipelines.lakehouse.errors import CompactionFailed, SchemaMismatch, StaleWrite
from mcai_pipelines.lakehouse.files import DataFile, read_footer
from mcai_pipelines.lakehouse.scan_files import scan_files
from mcai_pipelines.lakehouse.scope import steps_between
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import CODE_VERSION, CONTENT, INPUTS
from mcai_pipelines.lakehouse.write import AppendKey
from tests.lakehouse.conftest import FORMATS, MIRRORED, open_table, schema_of
from tests.lakehouse.faults.readers import everyone, markers, ours, rows, unreferenced
from tests.lakehouse.plain_readers import assert_reads_everywhere

MakeTable = Callable[..., Table]
with_mirror = pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
every_format = pytest.mark.parametrize(("primary", "mirror"), FORMATS)


def sales(week: str, *items: int) -> pl.DataFrame:
    return pl.DataFrame(
        {"week": [week] * len(items), "item": items, "sales": [item / 2 for item in items]},
        schema={"week": pl.String, "item": pl.Int64, "sales": pl.Float64},
    )


def fill(table: Table, files: int = 5) -> pl.DataFrame:
    """Write one small file per week and version."""
    frames = [pl.concat([sales("w1", n, 100 + n), sales("w2", 200 + n)]) for n in range(files)]
    for frame in frames:
        table.write(frame)
    return pl.concat(frames)


def meanwhile(other: Callable[[], object], at: str = "staged") -> Callable[[str], None]:
    """Let somebody else commit when a write has come so far, once."""
    done: list[str] = []

    def on_step(name: str) -> None:
        if name == at and not done:
            done.append(name)
            other()

    return on_step


# ---------------------------------------------------------------------- what it does


@every_format
def test_small_files_become_one_per_partition_and_no_row_changes(
    make_table: MakeTable, primary: str, mirror: str | None
) -> None:
    table = make_table(primary, mirror, partition_by=["week"])
    expected = fill(table)
    before = table.info()

    done = table.compact()

    assert (done.files_before, done.files_after, done.partitions) == (10, 2, 2)
    assert (done.rows, done.left) == (15, 0)
    assert done.bytes_before == before.bytes
    assert done.bytes_after == table.info().bytes < before.bytes
    assert_reads_everywhere(table, expected, by="item")
    assert markers(table) == []
    assert unreferenced(table) == set()


def test_a_second_compaction_finds_nothing_to_do(make_table: MakeTable) -> None:
    table = make_table("delta", partition_by=["week"])
    fill(table)
    table.compact()
    versions = len(table.history())

    again = table.compact()

    assert again.version is None
    assert again.files_before == 0
    assert len(table.history()) == versions


def test_good_files_are_left_alone(make_table: MakeTable) -> None:
    table = make_table()
    large = table.write(pl.DataFrame({"item": range(20_000)}))
    for n in range(3):
        table.write(pl.DataFrame({"item": [n]}))
    (path,) = [
        path for path in table.head().files if large.version.properties["mcai.batch"] in path
    ]

    done = table.compact(target_size=large.bytes)

    assert path in table.head().files
    assert (done.files_before, done.files_after) == (3, 1)


def test_files_are_put_together_up_to_the_target_size(make_table: MakeTable) -> None:
    table = make_table()
    for n in range(10):
        table.write(pl.DataFrame({"item": range(n * 1000, n * 1000 + 1000)}))
    size = table.info().bytes / 10

    done = table.compact(target_size=int(size * 2.9))

    assert (done.files_before, done.files_after) == (10, 5)
    assert [file.rows for file in table.head().files.values()] == [2000] * 5


def test_too_few_small_files_are_not_worth_it(make_table: MakeTable) -> None:
    table = make_table(partition_by=["week"])
    fill(table, 2)
    table.write(sales("w1", 9))

    assert table.compact(min_files=4).version is None
    done = table.compact(min_files=3)
    assert (done.partitions, done.files_before) == (1, 3)


def test_chosen_partitions(make_table: MakeTable) -> None:
    table = make_table(partition_by=["week"])
    fill(table)

    done = table.compact(partitions=[("w2",)])

    assert (done.files_before, done.files_after, done.partitions) == (5, 1, 1)
    with pytest.raises(SchemaMismatch, match="partition"):
        table.compact(partitions=[(7,)])


def test_a_dry_run_tells_and_changes_nothing(make_table: MakeTable) -> None:
    table = make_table(partition_by=["week"])
    fill(table)

    told = table.compact(dry_run=True)

    assert (told.files_before, told.files_after, told.rows, told.version) == (10, 2, 15, None)
    assert len(table.history()) == 5


def test_what_makes_no_sense_is_refused(make_table: MakeTable) -> None:
    table = make_table()
    table.write(sales("w1", 1).with_columns(parts=pl.lit(["x"])))
    for column in ("shop", "parts"):
        with pytest.raises(SchemaMismatch, match=f"cannot be sorted by '{column}'"):
            table.compact(sort_by=[column])
    with pytest.raises(ValueError, match="must be positive"):
        table.compact(target_size=0)


# ---------------------------------------------------------------------- sorting


def metadata(table: Table, file: DataFile) -> dict[bytes, bytes]:
    return read_footer(file.path, file.size, table.storage).metadata or {}


@every_format
def test_sorted_rows_let_a_filter_skip_files(
    make_table: MakeTable, primary: str, mirror: str | None
) -> None:
    table = make_table(primary, mirror, partition_by=["week"])
    frames = [sales("w1", *range(n, 40_000, 4)) for n in range(4)]
    for frame in frames:
        table.write(frame)
    size = table.info().bytes

    done = table.compact(sort_by=["item"], target_size=size // 4)

    ranges: list[Any] = [(f.lower["item"], f.upper["item"]) for f in table.head().files.values()]
    assert len(ranges) == done.files_after == 4
    assert all(high < low for (_, high), (low, _) in pairwise(sorted(ranges)))
    for file in table.head().files.values():
        assert metadata(table, file)[SORTED.encode()] == b'["item"]'
        frame = pl.read_parquet(f"{table.storage.uri}/{file.path}", hive_partitioning=False)
        assert frame["item"].is_sorted()
    assert ours(table) == rows(pl.concat(frames))


def test_only_what_is_not_sorted_yet_is_sorted(make_table: MakeTable) -> None:
    table = make_table(partition_by=["week"])
    fill(table)
    first = table.compact(sort_by=["item"], target_size=1000)  # every file is good then
    sorted_files = set(table.head().files)
    assert first.files_before == 10
    assert table.compact(sort_by=["item"], target_size=1000).version is None

    table.write(sales("w1", 50, 7, 3))
    done = table.compact(sort_by=["item"], target_size=1000)

    assert (done.files_before, done.partitions) == (1, 1)
    assert sorted_files < set(table.head().files)
    assert table.compact(sort_by=["sales"], target_size=1000).files_before > 1


def test_small_sorted_files_are_sorted_again_as_one(make_table: MakeTable) -> None:
    table = make_table()
    for items in ((5, 1), (4, 2)):
        table.write(sales("w1", *items))
    table.compact(sort_by=["item"], target_size=1000)
    table.write(sales("w1", 3, 0))
    table.compact(sort_by=["item"], target_size=1000)
    assert table.info().files > 1

    table.compact(sort_by=["item"])

    assert table.scan().collect()["item"].to_list() == [0, 1, 2, 3, 4, 5]


# ---------------------------------------------------------------------- no news to readers


@every_format
def test_the_formats_say_that_no_data_changed(
    make_table: MakeTable, primary: str, mirror: str | None
) -> None:
    table = make_table(primary, mirror, partition_by=["week"])
    fill(table)

    done = table.compact(properties={"mcai.run": "r1"})

    assert done.version is not None
    assert done.version.is_compaction
    assert done.version.properties["mcai.run"] == "r1"
    newest = {log.format: next(log.versions()) for log in (table.primary, table.mirror_log) if log}
    if "iceberg" in newest:
        assert newest["iceberg"].operation == "replace"
        snapshot = table.storage.catalog().load_table(table.storage.identifier).current_snapshot()
        assert snapshot is not None
        assert snapshot.summary is not None
        assert snapshot.summary["total-data-files"] == "2"
        assert snapshot.summary["total-records"] == "15"
    if "delta" in newest:
        assert newest["delta"].operation == "optimize"
        entry = f"_delta_log/{newest['delta'].id:020}.json"
        text = bytes(obstore.get(table.storage.store, entry).bytes()).decode()
        actions = [next(iter(json.loads(line).items())) for line in text.splitlines()]
        changes = [body["dataChange"] for kind, body in actions if kind in ("add", "remove")]
        assert changes == [False] * 12


@with_mirror
def test_a_mirror_that_lagged_by_more_than_the_compaction_saw_data_change(
    tmp_path: Path, primary: str, mirror: str
) -> None:
    table = open_table(tmp_path, "t", primary, mirror, partition_by=["week"])
    alone = open_table(tmp_path, "t", primary, None, partition_by=["week"])
    fill(table, 2)
    alone.write(sales("w1", 77))
    alone.compact()

    assert ours(table, mirror) == ours(table)
    assert table.mirror_log is not None
    newest = next(table.mirror_log.versions())
    assert not newest.is_compaction
    assert CONTENT not in newest.properties


@every_format
def test_a_reader_of_versions_sees_no_new_content(
    make_table: MakeTable, primary: str, mirror: str | None
) -> None:
    table = make_table(primary, mirror)
    fill(table, 2)
    made = table.write(
        sales("w1", 7), inputs={"x": 3}, properties={CODE_VERSION: "c", "mcai.run": "r"}
    )
    contents = [made.version.content]
    for _ in range(2):
        table.compact()
        table.write(sales("w1").lazy())  # an append of no row
        table.compact(sort_by=["item"])
        contents.append(next(table.primary.versions()).content)

    newest = next(table.primary.versions())
    assert made.version.content == made.version.id
    assert contents[1] != contents[0]  # an append, though of no row, is content
    table.compact(target_size=1)
    assert next(table.primary.versions()).content == newest.content
    compacted = [v for v in table.primary.versions() if v.is_compaction][-1]
    assert compacted.content == made.version.id
    assert compacted.properties[INPUTS] == '{"x": 3}'
    assert compacted.properties[CODE_VERSION] == "c"
    assert "mcai.run" not in compacted.properties


@every_format
def test_older_versions_stay_readable(
    make_table: MakeTable, primary: str, mirror: str | None
) -> None:
    table = make_table(primary, mirror, partition_by=["week"])
    old = table.write(sales("w1", 1))
    fill(table)
    newest = table.history()[0]
    then = ours(table)
    table.compact()

    assert rows(table.scan(version=old.version.id).collect()) == rows(sales("w1", 1))
    assert rows(table.scan(version=newest.id).collect()) == then
    assert rows(table.scan(as_of=newest.committed_at).collect()) == then
    table.rollback(old.version.id)
    assert set(map(tuple, everyone(table).values())) == {tuple(rows(sales("w1", 1)))}


def test_an_append_that_was_made_before_the_compaction_is_not_repeated(
    make_table: MakeTable,
) -> None:
    table = make_table("delta", "iceberg")
    fill(table, 2)
    key = AppendKey("k", dt.datetime.now(dt.UTC) - dt.timedelta(minutes=1))
    table.write(sales("w1", 5), key=key)
    table.compact()

    assert table.write(sales("w1", 5), key=key).repeated


# ---------------------------------------------------------------------- schemas, other writers


@every_format
def test_files_of_older_schemas_are_written_in_the_present_one(
    tmp_path: Path, primary: str, mirror: str | None
) -> None:
    narrow = open_table(tmp_path, "t", primary, mirror, schema=schema_of({"n": IntegerType()}))
    for n in range(3):
        narrow.write(pl.DataFrame({"n": [n]}))
    columns = {"n": LongType(), "more": LongType()}
    wide = open_table(tmp_path, "t", primary, mirror, schema=schema_of(columns))
    wide.write(pl.DataFrame({"n": [2**40], "more": [1]}))

    wide.compact()

    (file,) = wide.head().files.values()
    assert pl.read_parquet_schema(f"{wide.storage.uri}/{file.path}") == {
        "n": pl.Int64,
        "more": pl.Int64,
    }
    expected = pl.DataFrame({"n": [0, 1, 2, 2**40], "more": [None, None, None, 1]})
    assert_reads_everywhere(wide, expected, by="n")


def test_files_of_another_writer_without_the_partition_column(make_table: MakeTable) -> None:
    table = make_table("delta", "iceberg", partition_by=["week"])
    expected = fill(table, 2)
    more = pl.concat([sales("w1", 11), sales("w3", 12)])
    write_deltalake(table.storage.uri, more.to_arrow(), mode="append")

    table.compact()

    assert set(map(tuple, everyone(table).values())) == {tuple(rows(pl.concat([expected, more])))}


def test_a_compaction_by_delta_rs_is_one_too(make_table: MakeTable) -> None:
    table = make_table("delta", "iceberg", partition_by=["week"])
    fill(table)
    base = table.head()
    DeltaTable(table.storage.uri).optimize.compact()

    assert table.history()[0].is_compaction
    table.write(sales("w1", 1), "overwrite_partitions", partitions=[("w1",)], base=base)
    assert set(table.scan().filter(week="w1").collect()["item"]) == {1}


# ---------------------------------------------------------------------- others meanwhile


@with_mirror
def test_others_may_append_meanwhile(tmp_path: Path, primary: str, mirror: str) -> None:
    table, other = (
        open_table(tmp_path, "t", primary, mirror, partition_by=["week"]) for _ in range(2)
    )
    expected = fill(table)

    done = table.compact(on_step=meanwhile(lambda: other.write(sales("w1", 77))))

    assert (done.files_before, done.left) == (10, 0)
    assert set(map(tuple, everyone(table).values())) == {
        tuple(rows(pl.concat([expected, sales("w1", 77)])))
    }
    assert done.version is not None
    assert done.version.content == table.history()[1].id


@with_mirror
def test_files_that_others_replace_meanwhile_are_left(
    tmp_path: Path, primary: str, mirror: str
) -> None:
    table, other = (
        open_table(tmp_path, "t", primary, mirror, partition_by=["week"]) for _ in range(2)
    )
    expected = fill(table)

    def replace() -> None:
        other.write(sales("w1", 77), "overwrite_partitions", partitions=[("w1",)])

    done = table.compact(on_step=meanwhile(replace))

    assert (done.files_before, done.files_after, done.left) == (5, 1, 5)
    kept = expected.filter(week="w2")
    assert set(map(tuple, everyone(table).values())) == {
        tuple(rows(pl.concat([kept, sales("w1", 77)])))
    }
    assert markers(table) == []
    assert unreferenced(table) == set()


def test_where_others_replace_everything_nothing_is_left_to_do(tmp_path: Path) -> None:
    table, other = (open_table(tmp_path, "t", "delta", "iceberg") for _ in range(2))
    fill(table)

    done = table.compact(on_step=meanwhile(lambda: other.write(sales("w1", 1), "overwrite")))

    assert (done.version, done.files_before, done.left) == (None, 0, 10 // 2)
    assert ours(table) == rows(sales("w1", 1))
    assert markers(table) == []
    assert unreferenced(table) == set()


@with_mirror
def test_two_compactions_at_once_double_no_row(tmp_path: Path, primary: str, mirror: str) -> None:
    table, other = (open_table(tmp_path, "t", primary, mirror) for _ in range(2))
    expected = fill(table)

    done = table.compact(on_step=meanwhile(other.compact))

    assert (done.version, done.left) == (None, 5)
    assert set(map(tuple, everyone(table).values())) == {tuple(rows(expected))}


@with_mirror
def test_an_overwrite_that_a_compaction_overtook_is_not_stale(
    tmp_path: Path, primary: str, mirror: str
) -> None:
    table, other = (
        open_table(tmp_path, "t", primary, mirror, partition_by=["week"]) for _ in range(2)
    )
    expected = fill(table)

    def meddle() -> None:
        other.compact()
        other.write(sales("w2", 9))
        other.compact()

    step = meanwhile(meddle)
    table.write(sales("w1", 1), "overwrite_partitions", partitions=[("w1",)], on_step=step)

    kept = pl.concat([expected.filter(week="w2"), sales("w2", 9), sales("w1", 1)])
    assert set(map(tuple, everyone(table).values())) == {tuple(rows(kept))}


@pytest.mark.parametrize("primary", ["iceberg", "delta"])
@pytest.mark.parametrize("first", ["compact", "append"])
def test_an_overwrite_is_stale_if_rows_changed_before_or_after_the_compaction(
    tmp_path: Path, primary: str, first: str
) -> None:
    table, other = (
        open_table(tmp_path, "t", primary, None, partition_by=["week"]) for _ in range(2)
    )
    fill(table)

    def meddle() -> None:
        if first == "compact":
            other.compact()
        other.write(sales("w1", 9))
        other.compact()

    with pytest.raises(StaleWrite):
        table.write(
            sales("w1", 1),
            "overwrite_partitions",
            partitions=[("w1",)],
            on_step=meanwhile(meddle),
        )


@with_mirror
@pytest.mark.parametrize("when_matched", ["update", "ignore"])
def test_a_merge_that_a_compaction_overtook_looks_for_its_keys_again(
    tmp_path: Path, primary: str, mirror: str, when_matched: Any
) -> None:
    table, other = (
        open_table(tmp_path, "t", primary, mirror, partition_by=["week"]) for _ in range(2)
    )
    expected = fill(table)

    def meddle() -> None:
        other.compact()
        other.write(sales("w2", 900))

    new = pl.concat([sales("w1", 1, 901), sales("w2", 203)]).with_columns(sales=-1.0)
    table.write(
        new.lazy(), "merge", on=["item"], when_matched=when_matched, on_step=meanwhile(meddle)
    )

    whole = pl.concat([expected, sales("w2", 900)])
    if when_matched == "update":
        whole = pl.concat([whole.join(new, on="item", how="anti"), new])
    else:
        whole = pl.concat([whole, new.filter(item=901)])
    assert set(map(tuple, everyone(table).values())) == {tuple(rows(whole))}
    assert markers(table) == []
    assert unreferenced(table) == set()


@pytest.mark.parametrize("primary", ["iceberg", "delta"])
@pytest.mark.parametrize("change", ["added", "replaced"])
def test_a_merge_is_stale_if_its_keys_changed_around_a_compaction(
    tmp_path: Path, primary: str, change: str
) -> None:
    table, other = (
        open_table(tmp_path, "t", primary, None, partition_by=["week"]) for _ in range(2)
    )
    fill(table)

    def meddle() -> None:
        other.compact()
        if change == "added":
            other.write(sales("w2", 901))
        else:
            replaced = sales("w1", 1).with_columns(sales=-9.0)
            other.write(replaced, "overwrite_partitions", partitions=[("w1",)])

    with pytest.raises(StaleWrite):
        table.write(sales("w1", 1, 901), "merge", on=["item"], on_step=meanwhile(meddle))
    assert unreferenced(table) == set()


def test_a_table_that_others_made_and_compacted_meanwhile(make_table: MakeTable) -> None:
    table = make_table("delta")
    fill(table, 2)
    table.compact()
    with pytest.raises(StaleWrite):
        table.write(sales("w1", 1), "overwrite", base=None)


def test_where_the_way_between_two_versions_is_not_known(make_table: MakeTable) -> None:
    table = make_table("delta")
    fill(table, 3)
    table.compact()
    first, last = table.primary.at(0), table.head()

    steps = steps_between(table.primary, first, last)
    assert steps is not None
    assert [step.version.id for step in steps] == [1, 2, 3]
    assert len(steps[-1].removed) == 3
    assert steps_between(table.primary, last, first) is None  # no ancestor
    Path(table.storage.uri, "_delta_log", f"{2:020}.json").unlink()
    assert steps_between(table.primary, first, last) is None  # expired


def test_a_merge_that_came_first_keeps_its_files_from_the_compaction(tmp_path: Path) -> None:
    table, other = (
        open_table(tmp_path, "t", "delta", "iceberg", partition_by=["week"]) for _ in range(2)
    )
    expected = fill(table)
    new = sales("w1", 1, 999).with_columns(sales=-1.0)

    done = table.compact(on_step=meanwhile(lambda: other.write(new, "merge", on=["item"])))

    assert (done.files_before, done.left) == (5, 5)
    merged = pl.concat([expected.join(new, on="item", how="anti"), new])
    assert set(map(tuple, everyone(table).values())) == {tuple(rows(merged))}


# ---------------------------------------------------------------------- it checks itself


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda frame: frame.head(4), "should hold 5 rows gave 4"),
        (lambda frame: frame.with_columns(item=pl.lit(None, pl.Int64)), "gave 5 nulls"),
        (lambda frame: frame.with_columns(week=pl.lit("w9")), "gave 5"),
    ],
)
def test_other_rows_than_before_are_refused(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, damage: Any, message: str
) -> None:
    table = make_table("delta", partition_by=["week"])
    for n in range(5):
        table.write(sales("w1", n))
    scan = scan_files
    monkeypatch.setattr(compact, "scan_files", lambda *args, **kw: damage(scan(*args, **kw)))

    with pytest.raises(CompactionFailed, match=message):
        table.compact()

    assert len(table.history()) == 5
    assert markers(table) == []
    assert unreferenced(table) == set()


# ---------------------------------------------------------------------- the law


@every_format
@settings(
    max_examples=6,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    batches=st.lists(
        st.lists(
            st.tuples(
                st.sampled_from(["p", "q/ü"]),
                st.one_of(st.none(), st.integers(-5, 5)),
                st.one_of(st.none(), st.floats(allow_nan=True)),
                st.one_of(st.none(), st.text(max_size=20)),
            ),
            max_size=4,
        ),
        min_size=1,
        max_size=5,
    ),
    target=st.sampled_from([1, 1500, 3000, 256 << 20]),
    sort_by=st.sampled_from([(), ("n",), ("x", "n"), ("s",)]),
)
def test_no_row_changes_and_a_second_compaction_does_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    primary: str,
    mirror: str | None,
    batches: list[list[Any]],
    target: int,
    sort_by: tuple[str, ...],
) -> None:
    table = open_table(tmp_path_factory.mktemp("t"), "t", primary, mirror, partition_by=["part"])
    schema = {"part": pl.String(), "n": pl.Int64(), "x": pl.Float64(), "s": pl.String()}
    frames = [pl.DataFrame(batch, schema=schema, orient="row") for batch in batches]
    for frame in frames:
        table.write(frame)
    told = plan(table, table.head(), Request(target_size=target, sort_by=sort_by))

    done = table.compact(target_size=target, sort_by=sort_by)

    assert done.files_before == sum(len(one.files) for one in told)
    for reader, seen in everyone(table).items():
        assert repr(seen) == repr(rows(pl.concat(frames))), reader  # NaN does not equal itself
    assert unreferenced(table) == set()
    if target in (1, 256 << 20):
        assert table.compact(target_size=target, sort_by=sort_by).version is None
