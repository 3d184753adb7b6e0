"""How a table's schema follows its contract: what is a change, and what is refused."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.types import (
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
)

from mcai_pipelines.lakehouse.errors import MirrorLagging, SchemaMismatch
from mcai_pipelines.lakehouse.evolve import plan_evolution
from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse.conftest import FORMATS, MIRRORED, schema_of
from tests.lakehouse.plain_readers import assert_reads_everywhere

every_format = pytest.mark.parametrize(("primary", "mirrored"), FORMATS)
MakeTable = Callable[..., Table]

INT, LONG, TEXT = IntegerType(), LongType(), StringType()


def nullable(name: str, kind: IcebergType) -> NestedField:
    return NestedField(-1, name, kind, required=False)


def a_list(kind: IcebergType, *, required: bool = False) -> ListType:
    return ListType(-1, kind, element_required=required)


POINT = StructType(nullable("x", DoubleType()), nullable("y", a_list(INT)))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (INT, LONG),
        (FloatType(), DoubleType()),
        (DecimalType(9, 2), DecimalType(10, 2)),
        (DecimalType(9, 2), DecimalType(38, 2)),
    ],
)
def test_types_that_widen(old: IcebergType, new: IcebergType) -> None:
    plan = plan_evolution(schema_of({"x": old}), schema_of({"x": new}), where="t")
    assert [str(f.field_type) for f in plan.widened] == [str(new)]
    assert plan.schema == schema_of({"x": new})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LONG, INT),
        (DoubleType(), FloatType()),
        (INT, DoubleType()),
        (INT, DecimalType(10, 0)),
        (DecimalType(10, 2), DecimalType(9, 2)),
        (DecimalType(9, 2), DecimalType(10, 3)),
        (INT, TEXT),
        (DateType(), TimestampType()),
        (TimestampType(), TimestamptzType()),
        (BooleanType(), INT),
        (INT, a_list(INT)),
        (a_list(INT), a_list(LONG)),
        (a_list(INT, required=True), a_list(INT)),
        (POINT, StructType(nullable("x", DoubleType()))),
        (POINT, StructType(nullable("y", DoubleType()), nullable("x", a_list(INT)))),
        (POINT, StructType(nullable("x", DoubleType()), nullable("z", a_list(INT)))),
        (POINT, StructType(*POINT.fields, nullable("z", INT))),
    ],
)
def test_types_that_do_not_become_another(old: IcebergType, new: IcebergType) -> None:
    with pytest.raises(
        SchemaMismatch, match=r"^c\.yaml: column 'x' is .*only widening is possible"
    ):
        plan_evolution(schema_of({"x": old}), schema_of({"x": new}), where="c.yaml")


def test_all_that_may_change_at_once() -> None:
    current = Schema(
        NestedField(1, "id", LONG, required=True),
        NestedField(2, "n", INT, required=True, doc="old"),
        NestedField(
            3, "p", assign_fresh_schema_ids(Schema(nullable("p", POINT))).fields[0].field_type
        ),
    )
    wanted = Schema(
        nullable("new", POINT),
        NestedField(9, "n", LONG, required=False, doc="new"),
        NestedField(9, "id", LONG, required=True, doc=""),
        nullable("p", POINT),
        nullable("last", TEXT),
    )
    plan = plan_evolution(current, wanted, where="t")
    assert [field.name for field in plan.schema.fields] == ["id", "n", "p", "new", "last"]
    assert [field.name for field in plan.added] == ["new", "last"]
    assert [field.name for field in plan.widened] == ["n"]
    assert [field.name for field in plan.relaxed] == ["n"]
    assert [field.name for field in plan.documented] == ["n"]


def test_every_breaking_change_is_told() -> None:
    current = schema_of({"a": LONG, "b": LONG, "c": LONG}, required=["a"])
    wanted = schema_of({"a": INT, "c": LONG, "d": TEXT, "e": TEXT}, required=["c", "d"])
    with pytest.raises(SchemaMismatch) as caught:
        plan_evolution(current, wanted, where="c.yaml")
    assert [problem.what for problem in caught.value.problems] == [
        "column 'a' is long in the table and int in the contract",
        "column 'b' of the table is gone from the contract",
        "column 'c' may be null in the table and is required in the contract",
        "new column 'd' is required, and the rows already there have no value",
    ]


def test_a_rename_is_suspected_where_it_is_the_only_new_name() -> None:
    with pytest.raises(
        SchemaMismatch, match=r"'a' .* is gone from the contract \(renamed to 'b'\?"
    ):
        plan_evolution(schema_of({"a": LONG}), schema_of({"b": LONG}), where="t")


# ---------------------------------------------------------------- for any schema

LEAVES = st.sampled_from(
    [INT, LONG, FloatType(), DoubleType(), DecimalType(9, 2), DecimalType(20, 2), TEXT, DateType()]
)
TYPES: st.SearchStrategy[Any] = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(a_list, inner)
        | st.lists(inner, min_size=1, max_size=3).map(
            lambda kinds: StructType(*(nullable(f"f{n}", kind) for n, kind in enumerate(kinds)))
        )
    ),
    max_leaves=4,
)
WIDER = {"int": LONG, "float": DoubleType(), "decimal(9, 2)": DecimalType(20, 2)}


@st.composite
def evolutions(draw: st.DrawFn) -> tuple[Schema, Schema]:
    """A table's schema, and a contract that it may evolve to."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True))
    kept = draw(st.integers(1, len(names)))
    old, new = [], []
    for position, name in enumerate(names):
        kind, required = draw(TYPES), draw(st.booleans())
        if position < kept:
            old.append(NestedField(-1, name, kind, required=required))
            kind = WIDER.get(str(kind), kind) if draw(st.booleans()) else kind
            required = required and draw(st.booleans())
        new.append(
            NestedField(
                -1,
                name,
                kind,
                required=required and position < kept,
                doc=draw(st.none() | st.just("d")),
            )
        )
    return assign_fresh_schema_ids(Schema(*old)), Schema(*draw(st.permutations(new)))


