"""Data files as Delta ``add`` and ``remove`` actions, and back.

Format: Delta transaction log protocol, "Add File and Remove File", "Per-file Statistics"
and "Partition Value Serialization".
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from mcai_pipelines.lakehouse.files import DataFile, Value, from_footer, read_footer

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.schema import Schema
    from mcai_pipelines.providers import TableStorage


def json_text(value: Mapping[str, Any]) -> str:
    """JSON without escapes beyond ASCII: delta-rs misreads the surrogate pairs of U+20000 and up.

    Its reader (arrow-json 59) makes U+10000 of them: wrong bounds, and wrong partitions.
    """
    return json.dumps(value, ensure_ascii=False)


def partition_text(value: Value) -> str:
    """A partition value as Delta serializes it; an instant in UTC with a ``Z``."""
    match value:
        case bool():
            return "true" if value else "false"
        case dt.datetime() if value.tzinfo is not None:
            return _instant(value)
        case dt.datetime():
            return value.isoformat(" ", "microseconds")
        case dt.date():
            return value.isoformat()
        case decimal.Decimal():
            return format(value, "f")
    return str(value)


def _instant(value: dt.datetime) -> str:
    return value.astimezone(dt.UTC).replace(tzinfo=None).isoformat("T", "microseconds") + "Z"


def add_action(file: DataFile, partition_by: tuple[str, ...], now_ms: int) -> dict[str, Any]:
    """The ``add`` action of a file, statistics included.

    Args:
        file: The data file.
        partition_by: Names of the partition columns.
        now_ms: Milliseconds since the epoch, recorded as the file's modification time.
    """
    return {
        "add": {
            "path": quote(file.path, safe="/=-_.~"),
            "partitionValues": _partition_values(file, partition_by),
            "size": file.size,
            "modificationTime": now_ms,
            "dataChange": True,
            "stats": _stats(file, partition_by),
        }
    }


def remove_action(file: DataFile, partition_by: tuple[str, ...], now_ms: int) -> dict[str, Any]:
    """The ``remove`` action of a file that a commit makes invisible."""
    return {
        "remove": {
            "path": quote(file.path, safe="/=-_.~"),
            "deletionTimestamp": now_ms,
            "dataChange": True,
            "extendedFileMetadata": True,
            "partitionValues": _partition_values(file, partition_by),
            "size": file.size,
        }
    }


def _partition_values(file: DataFile, partition_by: tuple[str, ...]) -> dict[str, str | None]:
    return {  # ours are never null; another writer's may be
        name: None if value is None else partition_text(value)
        for name, value in zip(partition_by, file.partition, strict=True)
    }


def _stats(file: DataFile, partition_by: tuple[str, ...]) -> str:
    def kept(values: Mapping[str, Value]) -> dict[str, Any]:
        return {
            name: _stat(value)
            for name, value in values.items()
            if name not in partition_by and not isinstance(value, bytes | bool)
        }

    return json_text(
        {
            "numRecords": file.rows,
            "minValues": kept(file.lower),
            "maxValues": kept(file.upper),
            "nullCount": {n: c for n, c in file.nulls.items() if n not in partition_by},
        }
    )


def _stat(value: Value) -> int | float | str:
    match value:
        case dt.datetime() if value.tzinfo is not None:
            return _instant(value)
        case dt.datetime():
            return value.isoformat("T", "microseconds")
        case dt.date():
            return value.isoformat()
        case decimal.Decimal():
            # A number where its digits survive; readers take the digits as text too.
            number = float(value)
            return number if decimal.Decimal(repr(number)) == value else format(value, "f")
        case int() | float() | str():
            return value
    raise TypeError(f"no statistic for {type(value).__name__}")


def from_add_row(
    row: Mapping[str, Any], partition_by: tuple[str, ...], schema: Schema, storage: TableStorage
) -> DataFile:
    """A data file from a row of ``DeltaTable.get_add_actions()``.

    Args:
        row: ``path``, ``size_bytes``, ``num_records``, ``partition``, ``min``, ``max`` and
            ``null_count``, as delta-rs reads them.
        partition_by: Names of the partition columns.
        schema: The table's schema: bounds of other columns are dropped.
        storage: Where a file is looked into that its writer kept no statistics of.
    """
    path, size = unquote(row["path"]), row["size_bytes"]
    values = row.get("partition") or {}
    partition = tuple(_utc(values[name]) for name in partition_by)
    if row.get("num_records") is None:
        return from_footer(path, size, partition, read_footer(path, size, storage), schema)
    primitive = {f.name for f in schema.fields if f.field_type.is_primitive}

    def kept(values: Mapping[str, Any] | None) -> dict[str, Any]:
        return {n: v for n, v in (values or {}).items() if v is not None and n in primitive}

    upper = {n: _widened(v) for n, v in kept(row.get("max")).items() if not isinstance(v, float)}
    return DataFile(
        path=path,
        size=size,
        rows=row["num_records"],
        partition=partition,
        lower=kept(row.get("min")),
        upper=upper,
        nulls=kept(row.get("null_count")),
    )


def _utc(value: Value | None) -> Value | None:
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC)
    return value


def _widened(value: Value) -> Value:
    """Writers cut timestamps to milliseconds, so a maximum may be up to 1 ms too small."""
    if isinstance(value, dt.datetime) and value.microsecond % 1000 == 0:
        return value + dt.timedelta(microseconds=999)
    return value
