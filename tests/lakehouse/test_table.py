"""A table in numbers and over time: info, history, time travel, rollback, no contract at all."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyiceberg.types import DecimalType, DoubleType, FloatType, IntegerType, LongType, StringType

from mcai_pipelines.lakehouse import stage
from mcai_pipelines.lakehouse.errors import (
    ReadOnlyTable,
    SchemaMismatch,
    TableNotFound,
    VersionNotFound,
)
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import RESTORED
from mcai_pipelines.lakehouse.write import STEPS, AppendKey
from tests.lakehouse.conftest import FORMATS, MIRRORED, open_log, schema_of
from tests.lakehouse.plain_readers import assert_reads_everywhere

every_format = pytest.mark.parametrize(("primary", "mirrored"), FORMATS)
MakeTable = Callable[..., Table]
ONE, TWO, THREE = (pl.DataFrame({"n": [n]}) for n in (1, 2, 3))


def numbers(table: Table, **options: Any) -> list[int]:
    return sorted(table.scan(**options).collect()["n"].to_list())


# ---------------------------------------------------------------- info and history


@every_format
def test_a_table_in_numbers(make_table: MakeTable, primary: str, mirrored: str | None) -> None:
    table = make_table(primary, mirrored, partition_by=["p"])
    table.write(pl.DataFrame({"n": [1, 2, 3], "p": ["a", "b", "b"], "x": [0.5, None, 1.5]}))
    commit = table.write(pl.DataFrame({"n": [4], "p": ["b"], "x": [2.5]}))
    info = table.info()
    assert (info.rows, info.files, info.partitions) == (4, 3, 2)
    assert info.bytes == sum(
        path.stat().st_size for path in Path(table.storage.uri).rglob("*.parquet")
        if "_data" in path.parts
    )  # fmt: skip
    assert (info.version, info.committed_at) == (commit.version.id, commit.version.committed_at)
    assert info.schema == {"n": "long", "p": "string", "x": "double"}
    assert info.partition_by == ("p",)
    assert (info.metadata_location is not None) == ("iceberg" in table.formats)
    assert (commit.rows, commit.files, commit.rows_by_partition) == (1, 1, {("b",): 1})
    assert commit.bytes < info.bytes


def test_a_table_that_is_not_partitioned_has_no_partitions(make_table: MakeTable) -> None:
    table = make_table()
    table.write(ONE)
    assert table.info().partitions == 0


@every_format
def test_history_is_newest_first_and_keeps_what_was_undone(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    first = table.write(ONE).version
    second = table.write(TWO, properties={"mcai.run": "run-2"}).version
    third = table.rollback(first.id, properties={"mcai.reason": "wrong"}).version
    history = table.history()
    assert [version.id for version in history] == [third.id, second.id, first.id]
    assert history == [third, second, first]
    assert [version.sequence for version in history] == sorted(
        (version.sequence for version in history), reverse=True
    )
    assert second.properties["mcai.run"] == "run-2"
    assert third.properties[RESTORED] == str(first.id)
    assert third.properties["mcai.reason"] == "wrong"
    assert [v.parent for v in history] == [second.id, first.id, None]
    assert all(dt.timedelta(0) <= dt.datetime.now(dt.UTC) - v.committed_at for v in history)


def test_a_write_reaches_each_step_in_order(make_table: MakeTable) -> None:
    steps: list[str] = []
    make_table("iceberg", "delta").write(ONE, on_step=steps.append)
    assert tuple(steps) == STEPS


# ---------------------------------------------------------------- time travel


@every_format
def test_a_version_can_be_read_again(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    first = table.write(ONE)
    second = table.write(TWO, "overwrite")
    table.write(THREE)
    assert numbers(table, version=first.version.id) == [1]
    assert numbers(table, version=second.version.id) == [2]
    assert numbers(table) == [2, 3]
    if mirrored:  # whose versions have numbers of their own
        assert first.mirror_version is not None
        assert numbers(table, version=first.mirror_version.id, format=mirrored) == [1]


@every_format
def test_a_time_can_be_read_again(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    commits = []
    for frame in (ONE, TWO, THREE):
        commits.append(table.write(frame, "overwrite"))
        time.sleep(0.005)  # versions are a millisecond apart at least
    for format in table.formats:
        mirror = format == mirrored
        times = [
            (c.mirror_version if mirror and c.mirror_version else c.version).committed_at
            for c in commits
        ]
        for number, moment in enumerate(times, start=1):
            assert numbers(table, as_of=moment, format=format) == [number]
            assert numbers(table, as_of=moment.replace(tzinfo=None), format=format) == [number]
            elsewhere = moment.astimezone(dt.timezone(dt.timedelta(hours=-5)))
            assert numbers(table, as_of=elsewhere, format=format) == [number]
        just_before = times[1] - dt.timedelta(milliseconds=1)
        assert numbers(table, as_of=just_before, format=format) == [1]
        assert numbers(table, as_of=dt.datetime.now(dt.UTC), format=format) == [3]


@every_format
def test_a_time_before_the_table(make_table: MakeTable, primary: str, mirrored: str | None) -> None:
    table = make_table(primary, mirrored)
    first = table.write(ONE).version
    with pytest.raises(VersionNotFound, match=r"table t had no version at 2017-01-02T00:00:00\+00"):
        table.scan(as_of=dt.datetime(2017, 1, 2))
    with pytest.raises(VersionNotFound, match=f"begins {first.committed_at.isoformat()[:19]}"):
        table.scan(as_of=dt.datetime(2017, 1, 2))


@every_format
@pytest.mark.parametrize("version", [17, -1, 2**62, 2**63, 2**80])
def test_a_version_that_does_not_exist(
    make_table: MakeTable, primary: str, mirrored: str | None, version: int
) -> None:
    table = make_table(primary, mirrored)
    table.write(ONE)
    for format in table.formats:
        with pytest.raises(VersionNotFound, match=f"there is no version {version}; see its his"):
            table.scan(version=version, format=format)
    with pytest.raises(VersionNotFound):
        table.rollback(version)
    assert numbers(table) == [1]


def test_a_version_and_a_time_exclude_each_other(make_table: MakeTable) -> None:
    table = make_table()
    table.write(ONE)
    with pytest.raises(ValueError, match="a version or a time, not both"):
        table.scan(version=1, as_of=dt.datetime(2017, 1, 2))


@every_format
def test_a_table_that_has_not_been_written(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    asks: list[Callable[[], object]] = [
        table.scan,
        table.info,
        table.history,
        lambda: table.scan(format=mirrored or primary),
        lambda: table.scan(version=1),
        lambda: table.rollback(1),
    ]
    for ask in asks:
        with pytest.raises(TableNotFound, match=r"table t has not been written yet at .*/test/t;"):
            ask()
    assert table.repair_mirror() is None
    assert not Path(table.storage.uri).exists()


def test_a_format_that_the_table_is_not_kept_in(make_table: MakeTable) -> None:
    table = make_table("iceberg")
    table.write(ONE)
    with pytest.raises(TableNotFound, match="table t is kept as iceberg, not delta"):
        table.scan(format="delta")


# ---------------------------------------------------------------- rollback


@every_format
def test_a_rollback_is_a_version_that_can_be_rolled_back(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    one = table.write(ONE).version.id
    two = table.write(TWO).version.id
    empty = table.write(ONE.clear(), "overwrite").version.id
    for version, expected in ((one, [1]), (two, [1, 2]), (empty, []), (two, [1, 2]), (two, [1, 2])):
        commit = table.rollback(version)
        assert table.head().version == commit.version.id
        frame = pl.DataFrame({"n": expected}, schema={"n": pl.Int64})
        assert_reads_everywhere(table, frame, by="n")
    table.write(THREE)
    assert numbers(table) == [1, 2, 3]


@every_format
def test_a_rollback_keeps_columns_that_were_added_since(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    columns = {"n": LongType(), "new": StringType()}
    old = make_table(primary, mirrored, schema=schema_of({"n": LongType()}))
    before = old.write(ONE).version.id
    table = make_table(primary, mirrored, schema=schema_of(columns))
    table.write(pl.DataFrame({"n": [2], "new": ["x"]}))
    table.rollback(before)
    assert_reads_everywhere(
        table, pl.DataFrame({"n": [1], "new": pl.Series([None], dtype=pl.String)}), by="n"
    )
    table.write(pl.DataFrame({"n": [3], "new": ["y"]}))
    assert_reads_everywhere(table, pl.DataFrame({"n": [1, 3], "new": [None, "y"]}), by="n")


WIDENED = [
    (IntegerType(), LongType(), pl.Series([7]), pl.Series([2**40])),
    (FloatType(), DoubleType(), pl.Series([0.5]), pl.Series([1e300])),
    (
        DecimalType(9, 2),
        DecimalType(38, 2),
        pl.Series([Decimal("1.25")], dtype=pl.Decimal(38, 2)),
        pl.Series([Decimal("1E+30")], dtype=pl.Decimal(38, 2)),
    ),
]


@every_format
@pytest.mark.parametrize(("narrow", "wide", "old", "new"), WIDENED)
def test_a_rollback_over_a_widened_type(
    make_table: MakeTable,
    primary: str,
    mirrored: str | None,
    narrow: Any,
    wide: Any,
    old: pl.Series,
    new: pl.Series,
) -> None:
    def table(kind: Any) -> Table:
        return make_table(primary, mirrored, schema=schema_of({"n": LongType(), "x": kind}))

    first = pl.DataFrame({"n": [1], "x": old})
    second = pl.DataFrame({"n": [2], "x": new})
    before = table(narrow).write(first).version.id
    widened = table(wide).write(second).version.id
    table(wide).rollback(before)
    assert_reads_everywhere(table(wide), first, by="n")
    table(wide).rollback(widened)
    assert_reads_everywhere(table(wide), pl.concat([first, second]), by="n")
    # The old version itself has the old type.
    dtype = pl.Schema(table(wide).scan(version=before).collect_schema())["x"]
    assert dtype == {"int": pl.Int32, "float": pl.Float32}.get(str(narrow), pl.Decimal(9, 2))


def test_a_mirror_added_after_a_type_was_widened(make_table: MakeTable) -> None:
    """Delta finds columns by name and type, so the narrower files are written anew first."""
    for narrow, wide, old, new in WIDENED:
        name = f"t{type(wide).__name__}"
        columns = [schema_of({"n": LongType(), "x": kind}) for kind in (narrow, wide)]
        frames = [pl.DataFrame({"n": [n], "x": x}) for n, x in enumerate((old, new))]
        for schema, frame in zip(columns, frames, strict=True):
            make_table("iceberg", name=name, schema=schema).write(frame)
        table = make_table("iceberg", name=name, schema=columns[1])
        table.mirror_to("delta")
        assert_reads_everywhere(table, pl.concat(frames), by="n")


@pytest.mark.parametrize(("primary", "mirrored"), MIRRORED)
def test_time_travel_reads_the_schema_of_its_time(
    make_table: MakeTable, primary: str, mirrored: str
) -> None:
    table = make_table(primary, mirrored)
    first = table.write(ONE)
    table.write(TWO.with_columns(new=pl.lit("x")))
    for format, commit in ((primary, first.version), (mirrored, first.mirror_version)):
        assert commit is not None
        assert table.scan(version=commit.id, format=format).collect().equals(ONE)


# ---------------------------------------------------------------- writing


@every_format
def test_a_table_is_rewritten_from_itself(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    table.write(pl.concat([ONE, TWO]))
    table.write(table.scan().with_columns(pl.col("n") * 10), "overwrite")
    table.write(table.scan().with_columns(pl.col("n") + 1))
    assert [numbers(table, format=f) for f in table.formats] == [[10, 11, 20, 21]] * len(
        table.formats
    )


@pytest.mark.parametrize("partition_by", [[], ["p"]])
def test_a_large_batch_is_several_files(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, partition_by: list[str]
) -> None:
    monkeypatch.setattr(stage, "BYTES_PER_FILE", 1 << 20)
    table = make_table("iceberg", "delta", partition_by=partition_by)
    rows = pl.select(n=pl.int_range(500_000)).with_columns(p=pl.col("n") % 2)
    commit = table.write(rows)
    assert (commit.rows, table.info().rows) == (500_000, 500_000)
    assert commit.files == len(table.head().files) >= 4
    for format in table.formats:
        found = table.scan(format=format).select(pl.col("n").sum(), pl.len())
        assert found.collect().row(0) == (500_000 * 499_999 // 2, 500_000)
        assert table.scan(format=format).filter(pl.col("n") == 321_123).collect().height == 1


# ---------------------------------------------------------------- arguments


@pytest.mark.parametrize("partition_by", [[], ["n"]])
def test_overwriting_partitions_needs_partitions(
    make_table: MakeTable, partition_by: list[str]
) -> None:
    table = make_table(partition_by=partition_by)
    with pytest.raises(ValueError, match="needs a partitioned table, and the partitions to rep"):
        table.write(ONE, "overwrite_partitions", partitions=None if partition_by else [(1,)])


def test_partitions_go_with_overwriting_them_only(make_table: MakeTable) -> None:
    table = make_table(partition_by=["n"])
    with pytest.raises(ValueError, match="partitions go with overwrite_partitions only"):
        table.write(ONE, "overwrite", partitions=[(1,)])


def test_an_adopted_table_is_read_only(make_table: MakeTable) -> None:
    make_table().write(ONE)
    table = make_table(read_only=True)
    assert numbers(table) == [1]
    with pytest.raises(ReadOnlyTable, match="table t"):
        table.write(TWO)
    with pytest.raises(ReadOnlyTable, match="table t"):
        table.rollback(1)


def test_a_key_is_not_looked_for_in_versions_older_than_its_run(make_table: MakeTable) -> None:
    table = make_table()
    table.write(ONE, key=AppendKey("run"))
    later = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    table.write(TWO)
    assert not table.write(THREE, key=AppendKey("run", since=later)).repeated
    assert table.write(THREE, key=AppendKey("run")).repeated


# ---------------------------------------------------------------- without a contract


@every_format
def test_a_frame_without_a_contract_makes_its_table(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    frame = pl.DataFrame(
        {
            "id": pl.Series([1], dtype=pl.UInt32),
            "tiny": pl.Series([2], dtype=pl.UInt8),
            "kind": pl.Series(["a"], dtype=pl.Categorical),
            "at": pl.Series([dt.datetime(2017, 1, 2)], dtype=pl.Datetime("ms")),
            "zoned": pl.Series([dt.datetime(2017, 1, 2)]).dt.replace_time_zone("America/New_York"),
            "pair": pl.Series([[1, 2]], dtype=pl.Array(pl.Int16, 2)),
        }
    )
    table = make_table(primary, mirrored)
    table.write(frame)
    expected = frame.cast(
        {
            "id": pl.Int64,
            "tiny": pl.Int32,
            "kind": pl.String,
            "at": pl.Datetime("us"),
            "zoned": pl.Datetime("us", "UTC"),
            "pair": pl.List(pl.Int32),
        }
    )
    assert_reads_everywhere(table, expected, by="id")


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pl.DataFrame(), "t: the frame has no columns"),
        (pl.DataFrame({"x": [None]}), "t.x: no table format holds the type Null; cast the column"),
        (pl.DataFrame({"x": [dt.timedelta(1)]}), "t.x: no table format holds the type Duration"),
        (pl.DataFrame({"x": pl.Series([1], dtype=pl.UInt64)}), "t.x: no table format .* UInt64"),
        (pl.DataFrame({"s": [{"x": dt.time(1)}]}), "t.s.x: no table format holds the type Time"),
        (pl.DataFrame({"id": [1], "ID": [1]}), "t: columns 'id' and 'ID' differ only in case"),
        (pl.DataFrame({"a.b": [1], "a": [{"b": 1}]}), "t: .*multiple fields for name a.b"),
    ],
)
def test_a_frame_that_no_table_can_be_made_of(
    make_table: MakeTable, frame: pl.DataFrame, message: str
) -> None:
    with pytest.raises(SchemaMismatch, match=f"^{message}"):
        make_table().write(frame)
    assert open_log("iceberg", make_table().storage).head() is None
