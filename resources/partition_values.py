"""Dagster's partition keys as values of a table's partition columns, and filters on them.

A single dimension goes with the table's one partition column; the dimensions of a
multi-partitioned asset are named like the columns.
"""

from __future__ import annotations

import datetime as dt
import decimal
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import dagster as dg

from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.files import Partition
    from mcai_pipelines.lakehouse.schema import Schema
    from mcai_pipelines.lakehouse.versions import Head


def partition_values(
    partitions: dg.PartitionsDefinition[str],
    keys: Iterable[str],
    schema: Schema,
    partition_by: Sequence[str],
    *,
    where: str,
) -> list[Partition]:
    """The tuple of column values that each partition key stands for.

    A time window stands for its start: as a date where the column is one, and as the UTC
    instant, or the local time, where it is a timestamp.

    Args:
        partitions: The asset's partitions.
        keys: Keys of them.
        schema: The table's schema, for the columns' types.
        partition_by: The table's partition columns.
        where: What an error names.

    Raises:
        BadInput: The dimensions and the partition columns do not go together, or a key is not
            a value of the column's type.
    """
    dimensions = dimensions_of(partitions, partition_by, where=where)
    types = {name: str(schema.find_field(name).field_type) for name in partition_by}
    return [
        tuple(
            _value(dimensions[name], part[name], types[name], where=f"{where}.{name}")
            for name in partition_by
        )
        for part in (_by_dimension(key, partition_by) for key in keys)
    ]


def dimensions_of(
    partitions: dg.PartitionsDefinition[str], partition_by: Sequence[str], *, where: str
) -> Mapping[str, dg.PartitionsDefinition[str]]:
    """The partitions definition of each partition column.

    Raises:
        BadInput: They do not go together.
    """
    if isinstance(partitions, dg.MultiPartitionsDefinition):
        found = {d.name: d.partitions_def for d in partitions.partitions_defs}
    else:
        found = dict.fromkeys(partition_by[:1], partitions)
    if set(found) != set(partition_by) or not found:
        raise BadInput.at(
            where,
            f"the asset is partitioned by {', '.join(sorted(found)) or 'one dimension'} and its"
            f" table by {', '.join(partition_by) or 'nothing'}",
            "mark the same columns as partitioned in the contract",
        )
    return found


def _by_dimension(key: str, partition_by: Sequence[str]) -> Mapping[str, str]:
    if isinstance(key, dg.MultiPartitionKey):
        return key.keys_by_dimension
    return {partition_by[0]: key}


def _value(
    partitions: dg.PartitionsDefinition[str], key: str, kind: str, *, where: str
) -> bool | int | str | dt.date | decimal.Decimal:
    if isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        start = partitions.time_window_for_partition_key(key).start
        convert = _FROM_TIME.get(kind, lambda _start: key)
        return convert(start)
    try:
        return _FROM_TEXT.get(kind, str)(key)
    except (ValueError, decimal.InvalidOperation):
        raise BadInput.at(
            where, f"partition key {key!r} is not a {kind}", "use keys of the column's type"
        ) from None


_FROM_TIME: Mapping[str, Callable[[dt.datetime], dt.date]] = {
    "date": lambda start: start.date(),
    "timestamptz": lambda start: start.astimezone(dt.UTC),
    "timestamp": lambda start: start.replace(tzinfo=None),
}


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(text)
    return text.lower() == "true"


_FROM_TEXT: Mapping[str, Callable[[str], bool | int | str | dt.date]] = {
    "int": int,
    "long": int,
    "boolean": _boolean,
    "date": dt.date.fromisoformat,
}


def in_partitions(
    frame: pl.LazyFrame, partition_by: Sequence[str], values: Sequence[Partition]
) -> pl.LazyFrame:
    """Keep the rows of some partitions, with a predicate that prunes files.

    Args:
        frame: Has the partition columns.
        partition_by: Names of the partition columns.
        values: Tuples of their values.
    """
    import polars as pl

    distinct = [list(dict.fromkeys(column)) for column in zip(*values, strict=True)]
    if not distinct:
        return frame.filter(pl.lit(False))
    for name, wanted in zip(partition_by, distinct, strict=True):
        column = pl.col(name)
        frame = frame.filter(column == wanted[0] if len(wanted) == 1 else column.is_in(wanted))
    combinations = 1
    for wanted in distinct:
        combinations *= len(wanted)
    if len(set(values)) != combinations:
        either = [
            pl.all_horizontal(
                *(pl.col(name) == part for name, part in zip(partition_by, value, strict=True))
            )
            for value in values
        ]
        frame = frame.filter(pl.any_horizontal(*either))
    return frame


def only_partitions(
    frame: pl.LazyFrame,
    head: Head,
    partitions: dg.PartitionsDefinition[str],
    keys: Iterable[str],
    *,
    where: str,
) -> pl.LazyFrame:
    """Keep the rows of an upstream table's partitions that a run needs.

    An upstream whose table is not partitioned by column arrives whole.
    """
    if not head.partition_by:
        return frame
    values = partition_values(partitions, keys, head.schema, head.partition_by, where=where)
    return in_partitions(frame, head.partition_by, cast("Sequence[Partition]", values))
