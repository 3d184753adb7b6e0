"""Partition keys stand for values of the partition columns, in the columns' own types."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import polars as pl
import pytest
from pyiceberg.schema import Schema
from pyiceberg.types import (
    BooleanType,
    DateType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

from mcai_pipelines.authoring import daily, hourly, multi, static, weekly
from mcai_pipelines.errors import BadInput
from resources.partition_values import in_partitions, partition_values

NEW_YORK = "America/New_York"


def schema(*types: Any) -> Schema:
    return Schema(*(NestedField(i, f"c{i}", t, required=True) for i, t in enumerate(types, 1)))


@pytest.mark.parametrize(
    ("partitions", "key", "kind", "value"),
    [
        (weekly("2017-01-02", timezone=NEW_YORK), "2017-01-09", DateType(), dt.date(2017, 1, 9)),
        (daily("2017-01-01"), "2017-03-05", DateType(), dt.date(2017, 3, 5)),
        (
            hourly("2017-01-01-00:00", timezone=NEW_YORK),
            "2017-07-01-05:00",
            TimestamptzType(),
            dt.datetime(2017, 7, 1, 9, tzinfo=dt.UTC),
        ),
        (
            hourly("2017-01-01-00:00", timezone=NEW_YORK),
            "2017-07-01-05:00",
            TimestampType(),
            dt.datetime(2017, 7, 1, 5),
        ),
        (daily("2017-01-01"), "2017-03-05", StringType(), "2017-03-05"),
        (static(["north", "south"]), "north", StringType(), "north"),
        (static(["7", "8"]), "7", IntegerType(), 7),
        (static(["7", "8"]), "8", LongType(), 8),
        (static(["true", "false"]), "false", BooleanType(), False),
        (static(["2017-01-02"]), "2017-01-02", DateType(), dt.date(2017, 1, 2)),
    ],
)
def test_a_key_becomes_the_columns_value(
    partitions: dg.PartitionsDefinition[str], key: str, kind: Any, value: Any
) -> None:
    assert partition_values(partitions, [key], schema(kind), ["c1"], where="t") == [(value,)]


def test_dimensions_go_by_name_in_the_order_of_the_columns() -> None:
    partitions = multi(c2=static(["north"]), c1=daily("2017-01-01"))
    key = dg.MultiPartitionKey({"c1": "2017-01-02", "c2": "north"})
    values = partition_values(
        partitions, [key], schema(DateType(), StringType()), ["c1", "c2"], where="t"
    )
    assert values == [(dt.date(2017, 1, 2), "north")]


@pytest.mark.parametrize(
    ("partitions", "columns"),
    [
        (daily("2017-01-01"), []),
        (daily("2017-01-01"), ["c1", "c2"]),
        (multi(c1=daily("2017-01-01"), region=static(["north"])), ["c1", "c2"]),
    ],
)
def test_other_dimensions_than_columns_are_refused(
    partitions: dg.PartitionsDefinition[str], columns: list[str]
) -> None:
    with pytest.raises(BadInput, match="mark the same columns as partitioned"):
        partition_values(
            partitions, [], schema(DateType(), StringType()), columns, where="shop/sales"
        )


def test_a_key_that_is_no_value_of_the_type_is_named() -> None:
    with pytest.raises(BadInput, match=r"t\.c1: partition key 'x' is not a int"):
        partition_values(static(["x"]), ["x"], schema(IntegerType()), ["c1"], where="t")


def test_rows_of_exactly_the_partitions_are_kept() -> None:
    frame = pl.LazyFrame({"c1": [1, 1, 2, 2], "c2": ["a", "b", "a", "b"]})

    def kept(*values: Any) -> list[Any]:
        return in_partitions(frame, ["c1", "c2"], values).collect().rows()

    assert kept((1, "a"), (2, "b")) == [(1, "a"), (2, "b")]
    assert kept((1, "a"), (1, "b")) == [(1, "a"), (1, "b")]
    assert kept() == []
