"""One schema in three languages: the contract's, Iceberg's (with ids) and Delta's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import polars as pl
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.schema import Field, PrimitiveType
from hypothesis import given
from pyiceberg.schema import Schema
from pyiceberg.types import (
    DecimalType,
    FixedType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    StructType,
    TimeType,
    UUIDType,
)

from mcai_pipelines.config import project_root
from mcai_pipelines.contracts import load_contract
from mcai_pipelines.contracts import types as contract
from mcai_pipelines.contracts.model import Column
from mcai_pipelines.lakehouse.errors import SchemaMismatch, UnsupportedTable
from mcai_pipelines.lakehouse.schema import (
    delta_schema_json,
    from_contract,
    from_delta_json,
    same_shape,
    to_arrow,
    to_polars,
)
from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse.conftest import FORMATS, schema_of
from tests.lakehouse.test_evolve import evolutions
from tests.lakehouse.test_types import EXAMPLES, IN_BOTH

MakeTable = Callable[..., Table]

CONTRACT_TYPES: dict[str, contract.Type] = {
    **{name: contract.Primitive(name) for name in get_args(contract.PrimitiveKind)},
    "decimal(9,2)": contract.Decimal(9, 2),
    "list": contract.ListType(contract.Primitive("string")),
    "struct": contract.StructType(
        (
            contract.StructField("a", contract.Primitive("long")),
            contract.StructField("b", contract.Primitive("string")),
        )
    ),
    "list of struct": contract.ListType(
        contract.StructType(
            (
                contract.StructField("p", contract.Primitive("double")),
                contract.StructField("q", contract.ListType(contract.Primitive("int"))),
            )
        )
    ),
}


def some_contract(*columns: Column) -> Any:
    path = project_root() / "contracts" / "retail" / "weekly_sales.yaml"
    return replace(load_contract(path), columns=columns)


def test_every_type_of_a_contract() -> None:
    columns = (Column(name, kind) for name, kind in CONTRACT_TYPES.items())
    schema = from_contract(some_contract(*columns))
    assert len(CONTRACT_TYPES) == 15
    for field in schema.fields:
        assert same_shape(field.field_type, EXAMPLES[field.name].iceberg)
        assert to_polars(schema)[field.name] == EXAMPLES[field.name].polars
    numbers = [schema.find_field(name).field_id for name in schema.column_names]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


def test_what_else_a_contract_says_of_a_column() -> None:
    required_inside = contract.ListType(
        contract.StructType((contract.StructField("a", contract.Primitive("int"), required=True),)),
        element_required=True,
    )
    schema = from_contract(
        some_contract(
            Column("id", contract.Primitive("long"), required=True, description="a number"),
            Column("x", required_inside),
        )
    )
    one, two = schema.fields
    assert (one.required, one.doc) == (True, "a number")
    assert (two.required, two.doc) == (False, None)
    arrow = to_arrow(schema)
    assert not arrow.field("id").nullable
    assert not arrow.field("x").type.value_field.nullable
    assert not arrow.field("x").type.value_type.field("a").nullable


@pytest.mark.parametrize(("primary", "mirrored"), FORMATS)
def test_a_contract_of_the_project_makes_a_table(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    loaded = load_contract(project_root() / "contracts" / "retail" / "weekly_sales.yaml")
    schema = from_contract(loaded)
    table = make_table(primary, mirrored, schema=schema, partition_by=loaded.partition_by)
    table.write(pl.DataFrame(schema=to_polars(schema)))
    for format in table.formats:
        assert table.scan(format=format).collect_schema() == to_polars(schema)
    assert list(table.info().schema) == [column.name for column in loaded.columns]


# ---------------------------------------------------------------- Delta's


@given(evolutions())
def test_delta_keeps_a_schema_as_it_is(change: tuple[Schema, Schema]) -> None:
    schema, _ = change
    text = delta_schema_json(schema)
    assert from_delta_json(text, known=schema) == schema
    unknown = from_delta_json(text, known=None)
    assert unknown.column_names == schema.column_names
    for ours, theirs in zip(schema.fields, unknown.fields, strict=True):
        assert same_shape(ours.field_type, theirs.field_type)
        assert (ours.name, ours.required) == (theirs.name, theirs.required)


def test_what_another_writer_changed_in_delta() -> None:
    known = schema_of({"a": LongType(), "b": IntegerType(), "c": StringType()}, required=["a"])
    theirs = json.dumps(
        {
            "type": "struct",
            "fields": [
                {"name": "a", "type": "long", "nullable": True, "metadata": {"comment": "new"}},
                {"name": "b", "type": "long", "nullable": True, "metadata": {}},
                {"name": "d", "type": "byte", "nullable": True, "metadata": {}},
            ],
        }
    )
    a, b, d = from_delta_json(theirs, known).fields
    assert (a.field_id, a.required, a.doc) == (1, False, "new")  # relaxed and described
    assert (b.field_id, str(b.field_type)) == (4, "long")  # another type: another column
    assert (d.field_id, str(d.field_type)) == (5, "int")


def test_types_that_only_others_write() -> None:
    fields = {"type": "map", "keyType": "string", "valueType": "long", "valueContainsNull": True}
    text = {"name": "m", "type": fields, "nullable": True, "metadata": {}}
    schema = from_delta_json(json.dumps({"type": "struct", "fields": [text]}), None)
    assert str(schema.find_field("m").field_type) == "map<string, long>"
    with pytest.raises(UnsupportedTable, match="no type for map"):
        to_polars(schema)
    text["type"] = "variant"
    with pytest.raises(UnsupportedTable, match="a column of type variant, unknown here"):
        from_delta_json(json.dumps({"type": "struct", "fields": [text]}), None)


@pytest.mark.parametrize(
    "kind",
    [
        TimeType(),
        UUIDType(),
        FixedType(4),
        ListType(-1, TimeType(), element_required=False),
        StructType(NestedField(-1, "x", TimeType(), required=False)),
    ],
)
def test_types_that_delta_does_not_have(kind: Any) -> None:
    with pytest.raises(SchemaMismatch, match="Delta Lake has no type for"):
        delta_schema_json(schema_of({"t": kind}))


@pytest.mark.parametrize(
    "kind", [UUIDType(), FixedType(4), MapType(-1, StringType(), -1, LongType())]
)
def test_types_that_we_do_not_write(kind: Any) -> None:
    with pytest.raises(UnsupportedTable, match="this writer has no type for"):
        to_polars(schema_of({"t": kind}))


def test_a_decimal_of_every_size_in_delta() -> None:
    for precision in (1, 9, 10, 18, 19, 38):
        schema = schema_of({"d": DecimalType(precision, precision // 2)})
        assert from_delta_json(delta_schema_json(schema), None) == schema


def test_a_column_that_another_writer_added_to_our_delta_table(
    make_table: MakeTable, tmp_path: Path
) -> None:
    table = make_table("delta", "iceberg")
    table.write(pl.DataFrame({"n": [1]}))
    theirs = DeltaTable(table.storage.uri)
    theirs.alter.add_columns([Field("new", PrimitiveType("string"))])
    write_deltalake(
        table.storage.uri, pl.DataFrame({"n": [2], "new": ["x"]}).to_arrow(), mode="append"
    )
    table.write(pl.DataFrame({"n": [3], "new": ["y"]}))
    for format in table.formats:
        rows = table.scan(format=format).sort("n").collect().rows()
        assert rows == [(1, None), (2, "x"), (3, "y")], format


def test_every_contract_type_is_tried_in_tables() -> None:
    assert set(CONTRACT_TYPES) <= {*IN_BOTH, "time"}
