"""The one schema of a table, whatever its formats: Iceberg's, because it alone has field ids.

A Delta table keeps the same schema, ids included, in its table property ``mcai.schema``,
so files staged for either format can be published in both. Sources: the Iceberg table
specification ("Schemas and Data Types") and the Delta protocol ("Schema Serialization
Format").
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from pyiceberg.schema import Schema, assign_fresh_schema_ids
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
    MapType,
    NestedField,
    StringType,
    StructType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from mcai_pipelines.lakehouse.errors import SchemaMismatch, UnsupportedTable

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from mcai_pipelines.contracts import Contract
    from mcai_pipelines.contracts import types as contract_types

__all__ = [
    "Schema",
    "delta_schema_json",
    "from_contract",
    "from_delta_json",
    "from_polars",
    "same_shape",
    "to_arrow",
    "to_polars",
]

_PRIMITIVES: dict[str, IcebergType] = {
    "string": StringType(),
    "int": IntegerType(),
    "long": LongType(),
    "float": FloatType(),
    "double": DoubleType(),
    "boolean": BooleanType(),
    "date": DateType(),
    "timestamp": TimestamptzType(),
    "timestamp_ntz": TimestampType(),
    "time": TimeType(),
    "binary": BinaryType(),
}

_DELTA_PRIMITIVES: dict[type[IcebergType], str] = {
    StringType: "string",
    IntegerType: "integer",
    LongType: "long",
    FloatType: "float",
    DoubleType: "double",
    BooleanType: "boolean",
    DateType: "date",
    TimestamptzType: "timestamp",
    TimestampType: "timestamp_ntz",
    BinaryType: "binary",
}
_FROM_DELTA: dict[str, IcebergType] = {
    **{name: kind() for kind, name in _DELTA_PRIMITIVES.items()},
    "short": IntegerType(),
    "byte": IntegerType(),
}


def from_contract(contract: Contract) -> Schema:
    """The table schema that a contract asks for, with fresh field ids from 1.

    Args:
        contract: Its columns, in order, become the fields; descriptions become docs.
    """
    fields = [
        NestedField(
            position,
            column.name,
            _from_contract_type(column.type),
            required=column.required,
            doc=column.description or None,
        )
        for position, column in enumerate(contract.columns, start=1)
    ]
    return assign_fresh_schema_ids(Schema(*fields))


def _from_contract_type(kind: contract_types.Type) -> IcebergType:
    from mcai_pipelines.contracts import types as contract_types

    match kind:
        case contract_types.Decimal(precision=precision, scale=scale):
            return DecimalType(precision, scale)
        case contract_types.ListType(element=element, element_required=required):
            return ListType(-1, _from_contract_type(element), element_required=required)
        case contract_types.StructType(fields=fields):
            return StructType(
                *(
                    NestedField(
                        -1, field.name, _from_contract_type(field.type), required=field.required
                    )
                    for field in fields
                )
            )
        case contract_types.Primitive(kind=name):
            return _PRIMITIVES[name]


def from_polars(schema: pl.Schema, *, where: str) -> Schema:
    """The table schema of a frame that has no contract; every column is nullable.

    Small and unsigned integers become the next signed type that holds them, categories
    become strings, and every timestamp has microseconds.

    Args:
        schema: Column names and Polars types of the frame.
        where: What to name in an error: the asset or table.

    Raises:
        SchemaMismatch: A column has a type that no table format holds.
    """
    fields = [
        NestedField(position, name, _from_polars_type(dtype, f"{where}.{name}"), required=False)
        for position, (name, dtype) in enumerate(schema.items(), start=1)
    ]
    if not fields:
        raise SchemaMismatch.at(where, "the frame has no columns", "give it at least one")
    seen: dict[str, str] = {}
    for name in schema:
        other = seen.setdefault(name.casefold(), name)
        if other != name:  # SQL engines, and delta-rs itself, do not tell them apart
            what = f"columns {other!r} and {name!r} differ only in case"
            raise SchemaMismatch.at(where, what, "rename one of them")
    try:
        return assign_fresh_schema_ids(Schema(*fields))
    except ValueError as error:  # a column "a.b" beside a field b of a column "a"
        raise SchemaMismatch.at(where, str(error), "rename one of them") from error


def _from_polars_type(dtype: pl.DataType, where: str) -> IcebergType:
    import polars as pl

    match dtype:
        case pl.Int8() | pl.Int16() | pl.Int32() | pl.UInt8() | pl.UInt16():
            return IntegerType()
        case pl.Int64() | pl.UInt32():
            return LongType()
        case pl.Float32():
            return FloatType()
        case pl.Float64():
            return DoubleType()
        case pl.Boolean():
            return BooleanType()
        case pl.String() | pl.Categorical() | pl.Enum():
            return StringType()
        case pl.Binary():
            return BinaryType()
        case pl.Date():
            return DateType()
        case pl.Datetime(time_zone=None):
            return TimestampType()
        case pl.Datetime():
            return TimestamptzType()
        case pl.Decimal():
            return DecimalType(dtype.precision or 38, dtype.scale)
        case pl.List() | pl.Array():
            inner = _from_polars_type(dtype.inner, where)  # type: ignore[arg-type]
            return ListType(-1, inner, element_required=False)
        case pl.Struct():
            return StructType(
                *(
                    NestedField(
                        -1,
                        field.name,
                        _from_polars_type(field.dtype, f"{where}.{field.name}"),  # type: ignore[arg-type]
                        required=False,
                    )
                    for field in dtype.fields
                )
            )
        case _:
            raise SchemaMismatch.at(
                where,
                f"no table format holds the type {dtype}",
                "cast the column, for example to a string or an integer",
            )


def to_polars(schema: Schema) -> dict[str, pl.DataType]:
    """Column names and the Polars type that each is cast to before it is staged."""
    return {field.name: _to_polars_type(field.field_type) for field in schema.fields}


def _to_polars_type(kind: IcebergType) -> pl.DataType:
    import polars as pl

    match kind:
        case DecimalType():
            return pl.Decimal(kind.precision, kind.scale)
        case ListType():
            return pl.List(_to_polars_type(kind.element_type))
        case StructType():
            return pl.Struct([pl.Field(f.name, _to_polars_type(f.field_type)) for f in kind.fields])
        case StringType():
            return pl.String()
        case IntegerType():
            return pl.Int32()
        case LongType():
            return pl.Int64()
        case FloatType():
            return pl.Float32()
        case DoubleType():
            return pl.Float64()
        case BooleanType():
            return pl.Boolean()
        case DateType():
            return pl.Date()
        case TimestamptzType():
            return pl.Datetime("us", "UTC")
        case TimestampType():
            return pl.Datetime("us")
        case TimeType():
            return pl.Time()
        case BinaryType():
            return pl.Binary()
    raise UnsupportedTable(f"this writer has no type for {kind}, which another one added")


def to_arrow(schema: Schema) -> pa.Schema:
    """The Arrow schema files are written with: nullability, and ``PARQUET:field_id`` metadata."""
    from pyiceberg.io.pyarrow import schema_to_pyarrow

    return schema_to_pyarrow(schema, include_field_ids=True)


def delta_schema_json(schema: Schema) -> str:
    """The schema as Delta writes it (``metaData.schemaString``).

    Raises:
        SchemaMismatch: Delta Lake cannot hold one of the types (``time``).
    """
    return json.dumps(_delta_struct(schema.as_struct()), ensure_ascii=False)


def _delta_struct(struct: StructType) -> dict[str, Any]:
    return {
        "type": "struct",
        "fields": [
            {
                "name": field.name,
                "type": _delta_type(field.field_type, field.name),
                "nullable": not field.required,
                "metadata": {"comment": field.doc} if field.doc else {},
            }
            for field in struct.fields
        ],
    }


def _delta_type(kind: IcebergType, name: str) -> str | dict[str, Any]:
    match kind:
        case DecimalType():
            return f"decimal({kind.precision},{kind.scale})"
        case StructType():
            return _delta_struct(kind)
        case ListType():
            return {
                "type": "array",
                "elementType": _delta_type(kind.element_type, name),
                "containsNull": not kind.element_required,
            }
    if type(kind) not in _DELTA_PRIMITIVES:
        raise SchemaMismatch.at(
            name, f"Delta Lake has no type for {kind}", "use another type, or Iceberg"
        )
    return _DELTA_PRIMITIVES[type(kind)]


def from_delta_json(text: str, known: Schema | None) -> Schema:
    """A Delta schema as ours, with the field ids of ``known`` where names agree.

    Args:
        text: ``metaData.schemaString``.
        known: The schema in the table's ``mcai.schema`` property, if it has one. A column
            that another writer added since then gets the next free id.
    """
    fields = json.loads(text)["fields"]
    by_name = {field.name: field for field in known.fields} if known else {}
    numbers = count(known.highest_field_id + 1 if known else 1)
    result = []
    for field in map(_from_delta_field, fields):
        ours = by_name.get(field.name)
        if ours is not None and same_shape(ours.field_type, field.field_type):
            result.append(
                NestedField(
                    ours.field_id,
                    ours.name,
                    ours.field_type,
                    required=field.required,
                    doc=field.doc,
                )
            )
        else:
            result.append(_with_fresh_ids(field, numbers))
    return Schema(*result)


def _with_fresh_ids(field: NestedField, numbers: Iterator[int]) -> NestedField:
    return assign_fresh_schema_ids(Schema(field), lambda: next(numbers)).fields[0]


def same_shape(old: IcebergType, new: IcebergType) -> bool:
    """Whether two types are equal but for field ids and descriptions."""
    match old, new:
        case ListType(), ListType():
            return old.element_required == new.element_required and same_shape(
                old.element_type, new.element_type
            )
        case StructType(), StructType():
            return len(old.fields) == len(new.fields) and all(
                a.name == b.name
                and a.required == b.required
                and same_shape(a.field_type, b.field_type)
                for a, b in zip(old.fields, new.fields, strict=True)
            )
    return old == new


def _from_delta_field(field: dict[str, Any]) -> NestedField:
    return NestedField(
        -1,
        field["name"],
        _from_delta_type(field["type"]),
        required=not field["nullable"],
        doc=field.get("metadata", {}).get("comment"),
    )


def _from_delta_type(kind: str | dict[str, Any]) -> IcebergType:
    if isinstance(kind, str):
        if kind.startswith("decimal"):
            precision, scale = kind.removeprefix("decimal(").removesuffix(")").split(",")
            return DecimalType(int(precision), int(scale))
        if kind not in _FROM_DELTA:
            raise UnsupportedTable(f"the Delta table has a column of type {kind}, unknown here")
        return _FROM_DELTA[kind]
    if kind["type"] == "array":
        return ListType(
            -1, _from_delta_type(kind["elementType"]), element_required=not kind["containsNull"]
        )
    if kind["type"] == "map":
        return MapType(
            -1,
            _from_delta_type(kind["keyType"]),
            -1,
            _from_delta_type(kind["valueType"]),
            value_required=not kind["valueContainsNull"],
        )
    return StructType(*(_from_delta_field(field) for field in kind["fields"]))
