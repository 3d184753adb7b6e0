"""Neutral column types: what a contract promises, before any table format writes it.

The names are Iceberg's, except that ``timestamp`` is always an instant (UTC, microseconds) and
``timestamp_ntz`` a wall-clock time without a zone; Iceberg prints them ``timestamptz`` and
``timestamp``. Sizes: ``int`` 32 bit, ``long`` 64 bit, ``float`` 32 bit, ``double`` 64 bit.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

PrimitiveKind = Literal[
    "string",
    "int",
    "long",
    "float",
    "double",
    "boolean",
    "date",
    "timestamp",
    "timestamp_ntz",
    "time",
    "binary",
]

_ICEBERG_NAMES = {"timestamp": "timestamptz", "timestamp_ntz": "timestamp"}


@dataclass(frozen=True, slots=True)
class Primitive:
    """A type without parts.

    Raises:
        ValueError: When ``kind`` is not one of ``PrimitiveKind``.
    """

    kind: PrimitiveKind

    def __post_init__(self) -> None:
        """Refuse a kind that no format could write."""
        if self.kind not in get_args(PrimitiveKind):
            raise ValueError(f"{self.kind!r} is not one of {', '.join(get_args(PrimitiveKind))}")

    def __str__(self) -> str:
        """The Iceberg name: ``long``, ``timestamptz``."""
        return _ICEBERG_NAMES.get(self.kind, self.kind)


@dataclass(frozen=True, slots=True)
class Decimal:
    """An exact number of ``precision`` digits, ``scale`` of them after the point.

    Raises:
        ValueError: Unless 1 ≤ precision ≤ 38 and 0 ≤ scale ≤ precision (Iceberg and Delta).
    """

    precision: int
    scale: int

    def __post_init__(self) -> None:
        """Refuse what neither format can hold."""
        if not (1 <= self.precision <= 38 and 0 <= self.scale <= self.precision):
            raise ValueError("a decimal has 1 to 38 digits, and a scale of 0 to its precision")

    def __str__(self) -> str:
        """``decimal(10,2)``."""
        return f"decimal({self.precision},{self.scale})"


@dataclass(frozen=True, slots=True)
class ListType:
    """A list of one element type; ``element_required`` means that no element is null."""

    element: "Type"
    element_required: bool = False

    def __str__(self) -> str:
        """``list<string>``."""
        return f"list<{self.element}>"


@dataclass(frozen=True, slots=True)
class StructField:
    """A named part of a struct."""

    name: str
    type: "Type"
    required: bool = False


@dataclass(frozen=True, slots=True)
class StructType:
    """Named parts, in order."""

    fields: tuple[StructField, ...]

    def __str__(self) -> str:
        """``struct<a: long, b: string>``."""
        return f"struct<{', '.join(f'{field.name}: {field.type}' for field in self.fields)}>"


Type: TypeAlias = Primitive | Decimal | ListType | StructType


def parts(whole: Type) -> Iterator[Type]:
    """A type and every type inside it, outermost first."""
    yield whole
    if isinstance(whole, ListType):
        yield from parts(whole.element)
    elif isinstance(whole, StructType):
        for field in whole.fields:
            yield from parts(field.type)


def unsupported(column_type: Type, table_format: str) -> str | None:
    """Why a table format cannot hold a type; None when it can.

    Args:
        column_type: A column's type.
        table_format: ``iceberg`` (v2) or ``delta``. Delta Lake's protocol has no time of day.
    """
    if table_format == "delta" and Primitive("time") in parts(column_type):
        return "Delta Lake has no type for a time of day"
    return None
