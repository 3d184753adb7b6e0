"""One data file of a table, in words that neither format owns.

Both logs keep the same facts about a file (size, rows, partition, bounds); converting from
one log to the other reads no footer. Bounds are kept only where both formats agree on what
they mean: never for nested columns, and no upper bound for floats, because Parquet leaves
NaN out of its statistics while readers sort it above every number.
"""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import pyarrow.parquet as pq

    from mcai_pipelines.lakehouse.schema import Schema
    from mcai_pipelines.providers import TableStorage

Value: TypeAlias = bool | int | float | str | bytes | dt.date | dt.time | decimal.Decimal
"""A partition value or a bound; a ``datetime`` (a ``date`` too) is UTC, aware for an instant."""

Partition: TypeAlias = tuple[Value | None, ...]
"""Values of a table's partition columns, in their order; None only where others wrote it."""

STRING_BOUND = 16
"""Characters (or bytes) that a bound keeps of a string: Iceberg's ``truncate(16)``."""

_FOOTER_GUESS = 64 << 10


@dataclass(frozen=True)
class DataFile:
    """A Parquet file of a table, as its logs describe it.

    Attributes:
        path: Relative to the table's root, with ``/``; exactly as stored, not URL-encoded.
        size: Bytes.
        rows: Number of rows.
        partition: Value of each partition column, in the order of the table's partitioning.
        lower: Lower bound by column name; a string's may be a prefix.
        upper: Upper bound by column name; a string's is at least the longest value.
        nulls: Number of nulls by column name.
    """

    path: str
    size: int
    rows: int
    partition: Partition = ()
    lower: Mapping[str, Value] = field(default_factory=dict, compare=False, repr=False)
    upper: Mapping[str, Value] = field(default_factory=dict, compare=False, repr=False)
    nulls: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)


def from_footer(
    path: str,
    size: int,
    partition: Partition,
    footer: pq.FileMetaData,
    schema: Schema,
) -> DataFile:
    """Describe a file that was just written, from its Parquet footer.

    Args:
        path: Relative to the table's root.
        size: Bytes of the whole file.
        partition: Partition values, known from how the file was written.
        footer: The file's metadata.
        schema: The table's schema; bounds are kept for its primitive columns.
    """
    lower: dict[str, Value] = {}
    upper: dict[str, Value] = {}
    nulls: dict[str, int] = {}
    primitive = {f.name for f in schema.fields if f.field_type.is_primitive}
    for index in range(footer.num_columns):
        name = footer.schema.column(index).path
        if name not in primitive:
            continue
        chunks = [
            footer.row_group(group).column(index).statistics
            for group in range(footer.num_row_groups)
            if footer.row_group(group).num_rows
        ]
        if any(chunk is None or not chunk.has_null_count for chunk in chunks):
            continue
        nulls[name] = sum(chunk.null_count for chunk in chunks)
        low, high = _extremes([chunk for chunk in chunks if chunk.num_values])
        if low is not None:
            lower[name] = low
        if high is not None:
            upper[name] = high
    return DataFile(path, size, footer.num_rows, partition, lower, upper, nulls)


def _extremes(chunks: Sequence[Any]) -> tuple[Value | None, Value | None]:
    """Lower and upper bound of a column over its row groups with values; None where unknown."""
    if not chunks or not all(chunk.has_min_max for chunk in chunks):
        return None, None
    try:
        low, high = min(chunk.min for chunk in chunks), max(chunk.max for chunk in chunks)
    except OverflowError:  # a date or time beyond the year 9999, which Python does not hold
        return None, None
    if not isinstance(low, float):
        return shorten_lower(low), shorten_upper(high)
    # JSON has no infinity; and some readers sort -0.0 below 0.0, others take them as equal.
    return (low or -0.0) if math.isfinite(low) else None, None


def read_footer(path: str, size: int, storage: TableStorage) -> pq.FileMetaData:
    """A Parquet file's metadata, from a ranged read of its end.

    The last eight bytes are the metadata's length and ``PAR1`` (Parquet file format).

    Args:
        path: Relative to the table's root.
        size: Bytes of the whole file.
        storage: The table's root.
    """
    import obstore
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = min(size, _FOOTER_GUESS)
    tail = bytes(obstore.get_range(storage.store, path, start=size - wanted, end=size))
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if length > len(tail):
        tail = bytes(obstore.get_range(storage.store, path, start=size - length, end=size))
    return pq.read_metadata(pa.BufferReader(tail))


def shorten_lower(value: Value) -> Value:
    """A lower bound no longer than ``STRING_BOUND``: any prefix sorts before the value."""
    return value[:STRING_BOUND] if isinstance(value, str | bytes) else value


def shorten_upper(value: Value) -> Value | None:
    """An upper bound no longer than ``STRING_BOUND``, or None where there is none.

    The prefix with its last character raised by one sorts after every string with that
    prefix; a character that cannot be raised is dropped (Iceberg ``truncate`` metrics).
    """
    if not isinstance(value, str | bytes) or len(value) <= STRING_BOUND:
        return value
    prefix = value[:STRING_BOUND]
    if isinstance(prefix, bytes):
        stripped = prefix.rstrip(b"\xff")
        return stripped[:-1] + bytes([stripped[-1] + 1]) if stripped else None
    while prefix:
        raised = ord(prefix[-1]) + 1
        if 0xD800 <= raised <= 0xDFFF:
            raised = 0xE000
        if raised <= 0x10FFFF:
            return prefix[:-1] + chr(raised)
        prefix = prefix[:-1]
    return None
