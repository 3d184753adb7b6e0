"""Statistics of files are right for any data: skipping files by them never loses a row."""

from __future__ import annotations

import datetime as dt
import itertools
import json
import operator
import tempfile
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polars.datatypes import DataType
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    StringType,
    TimestampType,
    TimestamptzType,
    TimeType,
)

from mcai_pipelines.lakehouse.delta import CHECKPOINT_EVERY
from mcai_pipelines.lakehouse.delta_codec import add_action
from mcai_pipelines.lakehouse.files import DataFile, Value, shorten_lower, shorten_upper
from mcai_pipelines.lakehouse.iceberg_codec import from_iceberg, to_iceberg
from tests.lakehouse.conftest import MIRRORED, open_log, open_table, schema_of
from tests.lakehouse.plain_readers import assert_reads_everywhere

UTC = dt.UTC
BOUND = 16
# Around surrogates, which are no characters, and the last one, which cannot be raised.
CHARACTERS = st.one_of(
    st.sampled_from("ab\x00é\ud7ff\ue000\uffff😀\U0010ffff"), st.characters(codec="utf-8")
)
TEXT = st.one_of(
    st.text(CHARACTERS, max_size=3),
    st.text(CHARACTERS, min_size=BOUND - 1, max_size=BOUND + 2),
    st.builds(operator.add, st.just("\U0010ffff" * (BOUND - 1)), st.text(CHARACTERS, max_size=3)),
)
BYTES = st.one_of(
    st.binary(max_size=3),
    st.binary(min_size=BOUND - 1, max_size=BOUND + 2),
    st.builds(operator.add, st.just(b"\xff" * BOUND), st.binary(max_size=2)),
)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    most = 10**precision - 1
    return st.integers(-most, most).map(lambda digits: Decimal(f"{digits}E-{scale}"))


COLUMNS: dict[str, tuple[Any, DataType, st.SearchStrategy[Any]]] = {
    "string": (StringType(), pl.String(), TEXT),
    "int": (IntegerType(), pl.Int32(), st.integers(-(2**31), 2**31 - 1)),
    "long": (LongType(), pl.Int64(), st.integers(-(2**63), 2**63 - 1)),
    "float": (FloatType(), pl.Float32(), st.floats(width=32)),
    "double": (DoubleType(), pl.Float64(), st.floats()),
    "boolean": (BooleanType(), pl.Boolean(), st.booleans()),
    "date": (DateType(), pl.Date(), st.dates()),
    "timestamp": (
        TimestamptzType(),
        pl.Datetime("us", "UTC"),
        st.datetimes(timezones=st.just(UTC)),
    ),
    "timestamp_ntz": (TimestampType(), pl.Datetime("us"), st.datetimes()),
    "binary": (BinaryType(), pl.Binary(), BYTES),
    "small": (DecimalType(9, 2), pl.Decimal(9, 2), decimals(9, 2)),
    "big": (DecimalType(38, 9), pl.Decimal(38, 9), decimals(38, 9)),
}
SCHEMA = schema_of({name: kind for name, (kind, _, _) in COLUMNS.items()})
COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            name: pl.Series([row[name] for row in rows], dtype=dtype)
            for name, (_, dtype, _) in COLUMNS.items()
        }
    )


ROWS = st.lists(
    st.fixed_dictionaries({n: st.none() | values for n, (_, _, values) in COLUMNS.items()}),
    max_size=4,
)
QUESTIONS = st.lists(
    st.sampled_from(list(COLUMNS)).flatmap(
        lambda name: st.tuples(
            st.just(name), st.sampled_from(list(COMPARISONS)), COLUMNS[name][2] | st.none()
        )
    ),
    max_size=8,
)


def predicate(name: str, comparison: str, value: Any) -> pl.Expr:
    if value is None:
        return pl.col(name).is_null()
    return COMPARISONS[comparison](pl.col(name), pl.lit(value, COLUMNS[name][1]))  # type: ignore[no-any-return]


