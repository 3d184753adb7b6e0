"""What may partition a table: columns of exact types, and values that every reader reads back."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import quote

from pyiceberg.types import (
    BooleanType,
    DateType,
    DecimalType,
    IcebergType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
    TimestamptzType,
)

from mcai_pipelines.errors import Problem
from mcai_pipelines.lakehouse.delta_codec import partition_text
from mcai_pipelines.lakehouse.errors import SchemaMismatch

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.files import Partition, Value
    from mcai_pipelines.lakehouse.schema import Schema

# Floats do not compare exactly, Delta has no time of day, and bytes are no text for a folder.
_TYPES: dict[type[IcebergType], type] = {
    StringType: str,
    IntegerType: int,
    LongType: int,
    BooleanType: bool,
    DateType: dt.date,
    TimestamptzType: dt.datetime,
    TimestampType: dt.datetime,
    DecimalType: decimal.Decimal,
}
_AVRO_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")  # Avro specification, "Names"
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"


def folder(name: str, value: Value | None) -> str:
    """A partition's folder, as Hive names it; one without a value gets a name of its own."""
    return name if value is None else f"{name}={quote(partition_text(value), safe='')}"


def check_columns(schema: Schema, partition_by: tuple[str, ...], *, where: str) -> None:
    """Refuse partition columns that a format, or a reader of it, cannot handle.

    Args:
        schema: The table's.
        partition_by: Names of the partition columns.
        where: What an error names: the table or the contract's file.

    Raises:
        SchemaMismatch: A column is missing, or has an unsuitable name or type.
    """
    kinds = {field.name: field.field_type for field in schema.fields}
    problems = []
    for name in partition_by:
        if name not in kinds:
            what = f"the table has no column {name!r} to be partitioned by"
            problems.append(Problem(where, what, f"use one of: {', '.join(kinds)}"))
        elif type(kinds[name]) not in _TYPES:
            what = (
                f"partition column {name!r} is {kinds[name]}, whose values cannot name partitions"
            )
            problems.append(Problem(where, what, "use a date, text, integer or decimal column"))
        if not _AVRO_NAME.fullmatch(name):
            what = f"partition column {name!r} has a name that Iceberg's manifests cannot hold"
            problems.append(Problem(where, what, "use letters, digits and _ only"))
    if problems:
        raise SchemaMismatch(problems)


def check_wanted(
    schema: Schema, partition_by: tuple[str, ...], wanted: Iterable[Partition], *, where: str
) -> None:
    """Refuse partitions to replace that no row can be in, which would empty nothing silently.

    Args:
        schema: The table's.
        partition_by: Names of the partition columns.
        wanted: A value for each of them.
        where: What an error names: the table or the contract's file.

    Raises:
        SchemaMismatch: A partition has too few or too many values, or one of another type.
    """
    columns = [(name, schema.find_field(name).field_type) for name in partition_by]
    for values in wanted:
        if not isinstance(values, tuple) or len(values) != len(columns):
            raise SchemaMismatch.at(
                where,
                f"the partition {values!r} is not a tuple of one value for each of"
                f" {', '.join(partition_by)}",
                "give such tuples",
            )
        for value, (name, kind) in zip(values, columns, strict=True):
            if value is not None and not _fits(value, kind):
                raise SchemaMismatch.at(
                    where,
                    f"the partition value {value!r} is a {type(value).__name__}, and the column"
                    f" {name!r} is {kind}",
                    f"give a {_TYPES[type(kind)].__name__}"
                    + (" with a time zone" if isinstance(kind, TimestamptzType) else ""),
                )


def _fits(value: Value, kind: IcebergType) -> bool:
    if isinstance(kind, TimestamptzType | TimestampType) and isinstance(value, dt.datetime):
        return (value.tzinfo is not None) == isinstance(kind, TimestamptzType)
    return type(value) is _TYPES[type(kind)]


def check_values(
    partition_by: tuple[str, ...], values: Partition, rows: int, *, where: str
) -> None:
    """Refuse what some reader takes for no value at all.

    An empty text in Delta's log means null (its protocol, "Partition Value Serialization"), and
    so does Hive's word for it in a folder's name, which Polars goes by.

    Args:
        partition_by: Names of the partition columns.
        values: Of a partition that was staged.
        rows: How many rows it has.
        where: What an error names: the table or the contract's file.

    Raises:
        SchemaMismatch: A value is null, or reads as null.
    """
    for name, value in zip(partition_by, values, strict=True):
        if value is None or value in ("", _HIVE_NULL):
            reads = "" if value is None else ", which readers take for no value,"
            raise SchemaMismatch.at(
                where,
                f"the partition column {name!r} has {'no value' if value is None else repr(value)}"
                f"{reads} in {rows} rows",
                "filter them out, or fill the column",
            )