def ids(schema: Schema) -> dict[str, int]:
    return {name: schema.find_field(name).field_id for name in schema.column_names}


@given(evolutions())
def test_a_plan_is_complete_keeps_ids_and_order_and_needs_no_second_one(
    change: tuple[Schema, Schema],
) -> None:
    current, wanted = change
    plan = plan_evolution(current, wanted, where="t")
    again = plan_evolution(plan.schema, wanted, where="t")
    assert not again.changes
    assert again.schema == plan.schema
    assert {f.name for f in plan.schema.fields} == {f.name for f in wanted.fields}
    for field in plan.schema.fields:
        target = next(f for f in wanted.fields if f.name == field.name)
        assert (field.required, field.doc) == (target.required, target.doc)
        assert str(field.field_type).count("list") == str(target.field_type).count("list")
    before, after = ids(current), ids(plan.schema)
    assert {name: after[name] for name in before} == before
    new = [number for name, number in after.items() if name not in before]
    assert len(set(after.values())) == len(after)
    assert all(number > current.highest_field_id for number in new)
    names = [field.name for field in plan.schema.fields]
    assert names[: len(current.fields)] == [field.name for field in current.fields]
    order_in_contract = [f.name for f in wanted.fields if f.name not in before]
    assert names[len(current.fields) :] == order_in_contract


# ---------------------------------------------------------------- in tables


