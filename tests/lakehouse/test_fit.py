"""A frame becomes exactly the contract's columns and types, or an error that says where and why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.datatypes import DataType, DataTypeClass
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from mcai_pipelines.lakehouse.errors import SchemaMismatch
from mcai_pipelines.lakehouse.fit import fit
from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse.conftest import schema_of
from tests.lakehouse.plain_readers import assert_nothing_left_but, files_below

MakeTable = Callable[..., Table]
NOON = dt.datetime(2017, 1, 2, 12)
NS = pl.Datetime("ns")


def a_list(kind: IcebergType, *, required: bool = False) -> ListType:
    return ListType(-1, kind, element_required=required)


def a_struct(*, required: bool = False, **fields: IcebergType) -> StructType:
    return StructType(*(NestedField(-1, n, k, required=required) for n, k in fields.items()))


KEPT: list[tuple[pl.Series, IcebergType, list[Any]]] = [
    (pl.Series([1, 2], dtype=pl.UInt8), LongType(), [1, 2]),
    (pl.Series([2**31 - 1, -(2**31)]), IntegerType(), [2**31 - 1, -(2**31)]),
    (pl.Series([2**63 - 1], dtype=pl.UInt64), LongType(), [2**63 - 1]),
    (pl.Series([2**63 - 1], dtype=pl.Int128), LongType(), [2**63 - 1]),
    (pl.Series([2**53, -(2**53)]), DoubleType(), [2.0**53, -(2.0**53)]),
    (pl.Series([1, 2**24]), FloatType(), [1.0, 2.0**24]),
    (pl.Series([0.5, None], dtype=pl.Float32), DoubleType(), [0.5, None]),
    (pl.Series([0.1, float("inf")]), FloatType(), [pytest.approx(0.1), float("inf")]),
    (pl.Series([12, None]), DecimalType(4, 2), [Decimal("12.00"), None]),
    (pl.Series([Decimal("1.50")]), DecimalType(9, 1), [Decimal("1.5")]),
    (pl.Series([Decimal("0.1")]), DoubleType(), [0.1]),
    (pl.Series(["a", None], dtype=pl.Categorical), StringType(), ["a", None]),
    (pl.Series(["a"], dtype=pl.Enum(["a", "b"])), StringType(), ["a"]),
    (pl.Series([NOON], dtype=pl.Datetime("ms")), TimestampType(), [NOON]),
    (pl.Series([NOON], dtype=NS), TimestampType(), [NOON]),
    (
        pl.Series([NOON]).dt.replace_time_zone("America/New_York"),
        TimestamptzType(),
        [dt.datetime(2017, 1, 2, 17, tzinfo=dt.UTC)],
    ),
    (pl.Series([None, None]), StringType(), [None, None]),
    (pl.Series([None, None]), a_struct(a=LongType()), [None, None]),
    (pl.Series([[1, None], None], dtype=pl.List(pl.UInt16)), a_list(LongType()), [[1, None], None]),
    (pl.Series([[1, 2]], dtype=pl.Array(pl.Int64, 2)), a_list(IntegerType()), [[1, 2]]),
    (
        pl.Series([{"a": 1, "b": [2]}, None]),
        a_struct(a=IntegerType(), b=a_list(DoubleType())),
        [{"a": 1, "b": [2.0]}, None],
    ),
]


@pytest.mark.parametrize(("values", "kind", "expected"), KEPT)
def test_a_cast_that_keeps_every_value(
    make_table: MakeTable, values: pl.Series, kind: IcebergType, expected: list[Any]
) -> None:
    table = make_table(schema=schema_of({"n": LongType(), "x": kind}))
    table.write(pl.DataFrame({"n": range(values.len()), "x": values}))
    assert table.scan().sort("n").collect()["x"].to_list() == expected


LOST: list[tuple[pl.Series, IcebergType, str]] = [
    (
        pl.Series([1, 2**31, 2**40]),
        IntegerType(),
        "2 values that Int32 does not hold, such as 2147",
    ),
    (pl.Series([2**63], dtype=pl.UInt64), LongType(), "1 value that Int64 does not hold"),
    (pl.Series([2**53, 2**53 + 1]), DoubleType(), "1 value .* such as 9007199254740993"),
    (pl.Series([2**63 - 1]), DoubleType(), "1 value .* such as 9223372036854775807"),
    (pl.Series([2**24 + 1]), FloatType(), "1 value .* such as 16777217"),
    (pl.Series([0.1, 1e300]), FloatType(), r"1 value that Float32 does not hold, such as 1e\+300"),
    (pl.Series([Decimal("1.25")]), DecimalType(9, 1), "1 value .* such as 1.25"),
    (pl.Series([Decimal("100.00")]), DecimalType(4, 2), "1 value .* such as 100.00"),
    (pl.Series([100]), DecimalType(4, 2), "1 value .* such as 100"),
    (
        pl.Series([1_001], dtype=NS),
        TimestampType(),
        "1 value .* such as 1970-01-01 00:00:00.000001",
    ),
    (pl.Series([[1], [2**40]]), a_list(IntegerType()), r"1 value .* such as \[1099511627776\]"),
    (
        pl.Series([{"a": 1}, {"a": 2**40}, None]),
        a_struct(a=IntegerType()),
        "1 value .* such as {'a': 1099511627776}",
    ),
]


@pytest.mark.parametrize(("values", "kind", "message"), LOST)
def test_a_value_that_a_cast_would_change_fails_the_write(
    make_table: MakeTable, values: pl.Series, kind: IcebergType, message: str
) -> None:
    table = make_table(schema=schema_of({"x": kind}), source="contracts/sales.yaml")
    with pytest.raises(SchemaMismatch, match=rf"^contracts/sales\.yaml: column 'x' has {message}"):
        table.write(pl.DataFrame({"x": values}))
    assert table.primary.head() is None
    assert_nothing_left_but(table, set())


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.none(), min_size=1, max_size=5))
def test_integers_become_doubles_only_if_they_stay_what_they_are(values: list[int | None]) -> None:
    lazy = pl.LazyFrame({"x": pl.Series(values, dtype=pl.Int64)})
    fitted = fit(lazy, schema_of({"x": DoubleType()}), where="t")
    exact = all(value is None or int(float(value)) == value for value in values)
    if exact:
        assert fitted.collect()["x"].to_list() == values
    else:
        with pytest.raises(Exception):  # noqa: B017, PT011  # `explained` gives it its words
            fitted.collect()


REFUSED: list[tuple[DataType | DataTypeClass, IcebergType]] = [
    (pl.String, LongType()),
    (pl.String, DateType()),
    (pl.Int64, StringType()),
    (pl.Float64, LongType()),
    (pl.Float64, DecimalType(9, 2)),
    (pl.Boolean, IntegerType()),
    (pl.Int64, BooleanType()),
    (pl.Date, TimestampType()),
    (pl.Datetime("us"), DateType()),
    (pl.Datetime("us"), TimestamptzType()),
    (pl.Datetime("us", "UTC"), TimestampType()),
    (pl.Duration, LongType()),
    (pl.Int64, TimeType()),
    (pl.String, BinaryType()),
    (pl.List(pl.String), a_list(LongType())),
    (pl.List(pl.Float64), a_list(FloatType())),
    (pl.Int64, a_list(LongType())),
    (pl.Struct({"b": pl.Int64}), a_struct(a=LongType())),
    (pl.Struct({"a": pl.Int64, "b": pl.Int64}), a_struct(a=LongType())),
    (pl.Struct({"a": pl.String}), a_struct(a=LongType())),
    (pl.Int64, a_struct(a=LongType())),
]


@pytest.mark.parametrize(("dtype", "kind"), REFUSED)
def test_a_cast_that_would_change_what_values_mean_is_refused(
    dtype: DataType, kind: IcebergType
) -> None:
    frame = pl.LazyFrame(schema={"x": dtype})
    with pytest.raises(SchemaMismatch, match=r"column 'x' is .* in the frame and .* in the con"):
        fit(frame, schema_of({"x": kind}), where="t")


def test_every_problem_is_told_at_once() -> None:
    schema = schema_of(
        {"id": LongType(), "amount": DoubleType(), "day": DateType()}, required=["id"]
    )
    frame = pl.LazyFrame(schema={"amuont": pl.Float64, "day": pl.String, "other": pl.Int64})
    with pytest.raises(SchemaMismatch) as caught:
        fit(frame, schema, where="contracts/sales.yaml")
    assert [str(problem) for problem in caught.value.problems] == [
        "contracts/sales.yaml: column 'amuont' is in the frame and not in the contract;"
        " rename it to 'amount', or drop it before returning the frame",
        "contracts/sales.yaml: column 'other' is in the frame and not in the contract;"
        " add it to the contract, or drop it before returning the frame",
        "contracts/sales.yaml: required column 'id' is missing; compute it",
        "contracts/sales.yaml: column 'day' is String in the frame and Date in the contract;"
        " cast it in the asset, or change the contract",
    ]
    assert caught.value.exit_code == 2


def test_missing_values_of_required_columns_are_counted(make_table: MakeTable) -> None:
    columns = {"id": LongType(), "name": StringType(), "small": IntegerType(), "x": DoubleType()}
    table = make_table(schema=schema_of(columns, required=["id", "name"]), source="c.yaml")
    before = pl.DataFrame({"id": [0], "name": ["a"], "small": [1], "x": [0.5]})
    table.write(before)
    files = files_below(table.storage.uri)
    with pytest.raises(SchemaMismatch) as caught:
        table.write(
            pl.LazyFrame(
                {
                    "id": [1, None, None],
                    "name": ["a", "b", None],
                    "small": [1, 2, 2**40],
                    "x": [0.5, None, None],
                }
            )
        )
    assert [str(problem) for problem in caught.value.problems] == [
        "c.yaml: required column 'id' has no value in 2 rows;"
        " fill it, filter them out, or make it optional in the contract",
        "c.yaml: required column 'name' has no value in 1 row;"
        " fill it, filter them out, or make it optional in the contract",
        "c.yaml: column 'small' has 1 value that Int32 does not hold, such as 1099511627776;"
        " correct it in the asset, or widen the contract",
    ]
    assert table.scan().collect().equals(before.cast({"small": pl.Int32}))
    assert_nothing_left_but(table, files)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (a_list(LongType(), required=True), [[1], [None]]),
        (a_struct(a=LongType(), required=True), [{"a": 1}, {"a": None}]),
    ],
)
def test_a_missing_value_inside_a_nested_column(
    make_table: MakeTable, kind: IcebergType, values: list[Any]
) -> None:
    table = make_table(schema=schema_of({"id": LongType(), "x": kind}))
    with pytest.raises(SchemaMismatch, match="a required part of x has no value in some rows"):
        table.write(pl.DataFrame({"id": [1, 2], "x": values}))


def test_the_assets_own_mistakes_keep_their_own_words(make_table: MakeTable) -> None:
    table = make_table(schema=schema_of({"x": LongType()}))
    wrong = pl.LazyFrame({"x": ["1", "two"]}).select(pl.col("x").cast(pl.Int64))
    with pytest.raises(pl.exceptions.InvalidOperationError, match="conversion from `str`"):
        table.write(wrong)
    unknown = pl.LazyFrame({"x": [1]}).select(pl.col("y"))
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        table.write(unknown)
