"""The laws of the lakehouse (docs/architecture.md), one group of tests each, by number."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import deltalake
import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from pyiceberg.types import DecimalType, DoubleType, FloatType, IntegerType, LongType, StringType

from mcai_pipelines.lakehouse import mirror
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.errors import (
    RowsOutsidePartitions,
    SchemaMismatch,
    StaleWrite,
    UnsupportedTable,
)
from mcai_pipelines.lakehouse.iceberg import IcebergLog
from mcai_pipelines.lakehouse.schema import to_arrow
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import INPUTS, SOURCE, Head, Log
from mcai_pipelines.lakehouse.write import AppendKey
from tests.lakehouse.conftest import FORMATS, MIRRORED, open_log, schema_of
from tests.lakehouse.plain_readers import assert_reads_everywhere, files_below

every_format = pytest.mark.parametrize(("primary", "mirrored"), FORMATS)
with_mirror = pytest.mark.parametrize(("primary", "mirrored"), MIRRORED)

MakeTable = Callable[..., Table]
JAN_2, JAN_9 = dt.date(2017, 1, 2), dt.date(2017, 1, 9)
WEEKS = pl.DataFrame({"n": [1, 2, 3, 4], "week": [JAN_2, JAN_2, JAN_9, JAN_9]})
ONE, TWO = pl.DataFrame({"n": [1]}), pl.DataFrame({"n": [2]})


def numbers(table: Table, **options: Any) -> list[int]:
    return sorted(table.scan(**options).collect()["n"].to_list())


def logs(table: Table) -> Sequence[Log]:
    return [open_log(format, table.storage) for format in table.formats]


def sources(table: Table) -> list[str]:
    """Which primary version each mirror version shows, oldest first."""
    assert table.mirror_log is not None
    return [v.properties[SOURCE] for v in table.mirror_log.versions()][::-1]


# ---------------------------------------------------------------- 1: one primary, one mirror


@with_mirror
def test_law_1_the_mirror_says_which_primary_version_it_shows(
    make_table: MakeTable, primary: str, mirrored: str
) -> None:
    table = make_table(primary, mirrored)
    first, second = table.write(ONE), table.write(TWO)
    assert sources(table) == [str(first.version.id), str(second.version.id)]
    assert second.mirror_version is not None
    assert second.mirror_version.properties[SOURCE] == str(second.version.id)
    assert numbers(table, format=mirrored) == numbers(table, format=primary) == [1, 2]


@with_mirror
def test_law_1_a_mirror_that_lags_is_repaired_by_the_next_reader(
    make_table: MakeTable, primary: str, mirrored: str
) -> None:
    make_table(primary, mirrored).write(ONE)
    make_table(primary).write(TWO)  # a writer that died before it could mirror
    table = make_table(primary, mirrored)
    assert len(sources(table)) == 1
    assert numbers(table, format=mirrored) == [1, 2]
    assert sources(table)[-1] == str(table.head().version)


@with_mirror
def test_law_1_a_mirror_that_lags_is_repaired_by_the_next_writer(
    make_table: MakeTable, primary: str, mirrored: str
) -> None:
    make_table(primary).write(ONE)
    make_table(primary).write(TWO)
    table = make_table(primary, mirrored)
    table.write(pl.DataFrame({"n": [3]}))
    plain = {"delta": DeltaTable, "iceberg": None}[mirrored]
    rows = (
        pl.DataFrame(plain(table.storage.uri).to_pyarrow_table())
        if plain
        else pl.scan_iceberg(str(table.info().metadata_location)).collect()
    )
    assert sorted(rows["n"]) == [1, 2, 3]


@with_mirror
def test_law_1_the_mirror_never_goes_backwards(
    make_table: MakeTable, primary: str, mirrored: str
) -> None:
    table = make_table(primary, mirrored)
    table.write(ONE)
    make_table(primary).write(TWO)
    overtaking = iter([lambda: make_table(primary, mirrored).write(pl.DataFrame({"n": [3]}))])
    kind: type[Log] = IcebergLog if primary == "iceberg" else DeltaLog

    class Overtaken(kind):  # type: ignore[valid-type, misc]
        """Someone else commits and mirrors right after this log was read."""

        def head(self) -> Head | None:
            head: Head | None = super().head()
            next(overtaking, lambda: None)()
            return head

    slow = Overtaken(table.storage)
    mirror.follow(slow, open_log(mirrored, table.storage), table=table.key)
    by_id = {str(version.id): version.sequence for version in table.primary.versions()}
    shown = [by_id[source] for source in sources(table)]
    assert shown == sorted(shown)
    assert numbers(table, format=mirrored) == [1, 2, 3]


# ---------------------------------------------------------------- 2: one change is one version


@every_format
def test_law_2_replacing_partitions_is_one_version_without_a_hole(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored, partition_by=["week"])
    table.write(WEEKS)
    for _ in range(3):
        table.write(WEEKS, "overwrite_partitions", partitions=[(JAN_2,), (JAN_9,)])
    for log in logs(table):
        heights = [log.scan(log.at(v.id)).collect().height for v in log.versions()]
        assert heights == [4, 4, 4, 4], f"{log.format}: a time traveller sees {heights}"


@every_format
@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_law_2_every_write_is_one_version(
    make_table: MakeTable, primary: str, mirrored: str | None, mode: Any
) -> None:
    table = make_table(primary, mirrored)
    for count in (1, 2, 3):
        table.write(ONE, mode)
        assert [len(list(log.versions())) for log in logs(table)] == [count] * len(table.formats)


# ---------------------------------------------------------------- 3: the run's partition keys


@every_format
def test_law_3_a_partition_that_came_out_empty_is_emptied(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored, partition_by=["week"])
    table.write(WEEKS)
    commit = table.write(
        WEEKS.filter(week=JAN_9), "overwrite_partitions", partitions=[(JAN_2,), (JAN_9,)]
    )
    assert commit.rows_by_partition == {(JAN_9,): 2}
    assert_reads_everywhere(table, WEEKS.filter(week=JAN_9), by="n")


@every_format
def test_law_3_the_partitions_of_other_runs_stay(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored, partition_by=["week"])
    table.write(WEEKS)
    new = pl.DataFrame({"n": [30], "week": [JAN_9]})
    table.write(new, "overwrite_partitions", partitions=[(JAN_9,)])
    assert_reads_everywhere(table, pl.concat([WEEKS.filter(week=JAN_2), new]), by="n")


@every_format
def test_law_3_rows_outside_the_runs_partitions_are_refused(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored, partition_by=["week"])
    before = table.write(WEEKS).version
    with pytest.raises(RowsOutsidePartitions, match=r"2017-01-02 \(2 rows\).*filter them out"):
        table.write(WEEKS, "overwrite_partitions", partitions=[(JAN_9,)])
    assert table.head().version == before.id
    assert len(files_below(table.storage.uri, "_data")) == 2
    assert not files_below(table.storage.uri, "_staged")


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        (("2017-01-02",), "'2017-01-02' is a str, and the column 'week' is date; give a date"),
        ((dt.datetime(2017, 1, 2),), "is a datetime, and the column 'week' is date"),
        ((JAN_2, "x"), "is not a tuple of one value for each of week"),
        (JAN_2, "is not a tuple of one value for each of week"),
        ("2017-01-02", "is not a tuple of one value for each of week"),
    ],
)
def test_law_3_a_partition_that_no_row_can_be_in_is_refused(
    make_table: MakeTable, partition: Any, message: str
) -> None:
    table = make_table(partition_by=["week"])
    table.write(WEEKS)
    with pytest.raises(SchemaMismatch, match=message):  # else it would empty nothing, silently
        table.write(WEEKS.clear(), "overwrite_partitions", partitions=[partition])
    assert numbers(table) == [1, 2, 3, 4]


# ---------------------------------------------------------------- 4: idempotency


@every_format
def test_law_4_an_append_with_the_same_key_is_not_made_twice(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table, key = make_table(primary, mirrored), AppendKey("run-1|code-1|inputs-1")
    first, again = table.write(ONE, key=key), table.write(ONE, key=key)
    assert (first.repeated, again.repeated) == (False, True)
    assert again.version == first.version
    assert again.rows == 0
    assert [numbers(table, format=f) for f in table.formats] == [[1]] * len(table.formats)


@every_format
def test_law_4_an_append_that_was_rolled_back_can_be_made_again(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table, key = make_table(primary, mirrored), AppendKey("run-1|code-1|inputs-1")
    before = table.write(ONE)
    table.write(TWO, key=key)
    table.rollback(before.version.id)
    assert not table.write(TWO, key=key).repeated
    assert numbers(table) == [1, 2]


@every_format
def test_law_4_a_person_who_fixed_the_code_gets_new_data(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    table.write(ONE, key=AppendKey("run-1|code-1|inputs-1"))
    assert not table.write(TWO, key=AppendKey("run-1|code-2|inputs-1")).repeated
    assert numbers(table) == [1, 2]


@every_format
def test_law_4_an_overwrite_recomputes_even_with_a_key(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    table.write(ONE, "overwrite")
    table.write(TWO, "overwrite")
    assert numbers(table) == [2]


def test_law_4_the_library_does_not_retry_by_itself(make_table: MakeTable) -> None:
    table = make_table("iceberg")
    table.write(ONE)
    iceberg = table.storage.catalog().load_table(table.storage.identifier)
    assert iceberg.properties["commit.retry.num-retries"] == "0"
    with iceberg.transaction() as transaction:
        transaction.set_properties({"commit.retry.num-retries": "4"})
    with pytest.raises(UnsupportedTable, match=r"commit\.retry\.num-retries must be 0"):
        table.write(TWO)
    assert numbers(table) == [1]


@pytest.mark.parametrize("mirrored", [None, "iceberg"])
def test_law_4_foreign_delta_transactions_say_nothing_of_ours(
    make_table: MakeTable, mirrored: str | None
) -> None:
    table = make_table("delta", mirrored)
    table.write(ONE)
    write_deltalake(
        table.storage.uri,
        TWO.to_arrow(),
        mode="append",
        commit_properties=CommitProperties(app_transactions=[Transaction("run-1", 1)]),
    )
    assert not table.write(pl.DataFrame({"n": [3]}), key=AppendKey("run-1")).repeated
    assert numbers(table) == [1, 2, 3]


@every_format
def test_law_4_an_append_lands_on_top_of_what_others_committed(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    table.write(ONE)
    base = table.head()
    table.write(TWO)
    table.write(pl.DataFrame({"n": [3]}), base=base)
    assert [numbers(table, format=f) for f in table.formats] == [[1, 2, 3]] * len(table.formats)


@every_format
def test_law_4_a_stale_overwrite_must_be_computed_again(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored, partition_by=["week"])
    table.write(WEEKS)
    base = table.head()
    later = pl.DataFrame({"n": [5], "week": [JAN_9]})
    table.write(later)
    with pytest.raises(StaleWrite, match="compute it again"):
        table.write(WEEKS, "overwrite", base=base)
    with pytest.raises(StaleWrite, match="compute it again"):
        table.write(later, "overwrite_partitions", partitions=[(JAN_9,)], base=base)
    # What it replaces is as it was, whatever happened elsewhere in the table.
    table.write(WEEKS.filter(n=1), "overwrite_partitions", partitions=[(JAN_2,)], base=base)
    assert numbers(table) == [1, 3, 4, 5]


# ---------------------------------------------------------------- 5: exactly the contract's schema


@every_format
def test_law_5_staged_files_have_exactly_the_contracts_schema(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    schema = schema_of(
        {"id": LongType(), "amount": DecimalType(9, 2), "units": IntegerType(), "s": StringType()},
        required=["id"],
    )
    table = make_table(primary, mirrored, schema=schema)
    seen: list[Path] = []
    table.write(  # other order and types, one column missing
        pl.DataFrame({"units": [1, 2], "amount": [3, 4], "id": pl.Series([5, 6], dtype=pl.UInt8)}),
        audit=lambda batch: seen.extend(Path(table.storage.uri, f.path) for f in batch.files),
    )
    for path in seen:
        assert pq.read_schema(path).equals(to_arrow(schema), check_metadata=True)
    assert len(seen) == 1
    ids = [f.metadata[b"PARQUET:field_id"] for f in pq.read_schema(seen[0])]
    assert ids == [b"1", b"2", b"3", b"4"]


@every_format
def test_law_5_a_column_is_added_and_old_rows_have_no_value(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    make_table(primary, mirrored, schema=schema_of({"n": LongType()})).write(ONE)
    wider = schema_of({"new": StringType(), "n": LongType()})  # first in the contract, last here
    table = make_table(primary, mirrored, schema=wider)
    table.write(pl.DataFrame({"n": [2], "new": ["x"]}))
    assert_reads_everywhere(table, pl.DataFrame({"n": [1, 2], "new": [None, "x"]}), by="n")


WIDENED = [
    (IntegerType(), LongType(), [1, -(2**31)], [2**62]),
    (FloatType(), DoubleType(), [0.5, -0.0], [1e300]),
    (DecimalType(9, 2), DecimalType(38, 2), ["1.25", "-9999999.99"], ["1" * 36 + ".5"]),
]


@every_format
@pytest.mark.parametrize(("narrow", "wide", "old", "new"), WIDENED)
@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_law_5_a_type_is_widened_and_every_reader_sees_all_rows(
    make_table: MakeTable,
    primary: str,
    mirrored: str | None,
    narrow: Any,
    wide: Any,
    old: list[Any],
    new: list[Any],
    mode: Any,
) -> None:
    def frame(values: list[Any], start: int) -> pl.DataFrame:
        x = pl.Series(values)
        if isinstance(wide, DecimalType):
            x = x.cast(pl.Decimal(38, 2))
        return pl.DataFrame({"n": range(start, start + len(values)), "x": x})

    columns = {"n": LongType(), "x": narrow}
    make_table(primary, mirrored, schema=schema_of(columns)).write(frame(old, 0))
    table = make_table(primary, mirrored, schema=schema_of({**columns, "x": wide}))
    table.write(frame(new, 2), mode)
    expected = pl.concat([frame(old, 0), frame(new, 2)]) if mode == "append" else frame(new, 2)
    assert_reads_everywhere(table, expected, by="n")


@every_format
@pytest.mark.parametrize(
    ("wanted", "required", "message"),
    [
        ({"m": LongType(), "x": IntegerType()}, "", r"'n' .* is gone .*renamed to 'm'\?"),
        ({"x": IntegerType()}, "", "'n' of the table is gone"),
        ({"n": IntegerType(), "x": IntegerType()}, "", "'n' is long in the table and int"),
        ({"n": StringType(), "x": IntegerType()}, "", "'n' is long in the table and string"),
        ({"n": LongType(), "x": IntegerType()}, "x", "'x' may be null in the table"),
        ({"n": LongType(), "x": IntegerType(), "y": LongType()}, "y", "new column 'y' is required"),
    ],
)
def test_law_5_what_would_break_readers_is_refused(
    make_table: MakeTable,
    primary: str,
    mirrored: str | None,
    wanted: dict[str, Any],
    required: str,
    message: str,
) -> None:
    first = make_table(
        primary, mirrored, schema=schema_of({"n": LongType(), "x": IntegerType()}, required=["n"])
    )
    before = first.write(ONE.with_columns(x=pl.lit(1, pl.Int32)))
    table = make_table(primary, mirrored, schema=schema_of(wanted, required=[required]))
    with pytest.raises(SchemaMismatch, match=message):
        table.write(pl.DataFrame({name: [1] for name in wanted}))
    assert table.head().version == before.version.id
    assert not files_below(table.storage.uri, "_staged")


# ---------------------------------------------------------------- 6: two formats, one set of files


@with_mirror
def test_law_6_both_formats_list_the_same_files(
    make_table: MakeTable, primary: str, mirrored: str
) -> None:
    table = make_table(primary, mirrored, partition_by=["week"])
    table.write(WEEKS)
    table.write(WEEKS.filter(n=1), "overwrite_partitions", partitions=[(JAN_2,)])
    ours, theirs = (log.head() for log in logs(table))
    assert ours is not None
    assert theirs is not None
    assert ours.files == theirs.files
    assert ours.files.keys() < files_below(table.storage.uri, "_data")
    top = {path.name for path in Path(table.storage.uri).iterdir()}
    assert top - {"_staged"} == {"_data", "_iceberg", "_delta_log"}


@pytest.mark.parametrize(("primary", "mirrored"), FORMATS[1:])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize(
    "retention", [{}, {"retention_hours": 0, "enforce_retention_duration": False}]
)
def test_law_6_a_foreign_vacuum_deletes_nothing(
    make_table: MakeTable,
    primary: str,
    mirrored: str | None,
    full: bool,
    retention: dict[str, Any],
) -> None:
    """Names that begin with ``_`` are spared, so neither what only the history of Iceberg (or
    of Delta) refers to, nor a batch in flight, nor any metadata goes; at any retention."""
    table = make_table(primary, mirrored, partition_by=["week"])
    table.write(WEEKS)
    table.write(WEEKS.with_columns(pl.col("n") + 10), "overwrite")
    before: set[str] = set()

    def vacuum(_batch: object) -> None:
        before.update(files_below(table.storage.uri))
        DeltaTable(table.storage.uri).vacuum(full=full, dry_run=False, **retention)

    table.write(WEEKS, audit=vacuum)  # while this batch is staged, and its marker there
    marker = {path for path in before if path.startswith("_staged/")}
    assert len(marker) == 1
    assert files_below(table.storage.uri) >= before - marker
    for log in logs(table):
        for version in log.versions():
            log.scan(log.at(version.id)).collect()
    assert numbers(table) == [1, 2, 3, 4, 11, 12, 13, 14]


@pytest.mark.parametrize("mirrored", [None, "iceberg"])
def test_law_6_a_table_whose_feature_we_would_break_is_refused(
    make_table: MakeTable, mirrored: str | None
) -> None:
    table = make_table("delta", mirrored)
    table.write(ONE)
    DeltaTable(table.storage.uri).alter.add_feature(
        deltalake.TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    with pytest.raises(UnsupportedTable, match="deletionVectors"):
        table.write(TWO)
    assert numbers(table) == [1]


# ---------------------------------------------------------------- 7: inputs are pinned and recorded


@every_format
def test_law_7_a_commit_records_the_versions_it_was_computed_from(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    source = make_table(primary, mirrored, name="source")
    pinned = source.write(ONE).version.id
    head = source.head()
    source.write(TWO)
    assert source.scan_head(head).collect()["n"].to_list() == [1]  # what others commit is not seen
    table = make_table(primary, mirrored)
    commit = table.write(source.scan_head(head), inputs={"source": pinned})
    for log in logs(table):
        recorded = next(iter(log.versions())).properties[INPUTS]
        assert json.loads(recorded) == {"source": pinned}
    assert table.history()[0] == commit.version


# ---------------------------------------------------------------- 8: lazy reads, streaming writes


@every_format
def test_law_8_reads_push_columns_and_predicates_down(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored, partition_by=["week"])
    frame = WEEKS.with_columns(other=pl.lit("x"))
    table.write(frame.filter(week=JAN_2))
    table.write(frame.filter(n=3))
    table.write(frame.filter(n=4))
    for file in table.head().files.values():  # files without the value are not even opened
        if file.partition != (JAN_9,) or file.lower["n"] != 4:
            Path(table.storage.uri, file.path).unlink()
    for format in table.formats:
        scan = table.scan(format=format)
        assert isinstance(scan, pl.LazyFrame)
        by_partition_and_bound = scan.filter(pl.col("week") == JAN_9, pl.col("n") > 3)
        assert by_partition_and_bound.select("n").collect()["n"].to_list() == [4]
        plan = by_partition_and_bound.select("n").explain()
        assert "PROJECT 2/3 COLUMNS" in plan or "PROJECT 1/3 COLUMNS" in plan, plan
        with pytest.raises(FileNotFoundError):
            scan.collect()


STREAMED = """
import resource, sys
from pathlib import Path
import polars as pl
from polars.io.plugins import register_io_source
from tests.lakehouse.conftest import open_table

schema = {name: pl.Int64() for name in "abcdefgh"}
table = open_table(Path(sys.argv[1]), "t", "iceberg", "delta")

def peak_after_writing(batches):
    def produce(columns, predicate, n_rows, batch_size):
        for number in range(batches):
            start = pl.int_range(number * 200_000, (number + 1) * 200_000)
            yield pl.select((start * 7919 % 1_000_003).alias(name) for name in schema)
    table.write(register_io_source(produce, schema=schema), "overwrite")
    assert table.info().rows == batches * 200_000
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

print(peak_after_writing(10), peak_after_writing(50))
"""


def test_law_8_memory_does_not_grow_with_what_is_written(tmp_path: Path) -> None:
    command = [sys.executable, "-c", STREAMED, str(tmp_path)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    little, much = map(int, done.stdout.split())  # MB; a batch is 12.8 MB
    assert much - little < 200, "512 MB more were written"