@every_format
def test_nested_columns_are_added_and_ids_agree_in_both_formats(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    make_table(primary, mirrored, schema=schema_of({"n": LONG})).write(pl.DataFrame({"n": [1]}))
    columns = {"n": LONG, "p": POINT, "q": a_list(POINT), "last": TEXT}
    table = make_table(primary, mirrored, schema=schema_of(columns))
    point = {"x": 0.5, "y": [1, None]}
    frame = pl.DataFrame(
        {"n": [2], "p": [point], "q": [[point]], "last": ["x"]},
        schema_overrides={
            "p": pl.Struct({"x": pl.Float64, "y": pl.List(pl.Int32)}),
            "q": pl.List(pl.Struct({"x": pl.Float64, "y": pl.List(pl.Int32)})),
        },
    )
    table.write(frame)
    for format in table.formats:
        found = table.scan(format=format).sort("n").collect()
        assert found[1:].equals(frame)
        assert found.row(0) == (1, None, None, None)


@every_format
def test_a_time_without_a_zone_is_added(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    """For which Delta needs a table feature, and keeps the other rules of the table."""
    table = make_table(primary, mirrored)
    table.write(pl.DataFrame({"n": [1]}))
    moments = [dt.datetime(2017, 1, 2), dt.datetime(2017, 1, 9)]
    table.write(pl.DataFrame({"n": [2], "at": moments[:1]}))
    table.write(pl.DataFrame({"n": [3], "at": moments[1:]}))
    assert_reads_everywhere(table, pl.DataFrame({"n": [1, 2, 3], "at": [None, *moments]}), by="n")


@pytest.mark.parametrize(("primary", "mirrored"), MIRRORED)
def test_a_mirror_that_missed_two_evolutions_takes_both(
    make_table: MakeTable, primary: str, mirrored: str
) -> None:
    steps: list[dict[str, IcebergType]] = [
        {"n": INT},
        {"n": INT, "p": POINT, "a": TEXT},
        {"n": LONG, "p": POINT, "a": TEXT, "b": TEXT},
    ]
    schemas = [schema_of(columns) for columns in steps]
    make_table(primary, mirrored, schema=schemas[0]).write(pl.DataFrame({"n": [1]}))
    make_table(primary, schema=schemas[1]).write(pl.DataFrame({"n": [2], "a": ["x"]}))
    make_table(primary, schema=schemas[2]).write(pl.DataFrame({"n": [2**40], "b": ["y"]}))
    table = make_table(primary, mirrored, schema=schemas[2])
    if mirrored == "delta":  # which finds columns by name and type
        with pytest.raises(MirrorLagging, match="the next write, or mcai table mirror"):
            table.repair_mirror()
        table.mirror_to(mirrored)
    for format in table.formats:
        rows = table.scan(format=format).select("n", "a", "b").sort("n").collect().rows()
        assert rows == [(1, None, None), (2, "x", None), (2**40, None, "y")], format


@every_format
def test_nulls_are_allowed_and_columns_described(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    make_table(primary, mirrored, schema=schema_of({"n": LONG}, required=["n"])).write(
        pl.DataFrame({"n": [1]})
    )
    wanted = Schema(NestedField(1, "n", LONG, required=False, doc="a number"))
    table = make_table(primary, mirrored, schema=wanted)
    table.write(pl.DataFrame({"n": [None]}))
    assert_reads_everywhere(table, pl.DataFrame({"n": [1, None]}, schema={"n": pl.Int64}), by="n")
    for log in (table.primary, table.mirror_log):
        if log is not None:
            head = log.head()
            assert head is not None
            assert head.schema.find_field("n").doc == "a number"
            assert head.schema.find_field("n").optional


@every_format
def test_a_frame_without_a_contract_adds_and_widens_columns(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    table.write(pl.DataFrame({"id": [1], "n": pl.Series([1], dtype=pl.Int32)}))
    table.write(pl.DataFrame({"z": ["x"], "id": [2]}))  # lacks n
    table.write(pl.DataFrame({"n": [2**40], "id": [3]}))  # wider n, lacks z
    table.write(pl.DataFrame({"n": pl.Series([4], dtype=pl.Int8), "id": [4]}))  # narrower n
    expected = pl.DataFrame(
        {"id": [1, 2, 3, 4], "n": [1, None, 2**40, 4], "z": [None, "x", None, None]}
    )
    assert_reads_everywhere(table, expected, by="id")
    with pytest.raises(SchemaMismatch, match="column 'n' is String in the frame and Int64"):
        table.write(pl.DataFrame({"n": ["five"], "id": [5]}))
