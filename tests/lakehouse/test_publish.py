"""An existing table gets its other format: from what its log says, in either direction."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, TableFeatures, write_deltalake
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table as IcebergTable
from pyiceberg.transforms import IdentityTransform
from pyiceberg.types import (
    DecimalType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    NestedField,
    StringType,
    TimeType,
)

from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse import delta_codec, stage
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.errors import MirrorLagging, ReadOnlyTable, UnsupportedTable
from mcai_pipelines.lakehouse.files import read_footer
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import SOURCE
from tests.lakehouse.conftest import MIRRORED, schema_of
from tests.lakehouse.faults.readers import plain_catalog, plain_frame
from tests.lakehouse.plain_readers import assert_reads_everywhere

either_way = pytest.mark.parametrize(("primary", "other"), MIRRORED)

MakeTable = Callable[..., Table]
JAN_2, JAN_9 = dt.date(2017, 1, 2), dt.date(2017, 1, 9)
WEEKS = pl.DataFrame({"n": [1, 2, 3, 4], "week": [JAN_2, JAN_2, JAN_9, JAN_9]})
ODD = ["a b", "50%", "x=y", "ü/ä", "#?", "+", "%20"]
"""Partition values that a path or URL has to encode."""


@pytest.fixture
def no_footers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a data file to describe it fails, from when the test asks for it."""

    def refuse(path: str, *_rest: Any) -> Any:
        raise AssertionError(f"the footer of {path} was read")

    monkeypatch.setattr(delta_codec, "read_footer", refuse)
    monkeypatch.setattr(stage, "read_footer", refuse)


def iceberg(table: Table) -> IcebergTable:
    return plain_catalog(table).load_table(table.storage.identifier)


# ---------------------------------------------------------------- what is published


@either_way
def test_a_partitioned_table_with_a_past(
    make_table: MakeTable, request: pytest.FixtureRequest, primary: str, other: str
) -> None:
    table = make_table(primary, partition_by=["week"])
    table.write(WEEKS)
    table.write(WEEKS.filter(n=1), "overwrite_partitions", partitions=[(JAN_2,)])
    newest = table.write(WEEKS.with_columns(pl.col("n") + 10)).version
    request.getfixturevalue("no_footers")

    version = table.mirror_to(other)

    assert version is not None
    assert version.properties[SOURCE] == str(newest.id)
    assert table.formats == (primary, other)
    expected = pl.concat([WEEKS.filter(pl.col("n") != 2), WEEKS.with_columns(pl.col("n") + 10)])
    assert_reads_everywhere(table, expected, by="n")
    ours, theirs = table.head(), table.mirror_log.head() if table.mirror_log else None
    assert theirs is not None
    assert ours.files == theirs.files


@either_way
def test_later_writes_are_followed(make_table: MakeTable, primary: str, other: str) -> None:
    table = make_table(primary)
    table.write(pl.DataFrame({"n": [1]}))
    table.mirror_to(other)
    commit = table.write(pl.DataFrame({"n": [2]}))
    assert commit.mirror_version is not None
    assert_reads_everywhere(table, pl.DataFrame({"n": [1, 2]}), by="n")
    assert table.mirror_to(other) == commit.mirror_version  # a second time changes nothing


@either_way
def test_a_table_that_is_not_written_yet(make_table: MakeTable, primary: str, other: str) -> None:
    table = make_table(primary)
    assert table.mirror_to(other) is None
    table.write(pl.DataFrame({"n": [1]}))
    assert_reads_everywhere(table, pl.DataFrame({"n": [1]}), by="n")


@either_way
def test_an_evolved_table(
    make_table: MakeTable, request: pytest.FixtureRequest, primary: str, other: str
) -> None:
    old = {"n": LongType(), "s": StringType()}
    make_table(primary, schema=schema_of(old, required=["n"])).write(
        pl.DataFrame({"n": [1], "s": ["x"]})
    )
    new = {"n": LongType(), "s": StringType(), "d": DecimalType(9, 2), "t": StringType()}
    table = make_table(primary, schema=schema_of(new))
    table.write(
        pl.DataFrame({"n": [2], "s": ["y"], "d": ["1.50"], "t": [None]}).cast(
            {"d": pl.Decimal(9, 2), "t": pl.String}
        )
    )
    request.getfixturevalue("no_footers")

    table.mirror_to(other)

    expected = pl.DataFrame(
        {"n": [1, 2], "s": ["x", "y"], "d": [None, "1.50"], "t": [None, None]},
        schema_overrides={"t": pl.String},
    ).cast({"d": pl.Decimal(9, 2)})
    assert_reads_everywhere(table, expected, by="n")


