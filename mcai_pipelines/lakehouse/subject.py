"""Whom an erasure is about: a column and one value of it, in each table's own type."""

from __future__ import annotations

import datetime as dt
import decimal
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pyiceberg.schema import Schema
from pyiceberg.types import (
    DateType,
    DecimalType,
    IcebergType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimestampType,
    TimestamptzType,
)

from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse.delta_codec import partition_text
from mcai_pipelines.lakehouse.files import STRING_BOUND, shorten_upper

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.files import Value


@dataclass(frozen=True)
class Subject:
    """One subject: the rows whose ``column`` equals a value.

    Attributes:
        column: Name of the column.
        text: The value as the user wrote it; shown in no message, log or representation.
    """

    column: str
    text: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Subject:
        """A subject from ``COLUMN=VALUE``.

        Raises:
            BadInput: It is not of that form.
        """
        column, separator, value = text.partition("=")
        if not separator or not column.strip() or not value:
            what = "the subject is not of the form COLUMN=VALUE"
            raise BadInput.at("--subject", what, "write, for example, customer_id=4711")
        return cls(column.strip(), value)

    def under(self, column: str) -> Subject:
        """The same subject, where another table's column holds its key."""
        return Subject(column, self.text)

    def hidden(self, text: str) -> str:
        """A text with the value, where it stands by itself, replaced by ``…``."""
        spelled = "|".join(re.escape(one) for one in {self.text, quote(self.text, safe="")})
        return re.sub(rf"(?<!\w)(?:{spelled})(?!\w)", "…", text)

    def named_in(self, path: str) -> bool:
        """Whether a folder of the path names the value, as Hive's partitions do."""
        return f"{self.column}={self.text}" in (unquote(part) for part in path.split("/"))

    def key(self, schema: Schema) -> Key | None:
        """The subject's key in a table; None where its column cannot hold such a value.

        Args:
            schema: The table's, which has the column.
        """
        of = schema.find_field(self.column)
        try:
            return Key(of, _READ[type(of.field_type)](self.text, of.field_type))
        except (KeyError, ValueError, decimal.InvalidOperation):
            return None


@dataclass(frozen=True)
class Key:
    """The subject's key in one table.

    Attributes:
        of: The column, as the table has it.
        value: The subject's value of it.
    """

    of: NestedField
    value: Value = field(repr=False)

    @property
    def column(self) -> str:
        """Name of the column."""
        return self.of.name

    def expression(self) -> pl.Expr:
        """Whether a row is the subject's; never null."""
        import polars as pl

        from mcai_pipelines.lakehouse.schema import to_polars

        kind = to_polars(Schema(self.of))[self.column]
        return pl.col(self.column).eq_missing(pl.lit(self.value, dtype=kind))

    @property
    def texts(self) -> frozenset[str]:
        """How a log may write the value, or bounds that only its presence explains."""
        written = {partition_text(self.value), str(self.value), self.text_bound()}
        if isinstance(self.value, dt.datetime):
            written.add(self.value.isoformat("T", "microseconds"))
        upper = shorten_upper(self.value)
        return frozenset(written | ({upper} if isinstance(upper, str) else set()))

    def text_bound(self) -> str:
        """The value as a lower bound of text keeps it."""
        return self.value[:STRING_BOUND] if isinstance(self.value, str) else str(self.value)

    def in_path(self, path: str) -> bool:
        """Whether a file's folder names the value, as Hive's partitions do."""
        wanted = {f"{self.column}={text}" for text in self.texts}
        return any(unquote(part) in wanted or part in wanted for part in path.split("/"))


def _integer(text: str, kind: IcebergType) -> Value:
    value = int(text)
    limit = 1 << (31 if isinstance(kind, IntegerType) else 63)
    if not -limit <= value < limit:
        raise ValueError("out of range")
    return value


def _decimal(text: str, kind: IcebergType) -> Value:
    assert isinstance(kind, DecimalType)
    value = decimal.Decimal(text)
    scaled = value.quantize(decimal.Decimal(1).scaleb(-kind.scale))
    if scaled != value:
        raise ValueError("more digits than the column holds")
    return scaled


def _instant(text: str, kind: IcebergType) -> Value:
    value = dt.datetime.fromisoformat(text)
    value = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    utc = value.astimezone(dt.UTC)
    return utc if isinstance(kind, TimestamptzType) else utc.replace(tzinfo=None)


_READ: dict[type[IcebergType], Callable[[str, IcebergType], Value]] = {
    StringType: lambda text, _kind: text,
    IntegerType: _integer,
    LongType: _integer,
    DateType: lambda text, _kind: dt.date.fromisoformat(text),
    TimestampType: _instant,
    TimestamptzType: _instant,
    DecimalType: _decimal,
}
KINDS = "text, integer, date, timestamp or decimal"
"""Types of column that can hold a subject's key, in words."""


def holds_keys(kind: IcebergType) -> bool:
    """Whether a column of this type can hold a subject's key."""
    return type(kind) in _READ
