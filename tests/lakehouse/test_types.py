"""Every type of a contract, with strange but legal values, in both formats and every reader."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import polars as pl
import pytest
from polars.datatypes import DataType
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

from mcai_pipelines.lakehouse.errors import SchemaMismatch, TableNotFound
from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse.conftest import FORMATS, schema_of
from tests.lakehouse.plain_readers import assert_reads_everywhere, read_everywhere

every_format = pytest.mark.parametrize(("primary", "mirrored"), FORMATS)

MakeTable = Callable[..., Table]
UTC, US = dt.UTC, dt.timedelta(microseconds=1)
FIRST, EPOCH, LAST = dt.datetime.min, dt.datetime(1970, 1, 1), dt.datetime.max
NAN, INFINITY = float("nan"), float("inf")


@dataclass(frozen=True)
class Example:
    """A type, what Polars calls it, and values it holds; a null is added to them."""

    iceberg: IcebergType
    polars: DataType
    values: list[Any]


def optional(name: str, kind: IcebergType) -> NestedField:
    return NestedField(-1, name, kind, required=False)


def decimal(precision: int, scale: int) -> Example:
    most = Decimal(10**precision - 1).scaleb(-scale)
    least = Decimal(1).scaleb(-scale)
    return Example(
        DecimalType(precision, scale),
        pl.Decimal(precision, scale),
        [-most, most, least, -least, Decimal(0)],
    )


POINT = StructType(optional("a", LongType()), optional("b", StringType()))
LINE = StructType(
    optional("p", DoubleType()),
    optional("q", ListType(-1, IntegerType(), element_required=False)),
)
EXAMPLES = {
    "string": Example(
        StringType(),
        pl.String(),
        ["", "x", "exactly 16 chars", "exactly 16 charsX", "😀" * 16, "😀" * 17, "𠀀", "\x00",
         "\U0010ffff" * 20, "a\nb", "e\u0301", "\ud7ff" * 17],
    ),
    "int": Example(IntegerType(), pl.Int32(), [-(2**31), 2**31 - 1, 0, -1]),
    "long": Example(LongType(), pl.Int64(), [-(2**63), 2**63 - 1, 0, 2**53 + 1]),
    "float": Example(FloatType(), pl.Float32(), [NAN, INFINITY, -INFINITY, -0.0, 0.0, 1e-45]),
    "double": Example(DoubleType(), pl.Float64(), [NAN, INFINITY, -INFINITY, -0.0, 0.0, 5e-324]),
    "boolean": Example(BooleanType(), pl.Boolean(), [True, False]),
    "date": Example(DateType(), pl.Date(), [FIRST.date(), LAST.date(), dt.date(1969, 12, 31)]),
    "timestamp": Example(
        TimestamptzType(),
        pl.Datetime("us", "UTC"),
        [t.replace(tzinfo=UTC) for t in (FIRST, EPOCH - US, EPOCH, LAST)],
    ),
    "timestamp_ntz": Example(TimestampType(), pl.Datetime("us"), [FIRST, EPOCH - US, EPOCH, LAST]),
    "time": Example(TimeType(), pl.Time(), [dt.time.min, dt.time.max, dt.time(12, 30, 15, 1)]),
    "binary": Example(BinaryType(), pl.Binary(), [b"", b"\xff" * 20, b"\x00" * 17, b"abc"]),
    "decimal(38,9)": decimal(38, 9),
    "decimal(38,38)": decimal(38, 38),
    "decimal(18,4)": decimal(18, 4),
    "decimal(9,2)": decimal(9, 2),
    "decimal(1,0)": decimal(1, 0),
    "list": Example(
        ListType(-1, StringType(), element_required=False),
        pl.List(pl.String()),
        [[], ["a", None], ["😀"], [""]],
    ),
    "struct": Example(
        POINT,
        pl.Struct({"a": pl.Int64(), "b": pl.String()}),
        [{"a": 1, "b": "x"}, {"a": None, "b": ""}, {"a": None, "b": None}],
    ),
    "list of struct": Example(
        ListType(-1, LINE, element_required=False),
        pl.List(pl.Struct({"p": pl.Float64(), "q": pl.List(pl.Int32())})),
        [[{"p": 1.5, "q": [1, None]}, None], [], [{"p": None, "q": None}], [{"p": NAN, "q": []}]],
    ),
}  # fmt: skip


def series(name: str, height: int = 0) -> pl.Series:
    """An example's values, padded with nulls to a height, one at least."""
    example = EXAMPLES[name]
    nulls = [None] * max(1, height - len(example.values))
    return pl.Series(name, [*example.values, *nulls], dtype=example.polars)