NARROW = {"n": IntegerType(), "x": FloatType(), "d": DecimalType(5, 2)}
WIDE = {"n": LongType(), "x": DoubleType(), "d": DecimalType(12, 2)}
LITTLE = pl.DataFrame({"n": [1], "x": [0.5], "d": ["1.25"]}).cast(
    {"n": pl.Int32, "x": pl.Float32, "d": pl.Decimal(5, 2)}
)
MUCH = pl.DataFrame({"n": [1 << 40], "x": [0.1], "d": ["1234567.89"]}).cast(
    {"d": pl.Decimal(12, 2)}
)


@either_way
def test_a_widened_table(make_table: MakeTable, primary: str, other: str) -> None:
    """Iceberg reads the old files in the wider type; for Delta they are written anew."""
    first = make_table(primary, schema=schema_of(NARROW)).write(LITTLE).version
    table = make_table(primary, schema=schema_of(WIDE))
    table.write(MUCH)
    before = len(table.history())

    table.mirror_to(other)

    both = pl.concat([LITTLE.cast(MUCH.schema), MUCH])
    assert_reads_everywhere(table, both, by="n")
    anew = {"iceberg": 1, "delta": 0}[primary]
    assert len(table.history()) == before + anew
    table.rollback(first.id)  # to files of the narrow types, which are not simply listed again
    assert_reads_everywhere(table, LITTLE.cast(MUCH.schema), by="n")
    if primary == "iceberg":
        widened = next(v for v in table.history() if v.sequence == 2)
        table.rollback(widened.id)  # whose schema is wide, and one of whose files is not
        assert_reads_everywhere(table, both, by="n")


def test_a_column_that_another_tool_renamed(make_table: MakeTable) -> None:
    table = make_table("iceberg", partition_by=["p"])
    table.write(pl.DataFrame({"n": [1], "p": ["a"]}))
    with iceberg(table).update_schema() as update:
        update.rename_column("n", "m")
    with iceberg(table).update_schema() as update:
        update.add_column("n", LongType())
    table.write(pl.DataFrame({"m": [2], "p": ["b"], "n": [20]}))

    table.mirror_to("delta")

    expected = pl.DataFrame({"m": [1, 2], "p": ["a", "b"], "n": [None, 20]})
    assert_reads_everywhere(table, expected, by="m")


def test_a_mirror_does_not_follow_into_another_tools_renaming(make_table: MakeTable) -> None:
    table = make_table("iceberg", "delta")
    table.write(pl.DataFrame({"n": [1]}))
    theirs = iceberg(table)
    with theirs.update_schema() as update:
        update.update_column("n", doc="a number")
        update.rename_column("n", "m")
    theirs.append(pa.table({"m": pa.array([2], pa.int64())}))
    with pytest.raises(MirrorLagging, match=r"1 of its files .* widened or renamed"):
        table.scan(format="delta")


@either_way
def test_partition_values_that_a_path_encodes(
    make_table: MakeTable, request: pytest.FixtureRequest, primary: str, other: str
) -> None:
    table = make_table(primary, partition_by=["p", "q"])
    frame = pl.DataFrame({"n": range(len(ODD)), "p": ODD, "q": ODD[::-1]})
    table.write(frame)
    request.getfixturevalue("no_footers")
    table.mirror_to(other)
    assert_reads_everywhere(table, frame, by="n")


# ---------------------------------------------------------------- tables that others wrote


@pytest.mark.parametrize("partitioned", [False, True])
def test_a_delta_table_that_delta_rs_wrote(make_table: MakeTable, partitioned: bool) -> None:
    frame = pl.DataFrame(
        {"n": range(len(ODD) + 1), "p": [*ODD, None], "x": [float(n) for n in range(8)]}
    )
    table = make_table("delta")
    write_deltalake(table.storage.uri, _arrow(frame), partition_by=["p"] if partitioned else None)

    table.mirror_to("iceberg")

    found = pl.scan_iceberg(iceberg(table)).collect().sort("n")
    assert found.select(frame.columns).equals(frame)
    one = pl.scan_iceberg(iceberg(table)).filter(pl.col("p") == "50%").collect()
    assert one["n"].to_list() == [1]
    theirs = iceberg(table).scan(row_filter="p is null").to_arrow()
    assert theirs["n"].to_pylist() == [7]


def _arrow(frame: pl.DataFrame) -> pa.Table:
    """Without the views of strings that Polars makes, which PyIceberg 0.12 cannot read back."""
    return pa.table({name: frame[name].to_list() for name in frame.columns})


