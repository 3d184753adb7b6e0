"""Making a frame fit its table: exactly the contract's columns and types, or an error.

`fit` settles by types what types can tell, without reading data. What only values can tell
(a number too large, a null in a required column) is found while the frame is staged, in the
pass that writes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from functools import partial
from typing import TYPE_CHECKING, cast

from mcai_pipelines.errors import Problem
from mcai_pipelines.lakehouse.errors import SchemaMismatch
from mcai_pipelines.lakehouse.schema import Schema, to_polars

if TYPE_CHECKING:
    import polars as pl


def fit(frame: pl.LazyFrame, schema: Schema, *, where: str) -> pl.LazyFrame:
    """Select and cast a frame's columns to exactly the table's schema; reads no data.

    A missing nullable column becomes null. A value that does not survive its cast fails the
    write instead of turning into null or into another value; only the rounding of
    a float, or of what becomes one from a decimal, is accepted.

    Args:
        frame: Any column order.
        schema: The table's.
        where: What an error names: the table or the contract's file.

    Raises:
        SchemaMismatch: A required column is missing, one is not in the contract, or a type
            cannot become the contract's without changing what values mean.
    """
    import polars as pl

    present = frame.collect_schema()
    wanted = to_polars(schema)
    missing = [name for name in wanted if name not in present]
    problems = [_unknown(name, missing, where) for name in present if name not in wanted]
    columns: list[pl.Expr] = []
    for field in schema.fields:
        name, target = field.name, wanted[field.name]
        if name in missing:
            if field.required:
                what = f"required column {name!r} is missing"
                problems.append(Problem(where, what, "compute it"))
            columns.append(pl.lit(None, dtype=target).alias(name))
        elif present[name] == target:
            columns.append(pl.col(name))
        elif _castable(present[name], target):
            convert = partial(_convert, target=target)
            columns.append(
                pl.col(name).map_batches(convert, return_dtype=target, is_elementwise=True)
            )
        else:
            what = f"column {name!r} is {present[name]} in the frame and {target} in the contract"
            fix = "cast it in the asset, or change the contract"
            problems.append(Problem(where, what, fix))
    if problems:
        raise SchemaMismatch(problems)
    return frame.select(columns)


def _unknown(name: str, missing: Sequence[str], where: str) -> Problem:
    close = get_close_matches(name, missing, n=1)
    hint = f"rename it to {close[0]!r}" if close else "add it to the contract"
    return Problem(
        where,
        f"column {name!r} is in the frame and not in the contract",
        f"{hint}, or drop it before returning the frame",
    )


def _castable(source: pl.DataType, target: pl.DataType, *, nested: bool = False) -> bool:
    """Whether a cast keeps every value's meaning, or `_convert` finds the values it does not."""
    import polars as pl

    if source == target or isinstance(source, pl.Null):
        return True
    if target.is_integer():
        return source.is_integer()
    if target.is_float():
        return source.is_integer() or source == pl.Float32 or (source.is_numeric() and not nested)
    if target.is_decimal():
        return source.is_integer() or source.is_decimal()
    match target:
        case pl.String():
            return isinstance(source, pl.Categorical | pl.Enum)
        case pl.Datetime():
            return isinstance(source, pl.Datetime) and (
                (source.time_zone is None) == (target.time_zone is None)
            )
        case pl.List():
            return isinstance(source, pl.List | pl.Array) and _castable(
                cast("pl.DataType", source.inner), cast("pl.DataType", target.inner), nested=True
            )
        case pl.Struct() if isinstance(source, pl.Struct):
            return len(source.fields) == len(target.fields) and all(
                old.name == new.name
                and _castable(
                    cast("pl.DataType", old.dtype), cast("pl.DataType", new.dtype), nested=True
                )
                for old, new in zip(source.fields, target.fields, strict=True)
            )
    return False


class _Misfit(Exception):
    """A value does not survive its cast; Polars carries this from its threads to the caller."""


def _convert(values: pl.Series, *, target: pl.DataType) -> pl.Series:
    """A part of a column in the table's type, or `_Misfit`."""
    result = values.cast(target, strict=False)
    if _lost(values, target=target).any():
        raise _Misfit
    return result


def _lost(values: pl.Series, *, target: pl.DataType) -> pl.Series:
    """Which values of a part of a column are another value, or null, in the table's type."""
    import polars as pl

    result = values.cast(target, strict=False)
    if target.is_float() and not values.dtype.is_integer():  # rounded, but not to infinity
        return result.is_infinite() & ~values.cast(pl.Float64).is_infinite()
    return result.cast(values.dtype, strict=False).ne_missing(values)


@contextmanager
def explained(frame: pl.LazyFrame, schema: Schema, *, where: str) -> Iterator[None]:
    """Say which values did not fit, if the block raises because of one.

    Only then is the frame computed once more, the columns in question alone.

    Args:
        frame: What `fit` was given.
        schema: The table's.
        where: What an error names: the table or the contract's file.

    Raises:
        SchemaMismatch: Every column with values that do not fit, how many, and one of them.
    """
    import polars as pl

    try:
        yield
    except (_Misfit, pl.exceptions.SchemaError) as error:
        if isinstance(error, pl.exceptions.SchemaError) and "nullable is false" not in str(error):
            raise
        raise SchemaMismatch(_misfits(frame, schema, where)) from error


def _misfits(frame: pl.LazyFrame, schema: Schema, where: str) -> list[Problem]:
    import polars as pl

    present = frame.collect_schema()
    wanted = to_polars(schema)
    required = [f.name for f in schema.fields if f.required]
    cast_ = {n: t for n, t in wanted.items() if n in present and present[n] != t}
    queries = [pl.len(), *(pl.col(name).null_count().alias(f"null {name}") for name in required)]
    for name, target in cast_.items():
        lost = pl.col(name).map_batches(
            partial(_lost, target=target), return_dtype=pl.Boolean(), is_elementwise=True
        )
        queries.append(lost.sum().alias(f"lost {name}"))
        queries.append(pl.col(name).filter(lost).first().alias(f"example {name}"))
    found = frame.select(queries).collect(engine="streaming").row(0, named=True)
    problems = [
        Problem(
            where,
            f"required column {name!r} has no value in {rows} row{'s' * (rows > 1)}",
            "fill it, filter them out, or make it optional in the contract",
        )
        for name in required
        if (rows := found[f"null {name}"])
    ]
    problems += [
        Problem(
            where,
            f"column {name!r} has {rows} value{'s' * (rows > 1)} that {target} does not hold,"
            f" such as {found[f'example {name}']}",
            "correct it in the asset, or widen the contract",
        )
        for name, target in cast_.items()
        if (rows := found[f"lost {name}"])
    ]
    nested = [f.name for f in schema.fields if not f.field_type.is_primitive]
    return problems or [
        Problem(
            where,
            f"a required part of {' or '.join(nested) or 'a column'} has no value in some rows",
            "fill it, or make it optional in the contract",
        )
    ]