def questions_about(row: Mapping[str, Any]) -> list[tuple[str, str, Any]]:
    """Ask for each value that is there, with each comparison that it satisfies."""
    return [(n, c, v) for n, v in row.items() for c in ("==", "<=", ">=") if v is not None]


@pytest.mark.parametrize(("primary", "mirrored"), MIRRORED)
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(batches=st.lists(ROWS, min_size=1, max_size=3), extra=QUESTIONS)
def test_skipping_never_loses_a_row(
    tmp_path: Path,
    primary: str,
    mirrored: str,
    batches: list[list[dict[str, Any]]],
    extra: list[tuple[str, str, Any]],
) -> None:
    root = Path(tempfile.mkdtemp(dir=tmp_path))
    table = open_table(root, "t", primary, mirrored, schema=SCHEMA)
    for rows in batches:
        table.write(frame_of(rows))
    everything = frame_of([row for rows in batches for row in rows])
    for format in table.formats:
        head = open_log(format, table.storage).head()
        assert head is not None
        for file in head.files.values():
            assert_bounds_hold(file, pl.read_parquet(Path(table.storage.uri, file.path)))
    asked = [q for rows in batches for row in rows[:1] for q in questions_about(row)]
    for name, comparison, value in asked[:18] + extra:
        question = predicate(name, comparison, value)
        expected = everything.filter(question)
        for format in table.formats:
            found = table.scan(format=format).filter(question).collect()
            assert_same_rows(found, expected, f"{format}: {question}")


def assert_same_rows(found: pl.DataFrame, expected: pl.DataFrame, what: str) -> None:
    assert sorted(map(repr, found.rows())) == sorted(map(repr, expected.rows())), what


def assert_bounds_hold(file: DataFile, rows: pl.DataFrame) -> None:
    assert file.rows == rows.height
    assert file.nulls == {name: rows[name].null_count() for name in COLUMNS}
    for name, low in file.lower.items():
        values = rows[name].drop_nulls().drop_nans() if rows[name].dtype.is_float() else rows[name]
        assert all(low <= value for value in values.drop_nulls()), name
    for name, high in file.upper.items():
        assert all(value <= high for value in rows[name].drop_nulls()), name


@pytest.mark.parametrize(("primary", "mirrored"), MIRRORED)
def test_a_checkpoint_keeps_what_the_log_said(tmp_path: Path, primary: str, mirrored: str) -> None:
    table = open_table(tmp_path, "t", primary, mirrored, partition_by=["p"])
    frames = []
    for number in range(CHECKPOINT_EVERY + 1):
        frame = pl.DataFrame(
            {
                "n": [number],
                "p": ["𠀀 /%"],
                "s": ["𠀀" * 17],
                "at": [dt.datetime(1, 1, 1) + dt.timedelta(microseconds=number)],
                "amount": pl.Series([f"{number}.000000001"]).str.to_decimal(scale=9),
            }
        )
        table.write(frame)
        frames.append(frame)
    folder = Path(table.storage.uri, "_delta_log")
    assert list(folder.glob("*.checkpoint.parquet"))
    everything = pl.concat(frames)
    assert_reads_everywhere(table, everything, by="n")
    for format in table.formats:
        for name, value in frames[-2].row(0, named=True).items():
            same = pl.col(name) == pl.lit(value, everything.schema[name])
            found = table.scan(format=format).filter(same).collect()
            assert_same_rows(found, everything.filter(same), name)


# ---------------------------------------------------------------- conversion from log to log


BOUNDS: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        **{n: values for n, (_, _, values) in COLUMNS.items() if n not in ("float", "double")},
        "time": st.times(),
    },
)
WITH_TIME = schema_of({n: kind for n, (kind, _, _) in COLUMNS.items()} | {"time": TimeType()})


