"""The rows of a merge: computed once, checked, and read as often as the merge needs them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyiceberg.schema import Schema
from pyiceberg.types import BooleanType, NestedField

from mcai_pipelines.lakehouse import flight, keys, stage
from mcai_pipelines.lakehouse.errors import SchemaMismatch
from mcai_pipelines.lakehouse.fit import explained, fit
from mcai_pipelines.lakehouse.scan_files import scan_files

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.write import MergeKeys
    from mcai_pipelines.providers import TableStorage

ROW = "__mcai_row"
GONE = "__mcai_gone"


@dataclass(frozen=True)
class Source:
    """The rows to merge.

    Attributes:
        rows: In the table's columns and types, and `GONE`.
        keys: The key's columns, `GONE`, and each row's number as `ROW`.
        on: The key's columns.
    """

    rows: pl.LazyFrame
    keys: pl.DataFrame
    on: tuple[str, ...]


def check_marker(how: MergeKeys, frame: pl.LazyFrame, *, where: str) -> None:
    """Refuse a marker of deleted rows that is none.

    Args:
        how: Names it.
        frame: The rows to merge.
        where: What an error names: the table or the contract's file.

    Raises:
        SchemaMismatch: The frame has no such column, or it is not boolean.
    """
    import polars as pl

    kind = frame.collect_schema().get(how.deleted or "")
    if how.deleted and kind != pl.Boolean:
        found = "missing" if kind is None else str(kind)
        raise SchemaMismatch.at(
            where,
            f"the column {how.deleted!r}, which marks deleted rows, is {found}",
            "give the frame a boolean column of that name",
        )


@contextmanager
def open_source(
    frame: pl.LazyFrame | pl.DataFrame,
    schema: Schema,
    how: MergeKeys,
    storage: TableStorage,
    where: str,
) -> Iterator[Source]:
    """The rows to merge, computed once and checked."""
    import polars as pl

    marker = pl.col(how.deleted).fill_null(False) if how.deleted else pl.lit(False)
    marked = frame.lazy().with_columns(marker.alias(GONE))
    marked = marked.drop(how.deleted) if how.deleted else marked
    wanted = _with_marker(schema, how)
    with _computed(marked, wanted, storage, where, eager=isinstance(frame, pl.DataFrame)) as rows:
        found = rows.select(*how.on, GONE).with_row_index(ROW).collect(engine="streaming")
        keys.check_values(found, how.on, where)
        yield Source(rows, found, how.on)


def _with_marker(schema: Schema, how: MergeKeys) -> Schema:
    """The table's columns and `GONE`; rows that only delete need no values."""
    fields = [
        field
        if not how.deleted or field.name in how.on
        else field.model_copy(update={"required": False})
        for field in schema.fields
    ]
    marker = NestedField(schema.highest_field_id + 1, GONE, BooleanType(), required=True)
    return Schema(*fields, marker)


@contextmanager
def _computed(
    frame: pl.LazyFrame, schema: Schema, storage: TableStorage, where: str, *, eager: bool
) -> Iterator[pl.LazyFrame]:
    """The fitted frame, from memory if it was there, otherwise from files of their own."""
    fitted = fit(frame, schema, where=where)
    if eager:
        with explained(frame, schema, where=where):
            rows = fitted.collect()
        yield rows.lazy()
        return
    batch = flight.new_batch_id()
    sunk = False

    def fate() -> flight.Fate:
        return flight.Fate(landed=False, late_files=not sunk)

    with flight.in_flight(storage, batch, fate):
        with explained(frame, schema, where=where):
            staged = stage.stage(fitted, schema, (), storage, batch, where=where)
        sunk = True
        yield scan_files(staged.files, schema, (), storage)
        flight.delete(storage, [file.path for file in staged.files])
