"""The life of a table, the same on every cloud, in both formats, either of them first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import polars as pl
import pytest
from deltalake import DeltaTable
from pyiceberg.table import StaticTable

from mcai_pipelines.emulators import Clouds
from mcai_pipelines.lakehouse import delta
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.iceberg import StaticIcebergLog
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import Log
from mcai_pipelines.providers import open_site
from tests.providers.conftest import BOTH, MakeTable, foreign_options, make_site

each_protocol = pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"], indirect=True)
both = pytest.mark.parametrize(("primary", "mirror"), BOTH)

WEEK = pl.DataFrame({"region": ["a b", "ü%/x", "c=d", "50%"], "units": [1, 2, 3, 4]})
"""Partition values that a path must escape."""


def rows(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return sorted(frame.rows(), key=repr)


def assert_reads(table: Table, expected: list[tuple[object, ...]]) -> None:
    """Both formats show these rows: ours, and what reads with storage options only."""
    wanted = sorted(expected, key=repr)
    for format in table.formats:
        assert rows(table.scan(format=format).collect()) == wanted, format
    delta, iceberg = foreign_options(table)
    foreign = DeltaTable(table.storage.uri, storage_options=delta).to_pyarrow_table()
    assert rows(pl.DataFrame(foreign).select("region", "units")) == wanted
    location = table.info().metadata_location
    assert location is not None
    scanned = StaticTable.from_metadata(location, properties=iceberg).scan().to_arrow()
    assert rows(pl.DataFrame(scanned).select("region", "units")) == wanted


@both
def test_the_life_of_a_table(make_table: MakeTable, cloud: str, primary: str, mirror: str) -> None:
    table = make_table(cloud, primary, mirror, partition_by=["region"])
    first = table.write(WEEK)
    assert_reads(table, WEEK.rows())

    table.write(WEEK.with_columns(pl.col("units") + 10))
    table.write(
        pl.DataFrame({"region": ["a b"], "units": [7]}),
        "overwrite_partitions",
        partitions=[("a b",), ("50%",)],
    )
    others = [("ü%/x", 2), ("ü%/x", 12), ("c=d", 3), ("c=d", 13)]
    assert_reads(table, [*others, ("a b", 7)])

    assert table.scan(version=first.version.id).collect().height == 4
    table.rollback(first.version.id)
    assert_reads(table, WEEK.rows())
    assert [version.operation for version in table.history()][-1] in ("append", "write")
    assert len(table.history()) == 4


@each_protocol
@both
def test_a_table_grows_a_column(
    make_table: MakeTable, cloud: str, primary: str, mirror: str
) -> None:
    table = make_table(cloud, primary, mirror)
    table.write(pl.DataFrame({"units": [1]}))
    table.write(pl.DataFrame({"units": [2], "note": ["new"]}))
    for format in table.formats:
        found = table.scan(format=format).sort("units").collect()
        assert found.rows() == [(1, None), (2, "new")], format


@each_protocol
def test_a_filter_reads_only_the_partition_it_names(make_table: MakeTable, cloud: str) -> None:
    table = make_table(cloud, "delta", "iceberg", partition_by=["region"])
    table.write(WEEK)
    for format in table.formats:
        found = table.scan(format=format).filter(pl.col("region") == "ü%/x").collect()
        assert found.rows() == [("ü%/x", 2)], format


@each_protocol
def test_nothing_but_the_table_is_left(make_table: MakeTable, cloud: str) -> None:
    table = make_table(cloud, "iceberg", "delta")
    table.write(pl.DataFrame({"units": [1]}))
    paths = [item["path"] for page in table.storage.store.list() for item in page]
    assert {path.partition("/")[0] for path in paths} == {"_data", "_delta_log", "_iceberg"}
    assert set(table.head().files) == {path for path in paths if path.startswith("_data/")}


@each_protocol
def test_a_large_table_goes_up_in_parts(make_table: MakeTable, cloud: str) -> None:
    table = make_table(cloud, "delta")
    frame = pl.select(
        n=pl.int_range(2_000_000).hash(seed=1).reinterpret(signed=True)
    )  # 16 MB, as random
    table.write(frame)
    assert table.info().bytes > 12_000_000
    assert table.scan().select(pl.col("n").n_unique()).collect().item() == 2_000_000


@each_protocol
@pytest.mark.parametrize(("primary", "mirror"), BOTH)
def test_writers_at_once_lose_nothing(
    make_table: MakeTable, cloud: str, primary: str, mirror: str
) -> None:
    make_table(cloud, primary, mirror).write(pl.DataFrame({"units": [0]}))

    def append(number: int) -> None:
        table = make_table(cloud, primary, mirror)
        for step in range(2):
            table.write(pl.DataFrame({"units": [10 * number + step]}))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(append, (1, 2, 3)))
    table = make_table(cloud, primary, mirror)
    for format in table.formats:
        found = table.scan(format=format).sort("units").collect()["units"].to_list()
        assert found == [0, 10, 11, 20, 21, 30, 31], format
    assert len(table.history()) == 7


@each_protocol
def test_a_checkpoint(make_table: MakeTable, cloud: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delta, "CHECKPOINT_EVERY", 3)
    table = make_table(cloud, "delta")
    for units in range(4):
        table.write(pl.DataFrame({"units": [units]}))
    assert table.storage.store.head("_delta_log/_last_checkpoint")["size"] > 0
    assert table.scan().collect().height == 4


@each_protocol
@pytest.mark.parametrize("format", ["iceberg", "delta"])
def test_a_table_that_another_tool_owns(
    make_table: MakeTable, clouds: Clouds, cloud: str, format: str
) -> None:
    table = make_table(cloud, format)
    table.write(WEEK)
    site = open_site(make_site(cloud), "elsewhere", clouds.env)
    if format == "delta":
        adopted: Log = DeltaLog(site.adopted(f"{table.storage.uri}/", ()), adopted=True)
    else:
        location = table.info().metadata_location
        assert location is not None
        adopted = StaticIcebergLog(site.adopted(location, ()))
    head = adopted.head()
    assert head is not None
    assert rows(adopted.scan(head).collect()) == sorted(WEEK.rows(), key=repr)
