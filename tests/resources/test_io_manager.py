"""Plain ``@dg.asset`` functions whose frames the lake keeps."""

import datetime as dt
from typing import Any

import dagster as dg
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from mcai_pipelines.authoring import daily, table
from tests.project import Project

FRAME = pl.DataFrame({"store": [1, 2], "name": ["a", "b"]})
DAYS = daily("2017-01-02", "2017-01-05")


def read(project: Project, key: str) -> pl.DataFrame:
    return project.lake.table(key).scan().collect()


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    error = event.step_failure_data.error
    return "\n".join(str(e.message) for e in (error, error and error.cause) if e)


@pytest.mark.parametrize(
    "returned", [FRAME, FRAME.lazy(), FRAME.to_arrow(), FRAME.to_pandas()], ids=type
)
def test_any_kind_of_frame_becomes_a_table_at_the_default_site(
    project: Project, returned: Any
) -> None:
    @dg.asset
    def stores() -> Any:
        return returned

    result = project.run(stores)

    assert read(project, "stores").sort("store").equals(FRAME)
    assert project.lake.record("stores").site == "east"
    (event,) = result.asset_materializations_for_node("stores")
    assert event.metadata["dagster/row_count"].value == 2


def test_metadata_names_another_site_and_a_contract(project: Project) -> None:
    project.contract("shop/stores", "{name: store, logicalType: integer, physicalType: int}")

    @dg.asset(metadata={"mcai/site": "west", "mcai/contract": "shop/stores"})
    def stores() -> pl.DataFrame:
        return FRAME.select("store")

    project.run(stores)

    assert project.lake.record("stores").format == "delta"
    assert read(project, "stores").schema == {"store": pl.Int32}


@pytest.mark.parametrize(
    ("wanted", "kind"),
    [(pl.LazyFrame, pl.LazyFrame), (pl.DataFrame, pl.DataFrame), (pa.Table, pa.Table)],
)
def test_a_parameter_gets_the_table_in_the_type_it_names(
    project: Project, wanted: type, kind: type
) -> None:
    seen: list[Any] = []

    @dg.asset
    def stores() -> pl.DataFrame:
        return FRAME

    def downstream(stores: Any) -> None:
        seen.append(stores)

    downstream.__annotations__["stores"] = wanted
    project.run(stores, dg.asset(downstream))

    assert isinstance(seen[0], kind)


def test_pandas_users_get_pandas(project: Project) -> None:
    seen: list[pd.DataFrame] = []

    @dg.asset
    def stores() -> pl.DataFrame:
        return FRAME

    @dg.asset
    def downstream(stores: pd.DataFrame) -> None:
        seen.append(stores)

    project.run(stores, downstream)

    assert list(seen[0]["name"]) == ["a", "b"]


def test_a_plain_asset_reads_what_a_table_asset_wrote(project: Project) -> None:
    project.contract("shop/stores", "{name: store, logicalType: integer}")

    @table("shop/stores", key_prefix="shop")
    def stores() -> pl.LazyFrame:
        return FRAME.lazy().select("store")

    @dg.asset(key_prefix="shop", ins={"stores": dg.AssetIn(key=["shop", "stores"])})
    def doubled(stores: pl.LazyFrame) -> pl.LazyFrame:
        return stores.select(pl.col("store") * 2)

    project.run(stores, doubled)

    assert read(project, "shop/doubled")["store"].to_list() == [2, 4]


def test_a_partitioned_asset_replaces_its_partitions_only(project: Project) -> None:
    @dg.asset(partitions_def=DAYS, metadata={"partition_by": "day"})
    def sales(context: dg.AssetExecutionContext) -> pl.DataFrame:
        day = dt.date.fromisoformat(context.partition_key)
        return pl.DataFrame({"day": [day], "run": [context.run.run_id]})

    for key in ("2017-01-02", "2017-01-03", "2017-01-02"):
        project.run(sales, partition_key=key)

    found = read(project, "sales").sort("day")
    assert found["day"].to_list() == [dt.date(2017, 1, 2), dt.date(2017, 1, 3)]
    assert len(project.lake.table("sales").history()) == 3


def test_a_partitioned_asset_has_to_say_which_column(project: Project) -> None:
    @dg.asset(partitions_def=DAYS)
    def sales() -> pl.DataFrame:
        return FRAME

    result = project.run(sales, partition_key="2017-01-02", raise_on_error=False)

    assert "nothing says which column holds the partition" in failure(result)


def test_what_is_not_a_frame_is_refused(project: Project) -> None:
    @dg.asset
    def number() -> int:
        return 3

    result = project.run(number, raise_on_error=False)

    assert "the lake keeps frames, and the asset returned int" in failure(result)


def test_a_table_that_was_never_written_is_named(project: Project) -> None:
    @dg.asset
    def downstream(stores: pl.LazyFrame) -> None:
        pass

    result = project.run(
        dg.AssetSpec("stores").with_io_manager_key("io_manager"), downstream, raise_on_error=False
    )

    assert "table stores has not been written in namespace test" in failure(result)