def test_a_delta_table_whose_log_lacks_statistics(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Iceberg must know the number of rows: only such files are opened."""
    table = make_table("delta")
    write_deltalake(table.storage.uri, _arrow(WEEKS.select("n")))
    write_deltalake(
        table.storage.uri,
        _arrow(WEEKS.select("n")),
        mode="append",
        configuration=None,
    )
    entry = Path(table.storage.uri, "_delta_log/00000000000000000001.json")
    lines = entry.read_text(encoding="utf-8").splitlines()
    entry.write_text("\n".join(_without_stats(line) for line in lines), encoding="utf-8")
    opened: list[str] = []

    def read(path: str, *rest: Any) -> Any:
        opened.append(path)
        return read_footer(path, *rest)

    monkeypatch.setattr(delta_codec, "read_footer", read)
    table.mirror_to("iceberg")
    assert len(opened) == 1
    assert sorted(pl.scan_iceberg(iceberg(table)).collect()["n"]) == [1, 1, 2, 2, 3, 3, 4, 4]


def _without_stats(line: str) -> str:
    import json

    action = json.loads(line)
    if "add" in action:
        action["add"].pop("stats")
    return json.dumps(action)


def test_files_whose_log_knows_no_bounds(make_table: MakeTable) -> None:
    """PyIceberg writes none where it is told so; the rows are all there in Delta."""
    table = make_table("iceberg")
    table.write(pl.DataFrame({"n": [1], "s": ["x"]}))
    theirs = iceberg(table)
    with theirs.transaction() as transaction:
        transaction.set_properties({"write.metadata.metrics.default": "none"})
    theirs = iceberg(table)
    theirs.append(pa.table({"n": [2], "s": ["y"]}))
    table.mirror_to("delta")
    both = pl.DataFrame({"n": [1, 2], "s": ["x", "y"]})
    assert plain_frame(table, "delta").sort("n").equals(both)
    above = pl.scan_delta(table.storage.uri).filter(pl.col("n") > 1).collect()
    assert above["s"].to_list() == ["y"]


def test_null_partitions_that_pyiceberg_wrote(make_table: MakeTable) -> None:
    table = make_table("iceberg", partition_by=["p"])
    table.write(pl.DataFrame({"n": [1], "p": ["a"]}))
    iceberg(table).append(pa.table({"n": [2, 3], "p": pa.array([None, "b c"], pa.string())}))
    table.mirror_to("delta")
    seen = DeltaTable(table.storage.uri).to_pyarrow_table(filters=[("p", "=", "b c")])
    assert seen["n"].to_pylist() == [3]
    expected = {(1, "a"), (2, None), (3, "b c")}
    assert set(plain_frame(table, "delta").select("n", "p").iter_rows()) == expected


def test_an_iceberg_table_that_pyiceberg_made_in_our_place(make_table: MakeTable) -> None:
    """Its metadata would be in the way of a Delta VACUUM, so it is not mirrored."""
    table = make_table("iceberg")
    catalog = table.storage.catalog()
    catalog.create_namespace_if_not_exists(table.storage.identifier[:-1])
    schema = Schema(NestedField(1, "n", LongType()), NestedField(2, "p", StringType()))
    spec = PartitionSpec(PartitionField(2, 1000, IdentityTransform(), "p"))
    theirs = catalog.create_table(
        table.storage.identifier, schema, location=table.storage.uri, partition_spec=spec
    )
    theirs.append(pa.table({"n": [1], "p": ["a"]}))
    with pytest.raises(UnsupportedTable, match=r"metadata is at .*VACUUM.*mcai replicate t --to"):
        table.mirror_to("delta")
    assert not Path(table.storage.uri, "_delta_log").exists()


# ---------------------------------------------------------------- what is refused


@either_way
def test_the_format_of_record_is_no_mirror(make_table: MakeTable, primary: str, other: str) -> None:
    with pytest.raises(BadInput, match=f"kept as {primary}.*mirror it to {other}"):
        make_table(primary).mirror_to(primary)


def test_an_adopted_table_is_not_ours_to_write_to(make_table: MakeTable) -> None:
    table = make_table("delta")
    table.write(pl.DataFrame({"n": [1]}))
    adopted = Table(
        "partners/rates", table.storage, DeltaLog(table.storage, adopted=True), read_only=True
    )
    with pytest.raises(ReadOnlyTable, match=r"partners/rates is adopted .* only read"):
        adopted.mirror_to("iceberg")
    assert not Path(table.storage.uri, "_iceberg").exists()


def test_deletion_vectors(make_table: MakeTable) -> None:
    table = make_table("delta")
    table.write(pl.DataFrame({"n": [1]}))
    DeltaTable(table.storage.uri).alter.add_feature(
        TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    with pytest.raises(MirrorLagging, match=r"deletion vectors.*write the rows into a table"):
        table.mirror_to("iceberg")


def test_column_mapping(make_table: MakeTable) -> None:
    table = make_table("delta")
    DeltaTable.create(
        table.storage.uri,
        schema=pa.schema([("x", pa.int64())]),
        configuration={"delta.columnMapping.mode": "name"},
    )
    with pytest.raises(MirrorLagging, match="column mapping"):
        table.mirror_to("iceberg")


def test_a_type_that_delta_lacks(make_table: MakeTable) -> None:
    table = make_table("iceberg")
    table.write(pl.DataFrame({"n": [1]}))
    with iceberg(table).update_schema() as update:
        update.add_column("at", TimeType())
    with pytest.raises(BadInput, match=r"at.*time"):
        table.mirror_to("delta")
    assert not Path(table.storage.uri, "_delta_log").exists()
