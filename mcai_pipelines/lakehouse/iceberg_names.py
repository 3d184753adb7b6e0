"""Which files of an Iceberg table a reader that goes by names and types would misread.

Iceberg finds a column in a file by its field id, and reads a narrower type as the table's
(Iceberg table specification, "Column Projection", "Schema Evolution"). So a file that was
written before a column was widened or renamed, or that holds a dropped column of a name that
was used again, is right in Iceberg and wrong in Delta.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pyiceberg.types import IcebergType

if TYPE_CHECKING:
    from pyiceberg.schema import Schema
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.name_mapping import MappedField


def differing(table: IcebergTable, schema: Schema) -> set[int]:
    """Ids of the table's schemas under which files were written that would be misread now.

    Args:
        table: PyIceberg's table.
        schema: The schema that its files are read with.
    """
    return {id for id, then in table.schemas().items() if _differs(then, schema)}


def written_under(
    table: IcebergTable, schema_ids: set[int], added_by: Mapping[str, int | None]
) -> set[str]:
    """Paths of the files that were written under one of these schemas.

    Args:
        table: PyIceberg's table.
        schema_ids: The schemas.
        added_by: Path of each file to the snapshot that added it; of one that has expired, the
            oldest schema is assumed.
    """
    schema_of = {s.snapshot_id: s.schema_id for s in table.snapshots() if s.schema_id is not None}
    oldest = min(table.schemas())
    return {
        path
        for path, snapshot in added_by.items()
        if schema_of.get(snapshot or 0, oldest) in schema_ids
    }


def maps_other_names(fields: Sequence[MappedField]) -> bool:
    """Whether a name mapping has several names for one column."""
    return any(len(field.names) > 1 or maps_other_names(field.fields) for field in fields)


def _differs(then: Schema, now: Schema) -> bool:
    """Whether a file of the one schema is misread by the names and types of the other."""
    ids, before = _ids(now), _ids(then)
    numbers = {name: number for number, (name, _) in before.items()}
    for number, (name, kind) in ids.items():
        if number in before and before[number] != (name, kind):
            return True
        if number not in before and name in numbers:
            return True
    return False


def _ids(schema: Schema) -> dict[int, tuple[str, str]]:
    """Field id to name and type, nested fields included."""
    from pyiceberg.schema import index_by_id

    fields = index_by_id(schema)
    return {
        number: (schema.find_column_name(number) or field.name, _type(field.field_type))
        for number, field in fields.items()
    }


def _type(kind: IcebergType) -> str:
    return str(kind) if kind.is_primitive else type(kind).__name__
