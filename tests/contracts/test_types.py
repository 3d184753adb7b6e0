"""Logical and physical types of ODCS, and the neutral types they become."""

from typing import Any

import pytest

from mcai_pipelines.contracts import (
    Decimal,
    ListType,
    Primitive,
    StructField,
    StructType,
    Type,
    unsupported,
)
from mcai_pipelines.contracts.logical import TypeProblem, column_type

LONG = Primitive("long")


@pytest.mark.parametrize(
    ("column", "name"),
    [
        (LONG, "long"),
        (Primitive("timestamp"), "timestamptz"),
        (Primitive("timestamp_ntz"), "timestamp"),
        (Decimal(10, 2), "decimal(10,2)"),
        (ListType(Primitive("string")), "list<string>"),
        (StructType((StructField("a", LONG),)), "struct<a: long>"),
        (ListType(StructType((StructField("a", LONG), StructField("b", Decimal(5, 0))))),
         "list<struct<a: long, b: decimal(5,0)>>"),
    ],
)  # fmt: skip
def test_types_print_as_in_iceberg(column: Type, name: str) -> None:
    assert str(column) == name


def test_types_that_no_format_holds_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="'uuid' is not one of string"):
        Primitive("uuid")  # type: ignore[arg-type]
    for precision, scale in ((0, 0), (39, 0), (5, 6), (5, -1)):
        with pytest.raises(ValueError, match="1 to 38 digits"):
            Decimal(precision, scale)


def test_delta_has_no_time_of_day_at_any_depth() -> None:
    time = Primitive("time")
    for column in (time, ListType(time), StructType((StructField("a", ListType(time)),))):
        assert unsupported(column, "delta")
        assert unsupported(column, "iceberg") is None
    assert unsupported(Primitive("timestamp_ntz"), "delta") is None


@pytest.mark.parametrize(
    ("logical", "physical", "options", "expected"),
    [
        ("string", None, {}, "string"),
        ("integer", None, {}, "long"),
        ("number", None, {}, "double"),
        ("boolean", None, {}, "boolean"),
        ("date", None, {}, "date"),
        ("timestamp", None, {}, "timestamptz"),
        ("timestamp", None, {"timezone": True}, "timestamptz"),
        ("timestamp", None, {"timezone": False}, "timestamp"),
        ("timestamp", "timestamp", {"timezone": False}, "timestamp"),
        ("timestamp", "timestamp_ntz", {}, "timestamp"),
        ("timestamp", "TIMESTAMP WITH TIME ZONE", {}, "timestamptz"),
        ("time", None, {}, "time"),
        ("integer", None, {"format": "i32"}, "int"),
        ("integer", None, {"format": "u32"}, "long"),
        ("number", None, {"format": "f32"}, "float"),
        ("integer", "INTEGER", {}, "int"),
        ("integer", "bigint", {"format": "i64"}, "long"),
        ("integer", "decimal(20)", {}, "decimal(20,0)"),
        ("number", "Numeric(10, 2)", {}, "decimal(10,2)"),
        ("number", "double  precision", {}, "double"),
        ("number", "real", {}, "float"),
        ("number", "int", {}, "int"),
        ("string", "VARCHAR(20)", {}, "string"),
        ("string", "varchar(max)", {}, "string"),
        ("string", "bytes", {}, "binary"),
        (None, "binary", {}, "binary"),
        (None, "bool", {}, "boolean"),
        ("object", None, {}, "object"),
        (None, "struct", {}, "object"),
        ("array", None, {}, "array"),
        (None, "list", {}, "array"),
    ],
)
def test_logical_and_physical_types(
    logical: str | None, physical: str | None, options: dict[str, Any], expected: str
) -> None:
    assert str(column_type(logical, physical, options)) == expected


@pytest.mark.parametrize(
    ("logical", "physical"),
    [
        ("string", "int"),
        ("integer", "double"),
        ("integer", "decimal(10,2)"),
        ("boolean", "int"),
        ("date", "timestamp"),
        ("object", "array"),
        ("number", "decimal(max)"),
        ("number", "decimal(10,20)"),
        ("string", "varchar(10,2)"),
        ("string", "int8"),
        ("string", "struct<a: int>"),
        ("string", ""),
    ],
)
def test_clashes_are_refused(logical: str, physical: str) -> None:
    with pytest.raises(TypeProblem) as caught:
        column_type(logical, physical, {})
    assert caught.value.key == "physicalType"
    assert caught.value.fix