IN_BOTH = [name for name in EXAMPLES if name != "time"]
HEIGHT = max(series(name).len() for name in IN_BOTH)
EVERYTHING = pl.DataFrame(
    [pl.Series("id", range(HEIGHT)), *(series(name, HEIGHT) for name in IN_BOTH)]
)
NESTED = "list of struct"


def table_for(make_table: MakeTable, names: Iterable[str], *formats: str | None) -> Table:
    columns = {"id": LongType(), **{name: EXAMPLES[name].iceberg for name in names}}
    return make_table(*formats, schema=schema_of(columns, required=["id"]))


@every_format
def test_every_reader_reads_every_type(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    names = [name for name in IN_BOTH if name != NESTED]
    table = table_for(make_table, names, primary, mirrored)
    table.write(EVERYTHING.drop(NESTED))
    assert_reads_everywhere(table, EVERYTHING.drop(NESTED), by="id")


@every_format
def test_a_null_list_of_structs_is_an_empty_one_to_pyiceberg_alone(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    """Its reader (0.12) turns it into an empty list, also where it wrote the file itself."""
    table = table_for(make_table, [NESTED], primary, mirrored)
    frame = pl.DataFrame([pl.Series("id", range(5)), series(NESTED)])
    table.write(frame)
    for reader, found in read_everywhere(table).items():
        assert found.sort("id")[:-1].equals(frame[:-1]), reader
        assert found.sort("id")[NESTED].to_list()[-1] == ([] if reader == "pyiceberg" else None)


def test_a_time_of_day_is_for_iceberg_alone(make_table: MakeTable) -> None:
    table = table_for(make_table, ["time"], "iceberg")
    frame = pl.DataFrame([pl.Series("id", range(4)), series("time")])
    table.write(frame)
    assert_reads_everywhere(table, frame, by="id")


@pytest.mark.parametrize(("primary", "mirrored"), FORMATS[1:])
def test_a_time_of_day_is_refused_where_delta_is_a_format(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = table_for(make_table, ["time"], primary, mirrored)
    with pytest.raises(SchemaMismatch, match="time: Delta Lake has no type for time"):
        table.write(pl.DataFrame([pl.Series("id", range(4)), series("time")]))
    with pytest.raises(TableNotFound):  # in neither format
        table.scan()


@every_format
def test_a_table_without_rows_has_its_columns(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = table_for(make_table, IN_BOTH, primary, mirrored)
    commit = table.write(EVERYTHING.clear())
    assert (commit.rows, commit.files, table.info().rows) == (0, 0, 0)
    assert_reads_everywhere(table, EVERYTHING.clear(), by="id")
    table.write(EVERYTHING.clear(), "overwrite")
    assert_reads_everywhere(table, EVERYTHING.clear(), by="id")


@every_format
def test_columns_may_be_null_throughout(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    names = [name for name in IN_BOTH if name != NESTED]
    table = table_for(make_table, names, primary, mirrored)
    nulls = EVERYTHING[-1:].select("id", *names)
    table.write(nulls)
    assert_reads_everywhere(table, nulls, by="id")
    for format in table.formats:
        for name in names:
            rows = table.scan(format=format)
            assert rows.filter(pl.col(name).is_null()).collect().height == 1
            assert rows.filter(pl.col(name).is_not_null()).collect().height == 0


@every_format
def test_two_hundred_columns(make_table: MakeTable, primary: str, mirrored: str | None) -> None:
    table = make_table(primary, mirrored)
    frame = pl.DataFrame({"id": [1, 2], **{f"c{n}": [n, None] for n in range(199)}})
    table.write(frame)
    assert_reads_everywhere(table, frame, by="id")


ODD_NAMES = [
    "a b",
    "a.b",
    "a/b",
    "a,b",
    "a%b",
    "a=b",
    "ünï",
    "😀",
    "1a",
    "select",
    'a"b',
    "a'b",
    "A",
]


@every_format
def test_columns_may_have_odd_names(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    frame = pl.DataFrame({"id": [1, 2], **{name: ["x", None] for name in ODD_NAMES}})
    table.write(frame)
    assert_reads_everywhere(table, frame, by="id")
    for name in ODD_NAMES:
        for format in table.formats:
            found = table.scan(format=format).filter(pl.col(name) == "x").select(name).collect()
            assert found.rows() == [("x",)]


@every_format
def test_dates_that_python_does_not_hold(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    day = pl.Series([0, 2_932_896, 2_932_897], dtype=pl.Int32).cast(pl.Date)  # 9999-12-31 and later
    frame = pl.DataFrame({"id": [1, 2, 3], "day": day, "at": day.cast(pl.Datetime("us"))})
    table.write(frame)
    for format in table.formats:
        assert table.scan(format=format).sort("id").collect().equals(frame)
        later = table.scan(format=format).filter(pl.col("day").cast(pl.Int32) > 2_932_896)
        assert later.collect().height == 1
