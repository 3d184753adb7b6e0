"""How a table's schema may follow its contract without breaking a reader.

Adding a nullable column, widening a type, allowing nulls and changing a description are
evolution. Everything else (removing, renaming, narrowing, requiring) breaks readers or old
rows, and is refused. Promotions: Iceberg table specification, "Schema Evolution".
"""

from __future__ import annotations

from dataclasses import dataclass

from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.types import (
    DecimalType,
    DoubleType,
    FloatType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
)

from mcai_pipelines.errors import Problem
from mcai_pipelines.lakehouse.errors import SchemaMismatch
from mcai_pipelines.lakehouse.schema import same_shape


@dataclass(frozen=True)
class Evolution:
    """What has to change in a table before a write that follows the contract.

    Attributes:
        schema: The table's schema afterwards: old columns in place, new ones at the end.
        added: New columns, all nullable.
        widened: Columns whose type grew; old files keep the narrower one.
        relaxed: Columns that may now be null.
        documented: Columns whose description changed.
    """

    schema: Schema
    added: tuple[NestedField, ...] = ()
    widened: tuple[NestedField, ...] = ()
    relaxed: tuple[NestedField, ...] = ()
    documented: tuple[NestedField, ...] = ()

    @property
    def changes(self) -> bool:
        """Whether the table's schema changes at all."""
        return bool(self.added or self.widened or self.relaxed or self.documented)


def plan_evolution(current: Schema, wanted: Schema, *, where: str) -> Evolution:
    """The way from a table's schema to its contract's.

    Args:
        current: The schema of the table as it is.
        wanted: The schema of the contract; its field ids are ignored.
        where: What an error names: the contract's file, or the table.

    Raises:
        SchemaMismatch: The contract asks for a change that breaks readers; every such
            change is listed.
    """
    target = {field.name: field for field in wanted.fields}
    known = {field.name for field in current.fields}
    problems: list[Problem] = []
    fields: list[NestedField] = []
    changed: dict[str, list[NestedField]] = {"widened": [], "relaxed": [], "documented": []}
    for field in current.fields:
        new = target.get(field.name)
        if new is None:
            problems.append(_removed(where, field, target.keys() - known))
            continue
        evolved = _evolve_field(field, new, where, problems)
        fields.append(evolved)
        if str(evolved.field_type) != str(field.field_type):
            changed["widened"].append(evolved)
        if field.required and not evolved.required:
            changed["relaxed"].append(evolved)
        if (evolved.doc or "") != (field.doc or ""):
            changed["documented"].append(evolved)
    added = _added(current, [f for f in wanted.fields if f.name not in known], where, problems)
    if problems:
        raise SchemaMismatch(problems)
    return Evolution(
        schema=Schema(*fields, *added),
        added=added,
        widened=tuple(changed["widened"]),
        relaxed=tuple(changed["relaxed"]),
        documented=tuple(changed["documented"]),
    )


def merge_inferred(current: Schema, inferred: Schema) -> Schema:
    """What a table without a contract should become for a frame with these columns.

    Columns that the frame lacks stay; a type that the table's already holds stays.
    """
    new = {field.name: field for field in inferred.fields}
    kept = [
        field
        if field.name not in new or not _widens(field.field_type, new[field.name].field_type)
        else NestedField(
            field.field_id,
            field.name,
            new[field.name].field_type,
            required=field.required,
            doc=field.doc,
        )
        for field in current.fields
    ]
    known = {field.name for field in current.fields}
    return Schema(*kept, *(field for field in inferred.fields if field.name not in known))


def _removed(where: str, field: NestedField, new_names: set[str]) -> Problem:
    renamed = f" (renamed to {sorted(new_names)[0]!r}?)" if len(new_names) == 1 else ""
    return Problem(
        where,
        f"column {field.name!r} of the table is gone from the contract{renamed}",
        "removing or renaming a column breaks its readers: keep it, or write a new table",
    )


def _evolve_field(
    field: NestedField, new: NestedField, where: str, problems: list[Problem]
) -> NestedField:
    if not same_shape(field.field_type, new.field_type) and not _widens(
        field.field_type, new.field_type
    ):
        problems.append(
            Problem(
                where,
                f"column {field.name!r} is {field.field_type} in the table"
                f" and {new.field_type} in the contract",
                "only widening is possible (int to long, float to double, a decimal to more"
                " digits): keep the type, or add a column",
            )
        )
        return field
    if new.required and not field.required:
        problems.append(
            Problem(
                where,
                f"column {field.name!r} may be null in the table and is required in the contract",
                "old rows may hold nulls: leave it optional, or write a new table",
            )
        )
    widened = _widens(field.field_type, new.field_type)
    return NestedField(
        field.field_id,
        field.name,
        new.field_type if widened else field.field_type,
        required=new.required,
        doc=new.doc,
    )


def _added(
    current: Schema, new: list[NestedField], where: str, problems: list[Problem]
) -> tuple[NestedField, ...]:
    problems.extend(
        Problem(
            where,
            f"new column {field.name!r} is required, and the rows already there have no value",
            "make it optional, or write a new table",
        )
        for field in new
        if field.required
    )
    last = iter(range(current.highest_field_id + 1, 1 << 31))
    # One column at a time, nested ids included: as PyIceberg numbers them, and so that a mirror
    # that takes two evolutions in one step comes to the same ids.
    return tuple(
        assign_fresh_schema_ids(Schema(field), lambda: next(last)).fields[0] for field in new
    )


def _widens(old: IcebergType, new: IcebergType) -> bool:
    match old, new:
        case (IntegerType(), LongType()) | (FloatType(), DoubleType()):
            return True
        case DecimalType(), DecimalType():
            return old.scale == new.scale and new.precision > old.precision
    return False
