"""The keys of a merge's rows: whether they are keys at all, and which files may hold them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pyiceberg.types import DoubleType, FloatType

from mcai_pipelines.errors import Problem
from mcai_pipelines.lakehouse.errors import SchemaMismatch, UnusableKeys

if TYPE_CHECKING:
    import polars as pl
    from pyiceberg.schema import Schema

    from mcai_pipelines.lakehouse.files import DataFile, Value

_SHOWN = 5


def check_columns(schema: Schema, on: Sequence[str], present: Collection[str], where: str) -> None:
    """Refuse columns that cannot be a key.

    Args:
        schema: The table's.
        on: The key's columns.
        present: The frame's columns.
        where: What an error names: the table or the contract's file.

    Raises:
        SchemaMismatch: One is missing, or its values do not compare exactly.
    """
    kinds = {field.name: field.field_type for field in schema.fields}
    problems = []
    for name in on:
        if name not in kinds or name not in present:
            whose = "table" if name not in kinds else "frame"
            what = f"the {whose} has no column {name!r}, which is part of the key"
            problems.append(Problem(where, what, f"use columns of both: {', '.join(kinds)}"))
        elif not kinds[name].is_primitive or isinstance(kinds[name], FloatType | DoubleType):
            what = f"column {name!r} is {kinds[name]}, whose values do not compare exactly"
            problems.append(Problem(where, what, "use a key of texts, integers, dates or decimals"))
    if problems:
        raise SchemaMismatch(problems)


def check_values(keys: pl.DataFrame, on: Sequence[str], where: str) -> None:
    """Refuse rows without a key, and rows that share one.

    Args:
        keys: The key's columns of every row.
        on: Their names.
        where: What an error names: the table or the contract's file.

    Raises:
        UnusableKeys: How many rows, and some of the keys.
    """
    import polars as pl

    problems = [
        Problem(where, f"the key column {name!r} has no value in {rows} rows", "fill it, or filter")
        for name in on
        if (rows := keys[name].null_count())
    ]
    if keys.select(on).is_unique().all():
        if problems:
            raise UnusableKeys(problems)
        return
    shared = keys.group_by(on).len("rows").filter(pl.col("rows") > 1).sort(on)
    some = "; ".join(
        f"{', '.join(f'{name} = {row[name]}' for name in on)} ({row['rows']} rows)"
        for row in shared.head(_SHOWN).iter_rows(named=True)
    )
    more = f"; and {shared.height - _SHOWN:,} more" if shared.height > _SHOWN else ""
    what = f"{shared.height:,} keys have more than one row: {some}{more}"
    fix = "keep one row of each, such as the newest"
    raise UnusableKeys([*problems, Problem(where, what, fix)])


def candidates(
    files: Iterable[DataFile], keys: pl.DataFrame, on: Sequence[str], partition_by: Sequence[str]
) -> list[DataFile]:
    """The files that may hold one of the keys, by their partitions and bounds.

    Args:
        files: Live files of the table.
        keys: The key's columns, unique, without nulls, in the table's types.
        on: Their names.
        partition_by: The table's partition columns.
    """
    parts = [name for name in partition_by if name in on]
    rest = [name for name in on if name not in parts]
    if not keys.height:
        return []
    if not parts:
        return _within_bounds(list(files), keys, rest)
    groups: dict[tuple[Any, ...], list[DataFile]] = {}
    for file in files:
        of = dict(zip(partition_by, file.partition, strict=True))
        groups.setdefault(tuple(of[name] for name in parts), []).append(file)
    found: list[DataFile] = []
    for values, some in keys.partition_by(parts, as_dict=True).items():
        found += _within_bounds(groups.get(values, []), some, rest)
    return found


def _within_bounds(
    files: list[DataFile], keys: pl.DataFrame, columns: Sequence[str]
) -> list[DataFile]:
    """The files between whose bounds lies a value of the keys, in each of the columns."""
    for name in columns:
        if files:
            files = _within(files, keys[name], name)
    return files


def _within(files: list[DataFile], values: pl.Series, name: str) -> list[DataFile]:
    values = values.unique().sort()
    begins = _positions(values, [f.lower.get(name) for f in files], "left", unknown=0)
    ends = _positions(values, [f.upper.get(name) for f in files], "right", unknown=len(values))
    return [
        file
        for file, begin, end in zip(files, begins, ends, strict=True)
        if begin < end and file.nulls.get(name) != file.rows
    ]


def _positions(
    values: pl.Series, bounds: Sequence[Value | None], side: Any, *, unknown: int
) -> list[int]:
    """Where bounds fall among sorted values; ``unknown`` for a bound that is not known."""
    import polars as pl

    known: Mapping[int, Value] = {n: b for n, b in enumerate(bounds) if b is not None}
    positions = [unknown] * len(bounds)
    try:
        wanted = pl.Series(list(known.values()), dtype=values.dtype, strict=True)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        return positions  # of another type than the column: of no use
    for number, position in zip(known, values.search_sorted(wanted, side), strict=True):
        positions[number] = position
    return positions
