"""Data files as Iceberg manifest entries, and back.

Format: Iceberg table specification, "Data File Fields" and "Appendix D: Single-value
serialization". Partitioning is by identity only, so the partition value is the column's.
"""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from pyiceberg.conversions import from_bytes, to_bytes
from pyiceberg.manifest import DataFile as IcebergDataFile
from pyiceberg.manifest import DataFileContent, FileFormat
from pyiceberg.typedef import Record
from pyiceberg.types import (
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    PrimitiveType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from mcai_pipelines.lakehouse.files import DataFile, Value

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.schema import Schema

_EPOCH = dt.datetime(1970, 1, 1)
_MICROSECOND = dt.timedelta(microseconds=1)


def to_iceberg(file: DataFile, root: str, schema: Schema, spec_id: int) -> IcebergDataFile:
    """The manifest's view of a data file.

    Args:
        file: The data file.
        root: The table's location, without a trailing slash.
        schema: The table's schema, whose field ids key the statistics.
        spec_id: The partition spec the file was written under.
    """
    ids = {field.name: field for field in schema.fields}

    def bounds(values: dict[str, Value]) -> dict[int, bytes]:
        return {
            ids[name].field_id: to_bytes(
                cast("PrimitiveType", ids[name].field_type), _exact(ids[name].field_type, value)
            )
            for name, value in values.items()
            if name in ids
        }

    nulls = {ids[name].field_id: count for name, count in file.nulls.items() if name in ids}
    return IcebergDataFile.from_args(
        content=DataFileContent.DATA,
        file_path=f"{root}/{file.path}",
        file_format=FileFormat.PARQUET,
        partition=Record(*(_to_record(value) for value in file.partition)),
        record_count=file.rows,
        file_size_in_bytes=file.size,
        column_sizes={},
        value_counts=dict.fromkeys(nulls, file.rows),
        null_value_counts=nulls,
        nan_value_counts={},
        lower_bounds=bounds(dict(file.lower)),
        upper_bounds=bounds(dict(file.upper)),
        key_metadata=None,
        split_offsets=None,
        equality_ids=None,
        sort_order_id=None,
        spec_id=spec_id,
    )


def _exact(kind: Any, value: Value) -> Any:
    """A value with exactly the scale of its type, which decimals are serialized with."""
    if isinstance(kind, DecimalType):
        import decimal

        return decimal.Decimal(value).quantize(  # type: ignore[arg-type]
            decimal.Decimal(1).scaleb(-kind.scale), context=decimal.Context(prec=38)
        )
    return value


def _to_record(value: Value | None) -> Any:
    match value:
        case dt.datetime():
            naive = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
            return (naive - _EPOCH) // _MICROSECOND
        case dt.date():
            return (value - _EPOCH.date()).days
    return value


def from_iceberg(
    file: IcebergDataFile, root: str, schema: Schema, partition_by: tuple[str, ...]
) -> DataFile:
    """A data file from its manifest entry.

    Args:
        file: The manifest's data file.
        root: The table's location, without a trailing slash.
        schema: The table's schema.
        partition_by: Names of the partition columns, in the order of the partition spec.
    """
    by_id = {f.field_id: f for f in schema.fields if f.field_type.is_primitive}
    types = {field.name: field.field_type for field in schema.fields}

    def bounds(values: dict[int, bytes] | None) -> dict[str, Value]:
        found: dict[str, Value] = {}
        for number, raw in (values or {}).items():
            if number in by_id:
                kind = by_id[number].field_type
                bound = from_bound(kind, raw)
                if bound is not None:
                    found[by_id[number].name] = bound
        return found

    partition = tuple(
        _value(types[name], file.partition[position]) for position, name in enumerate(partition_by)
    )
    return DataFile(
        path=file.file_path.removeprefix(f"{root}/"),
        size=file.file_size_in_bytes,
        rows=file.record_count,
        partition=partition,
        lower=bounds(file.lower_bounds),
        upper={n: v for n, v in bounds(file.upper_bounds).items() if not isinstance(v, float)},
        nulls={
            by_id[number].name: count
            for number, count in (file.null_value_counts or {}).items()
            if number in by_id
        },
    )


def from_bound(kind: Any, raw: bytes) -> Value | None:
    """A bound of a column; None where Python does not hold it (a date beyond the year 9999)."""
    with suppress(OverflowError):
        return _value(kind, from_bytes(_written_as(kind, raw), raw))
    return None


def from_partition(kind: Any, raw: Any) -> Value:
    """A manifest entry's value of a partition column."""
    return _value(kind, raw)


def _written_as(kind: Any, raw: bytes) -> PrimitiveType:
    """The type a bound was serialized with: one written before a widening is narrower."""
    if len(raw) == 4 and isinstance(kind, LongType):
        return IntegerType()
    if len(raw) == 4 and isinstance(kind, DoubleType):
        return FloatType()
    return cast("PrimitiveType", kind)


def _value(kind: Any, raw: Any) -> Value:
    """A manifest's value as Python's: days and microseconds become dates and times."""
    match kind:
        case DateType() if isinstance(raw, int):
            return _EPOCH.date() + dt.timedelta(days=raw)
        case TimestamptzType() if isinstance(raw, int):
            return (_EPOCH + raw * _MICROSECOND).replace(tzinfo=dt.UTC)
        case TimestampType() if isinstance(raw, int):
            return _EPOCH + raw * _MICROSECOND
        case TimeType() if isinstance(raw, int):
            return (_EPOCH + raw * _MICROSECOND).time()
    return cast("Value", raw)
