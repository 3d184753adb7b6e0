"""Partition columns of every type, with values that folders, logs and readers must agree on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from mcai_pipelines.lakehouse.errors import SchemaMismatch
from mcai_pipelines.lakehouse.failures import StorageFailed
from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse.conftest import FORMATS, schema_of
from tests.lakehouse.plain_readers import (
    assert_nothing_left_but,
    assert_reads_everywhere,
    files_below,
)

every_format = pytest.mark.parametrize(("primary", "mirrored"), FORMATS)

MakeTable = Callable[..., Table]
UTC = dt.UTC
TEXTS = [
    *(
        "a",
        "a b",
        " lead",
        "trail ",
        "a/b",
        "a%b",
        "a%20b",
        "a=b",
        "ü",
        "😀",
        "𠀀",
        "'",
        '"',
        "\\",
        "&",
    ),
    *(
        "+",
        "#",
        "?",
        "*",
        "..",
        ".",
        "null",
        "None",
        "true",
        "1",
        "01",
        "2017-01-01",
        "nan",
        "NULL",
    ),
    *("\t", "\n", "a:b", "[x]", "{x}", "~", "x" * 200),
]
MOMENTS = [dt.datetime.min, dt.datetime(1969, 12, 31, 23, 59, 59, 999999), dt.datetime(2017, 1, 2)]
VALUES = {
    "string": pl.Series(TEXTS),
    "int": pl.Series([0, -5, 2**31 - 1, -(2**31)], dtype=pl.Int32),
    "long": pl.Series([0, -5, 2**63 - 1, -(2**63)]),
    "date": pl.Series([dt.date.min, dt.date(2017, 1, 2), dt.date.max]),
    "timestamp": pl.Series(
        [moment.replace(tzinfo=UTC) for moment in MOMENTS], dtype=pl.Datetime("us", "UTC")
    ),
    "timestamp_ntz": pl.Series(MOMENTS),
    "boolean": pl.Series([True, False]),
    "decimal(9,2)": pl.Series(
        [Decimal("0"), Decimal("0.01"), Decimal("9999999.99")], dtype=pl.Decimal(9, 2)
    ),
    "decimal(38,9)": pl.Series([Decimal("1E-9"), Decimal(10) ** 28], dtype=pl.Decimal(38, 9)),
}


@every_format
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_a_partition_column_of_any_exact_type(
    make_table: MakeTable, primary: str, mirrored: str | None, values: pl.Series
) -> None:
    table = make_table(primary, mirrored, partition_by=["p"])
    frame = pl.DataFrame({"id": range(values.len()), "p": values})
    commit = table.write(frame)
    assert commit.rows_by_partition == {(value,): 1 for value in values}
    assert_reads_everywhere(table, frame, by="id")
    for format in table.formats:
        for number, value in frame.rows():
            picked = table.scan(format=format).filter(pl.col("p") == pl.lit(value, values.dtype))
            assert picked.collect().rows() == [(number, value)]
    # Values read back from the logs name the same partitions.
    half = frame[: values.len() // 2]
    table.write(frame.clear(), "overwrite_partitions", partitions=half.select("p").rows())
    assert_reads_everywhere(table, frame[half.height :], by="id")


@every_format
@pytest.mark.parametrize("partition_by", [["p", "week"], ["week", "p"]])
def test_partitions_in_two_levels(
    make_table: MakeTable, primary: str, mirrored: str | None, partition_by: list[str]
) -> None:
    table = make_table(primary, mirrored, partition_by=partition_by)
    weeks = [dt.date(2017, 1, 2), dt.date(2017, 1, 9)] * 2
    frame = pl.DataFrame({"id": range(4), "p": ["a", "a", "b/c", "b/c"], "week": weeks})
    table.write(frame)
    assert table.info().partitions == 4
    gone = frame[3].select(partition_by).rows()
    table.write(frame.clear(), "overwrite_partitions", partitions=gone)
    assert_reads_everywhere(table, frame[:3], by="id")


@every_format
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "partition column 'p' has no value in 2 rows; filter them out, or fill the column"),
        ("", "has '', which readers take for no value, in 2 rows"),
        ("__HIVE_DEFAULT_PARTITION__", "has '__HIVE_DEFAULT_PARTITION__', which readers take for"),
    ],
)
def test_what_reads_as_no_value_is_refused(
    make_table: MakeTable, primary: str, mirrored: str | None, value: str | None, message: str
) -> None:
    table = make_table(primary, mirrored, partition_by=["p"])
    good = pl.DataFrame({"id": [1, 2], "p": ["a", "None"]})
    table.write(good)
    with pytest.raises(SchemaMismatch, match=message):
        table.write(pl.DataFrame({"id": [3, 4, 5, 6], "p": ["a", value, value, "None"]}))
    assert_reads_everywhere(table, good, by="id")
    assert len(files_below(table.storage.uri, "_data")) == 2


def test_a_value_too_long_for_a_folder(make_table: MakeTable) -> None:
    table = make_table(partition_by=["p"])
    with pytest.raises(StorageFailed, match="a partition value is too long for a file name"):
        table.write(pl.DataFrame({"p": ["😀" * 22]}))
    assert_nothing_left_but(table, set())


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pl.Series("p", [1.5]), "'p' is double, whose values cannot name partitions"),
        (pl.Series("p", [b"x"]), "'p' is binary, whose values cannot name partitions"),
        (pl.Series("p", [["x"]]), "'p' is list<string>, whose values cannot name partitions"),
        (pl.Series("é", ["x"]), "'é' has a name that Iceberg's manifests cannot hold"),
        (pl.Series("a b", ["x"]), "'a b' has a name that Iceberg's manifests cannot hold"),
    ],
)
@pytest.mark.parametrize("primary", ["iceberg", "delta"])
def test_columns_that_cannot_partition(
    make_table: MakeTable, primary: str, column: pl.Series, message: str
) -> None:
    table = make_table(primary, partition_by=[column.name])
    with pytest.raises(SchemaMismatch, match=message):
        table.write(pl.DataFrame([column]))


def test_a_partition_column_that_is_not_there(make_table: MakeTable) -> None:
    table = make_table(partition_by=["weak"])
    with pytest.raises(SchemaMismatch, match="no column 'weak' to be partitioned by; use one of"):
        table.write(pl.DataFrame({"week": [1]}))


@pytest.mark.parametrize("aware", [True, False])
def test_a_moment_must_have_a_zone_where_the_column_has_one(
    make_table: MakeTable, aware: bool
) -> None:
    name = "timestamp" if aware else "timestamp_ntz"
    table = make_table(partition_by=["p"])
    table.write(pl.DataFrame({"p": VALUES[name]}))
    wrong = dt.datetime(2017, 1, 2, tzinfo=None if aware else UTC)
    with pytest.raises(SchemaMismatch, match="give a datetime" + " with a time zone" * aware):
        table.write(
            pl.DataFrame({"p": VALUES[name]}).clear(),
            "overwrite_partitions",
            partitions=[(wrong,)],
        )


@every_format
def test_partitioning_cannot_change_in_place(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    frame = pl.DataFrame({"id": [1], "p": ["a"]})
    make_table(primary, mirrored, partition_by=["p"]).write(frame)
    for partition_by in ([], ["id"], ["p", "id"]):
        table = make_table(primary, mirrored, partition_by=partition_by)
        with pytest.raises(SchemaMismatch, match="is partitioned by p and the contract says"):
            table.write(frame)


@every_format
def test_a_partition_column_is_widened(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    from pyiceberg.types import IntegerType, LongType

    def table(kind: Any) -> Table:
        columns = schema_of({"id": LongType(), "p": kind}, required=["p"])
        return make_table(primary, mirrored, schema=columns, partition_by=["p"])

    table(IntegerType()).write(pl.DataFrame({"id": [1], "p": [7]}))
    wide = table(LongType())
    wide.write(pl.DataFrame({"id": [2], "p": [2**40]}))
    assert_reads_everywhere(wide, pl.DataFrame({"id": [1, 2], "p": [7, 2**40]}), by="id")
    wide.write(wide.scan().collect().clear(), "overwrite_partitions", partitions=[(7,)])
    assert_reads_everywhere(wide, pl.DataFrame({"id": [2], "p": [2**40]}), by="id")
