"""A lake table in plain Python: what the state machine compares the real one with."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.types import (
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
)

Row: TypeAlias = dict[str, Any]

NEW_TYPES: dict[str, IcebergType] = {
    "whole": LongType(),
    "text": StringType(),
    "nested": StructType(
        NestedField(-1, "a", LongType()),
        NestedField(-1, "b", ListType(-1, StringType(), element_required=False)),
    ),
}


@dataclass(frozen=True)
class Column:
    name: str
    kind: IcebergType
    required: bool = False


COLUMNS = (
    Column("p", StringType(), required=True),
    Column("id", IntegerType(), required=True),
    Column("v", FloatType()),
    Column("d", DecimalType(5, 2)),
    Column("s", StringType()),
    Column("r", IntegerType(), required=True),
)
"""At first. ``p`` partitions; ``id``, ``v`` and ``d`` may widen, ``r`` may be relaxed."""

WIDER: dict[str, IcebergType] = {"id": LongType(), "v": DoubleType(), "d": DecimalType(12, 2)}


def to_schema(columns: Sequence[Column]) -> Schema:
    """What a contract with these columns asks for."""
    fields = (NestedField(-n, c.name, c.kind, required=c.required) for n, c in enumerate(columns))
    return assign_fresh_schema_ids(Schema(*fields))


@dataclass
class Snapshot:
    """One version: its rows, and the keys of the appends that led to it."""

    rows: list[Row]
    keys: frozenset[str] = frozenset()


@dataclass
class Model:
    """Every version of a table by its id, oldest first."""

    versions: dict[int, Snapshot] = field(default_factory=dict)

    @property
    def head(self) -> Snapshot:
        return next(reversed(self.versions.values()), Snapshot([]))

    def add(self, version: int, rows: Iterable[Row], keys: Iterable[str]) -> None:
        assert version not in self.versions
        self.versions[version] = Snapshot(list(rows), frozenset(keys))


def comparable(rows: Iterable[Row]) -> list[str]:
    """Rows without order, and without the columns that have no value."""
    return sorted(
        repr([(name, value) for name, value in sorted(row.items()) if value is not None])
        for row in rows
    )


def equal(row: Row, name: str, value: Any) -> bool:
    """How a reader compares: nothing equals null, and NaN equals itself."""
    mine = row.get(name)
    return mine is not None and (mine == value or (_is_nan(mine) and _is_nan(value)))


def at_least(row: Row, name: str, value: Any) -> bool:
    """How a reader sorts: NaN above every number, null nowhere."""
    mine = row.get(name)
    if mine is None:
        return False
    return _is_nan(mine) or (not _is_nan(value) and bool(mine >= value))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