@given(
    lower=BOUNDS,
    upper=BOUNDS,
    nulls=st.dictionaries(st.sampled_from(list(COLUMNS)), st.integers(0, 9)),
)
def test_icebergs_manifest_keeps_a_file_as_it_is(
    lower: dict[str, Any], upper: dict[str, Any], nulls: dict[str, int]
) -> None:
    file = DataFile("_data/a%20b.parquet", 10, 9, (), lower, upper, nulls)
    entry = to_iceberg(file, "/root/t", WITH_TIME, 0)
    back = from_iceberg(entry, "/root/t", WITH_TIME, ())
    assert back == file
    assert (back.lower, back.upper, back.nulls) == (lower, upper, nulls)


@given(lower=BOUNDS, upper=BOUNDS)
def test_deltas_statistics_are_json_of_exactly_the_bounds(
    lower: dict[str, Any], upper: dict[str, Any]
) -> None:
    file = DataFile("_data/x.parquet", 10, 9, (), lower, upper)
    lower.pop("time", None)
    upper.pop("time", None)
    add = add_action(file, (), 0)["add"]
    stats = json.loads(add["stats"], parse_constant=pytest.fail, parse_float=Decimal)
    for kept, bounds in ((stats["minValues"], lower), (stats["maxValues"], upper)):
        assert kept.keys() == bounds.keys() - {"binary", "boolean"}
        for name, value in kept.items():
            if isinstance(bounds[name], Decimal):
                assert Decimal(value) == bounds[name]
            elif isinstance(bounds[name], dt.date):
                assert dt.datetime.fromisoformat(value) == _moment(bounds[name])
            else:
                assert value == bounds[name]


def _moment(value: dt.date) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else dt.datetime.combine(value, dt.time())


def test_a_foreign_maximum_that_was_cut_to_milliseconds_is_widened(tmp_path: Path) -> None:
    """Delta protocol: "timestamps are truncated down to milliseconds"."""
    table = open_table(tmp_path, "t", "delta", None)
    moment = dt.datetime(2017, 1, 2, 3, 4, 5, 678_901)
    table.write(pl.DataFrame({"at": [moment]}))
    log = Path(table.storage.uri, "_delta_log", f"{0:020}.json")
    log.write_text(log.read_text().replace("05.678901", "05.678"))
    (file,) = table.head().files.values()
    assert file.lower["at"] == moment.replace(microsecond=678_000)
    assert file.upper["at"] == moment.replace(microsecond=678_999)


# ---------------------------------------------------------------- shortening


@given(TEXT | BYTES)
@example("\U0010ffff" * 20)
@example(b"\xff" * 20)
@example("\ud7ff" * 17)
def test_a_shortened_bound_still_bounds(value: str | bytes) -> None:
    low, high = shorten_lower(value), shorten_upper(value)
    assert isinstance(low, str | bytes)
    assert len(low) <= BOUND
    assert value.startswith(low)  # type: ignore[arg-type]
    if high is None:  # nothing sorts after it
        assert set(value[:BOUND]) <= {"\U0010ffff", 0xFF}
        return
    assert isinstance(high, str | bytes)
    assert len(high) <= BOUND
    assert as_bytes(value) <= as_bytes(high)


def as_bytes(value: str | bytes) -> bytes:
    """What formats compare: the UTF-8 of a text."""
    return value.encode() if isinstance(value, str) else value


@given(st.lists(TEXT, min_size=2, max_size=5))
def test_shortening_keeps_the_order_of_bounds(values: list[str]) -> None:
    ordered = sorted(values)
    for one, other in itertools.pairwise(ordered):
        assert shorten_lower(one) <= shorten_lower(other)  # type: ignore[operator]
        highs: list[Value | None] = [shorten_upper(one), shorten_upper(other)]
        assert None in highs or highs[0] <= highs[1]  # type: ignore[operator]


@pytest.mark.parametrize("value", [5, 1.5, True, dt.date(2017, 1, 2), Decimal("1.5"), "x" * 16])
def test_what_is_short_stays(value: Value) -> None:
    assert shorten_lower(value) == shorten_upper(value) == value
