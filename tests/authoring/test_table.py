"""Writing assets: a contract and a function of LazyFrames, and nothing about storage."""

from __future__ import annotations

import datetime as dt
from typing import Any

import dagster as dg
import polars as pl
import pytest

from mcai_pipelines.authoring import TableContext, table, weekly
from mcai_pipelines.errors import BadInput
from tests.project import Project

WEEKS = weekly("2017-01-02", "2017-01-30", timezone="America/New_York")
MONDAYS = [dt.date(2017, 1, 2) + dt.timedelta(days=7 * n) for n in range(4)]

SALES = """
    {name: week, logicalType: date, required: true, partitioned: true, partitionKeyPosition: 1}
    {name: store, logicalType: integer, required: true}
    {name: sales, logicalType: number}
"""


def nothing() -> pl.LazyFrame:
    return pl.LazyFrame()


def rows(project: Project, key: str, **options: Any) -> list[tuple[Any, ...]]:
    return sorted(project.lake.table(key).scan(**options).collect().rows())


def metadata(result: dg.ExecuteInProcessResult, node: str) -> list[dict[str, Any]]:
    events = result.asset_materializations_for_node(node)
    return [{name: value.value for name, value in e.metadata.items()} for e in events]


def failure(result: dg.ExecuteInProcessResult) -> str:
    (event,) = result.get_step_failure_events()
    data = event.step_failure_data.user_failure_data
    assert data is not None
    return str(data.description)


def test_a_function_of_frames_becomes_a_table_that_any_reader_opens(project: Project) -> None:
    project.contract("shop/stores", "{name: store, logicalType: integer, required: true}")
    project.contract("shop/count", "{name: n, logicalType: integer}")

    @table("shop/stores", site="west", key_prefix="shop")
    def stores() -> pl.LazyFrame:
        """Every store."""
        return pl.LazyFrame({"store": [1, 2, 3]})

    @table("shop/count", site="east", key_prefix="shop")
    def count(stores: pl.LazyFrame) -> pl.LazyFrame:
        return stores.select(n=pl.len().cast(pl.Int64))

    result = project.run(stores, count)

    assert result.success
    assert pl.scan_delta(project.lake.table("shop/stores").storage.uri).collect().height == 3
    assert rows(project, "shop/count") == [(3,)]
    assert stores.descriptions_by_key[dg.AssetKey(["shop", "stores"])] == "Every store."


def test_the_materialization_says_what_was_written_from_what(project: Project) -> None:
    project.contract("shop/stores", "{name: store, logicalType: integer, required: true}")
    project.contract("shop/copy", "{name: store, logicalType: integer}")

    @table("shop/stores", key_prefix="shop")
    def stores() -> pl.LazyFrame:
        return pl.LazyFrame({"store": [1, 2, 3]})

    @table("shop/copy", key_prefix="shop")
    def copy(stores: pl.LazyFrame) -> pl.LazyFrame:
        return stores

    result = project.run(stores, copy)

    (said,) = metadata(result, "shop__copy")
    read = project.lake.table("shop/stores").head().version
    written = project.lake.table("shop/copy")
    assert said["dagster/row_count"] == 3
    assert said["mcai/version"] == str(written.head().version)
    assert said["mcai/input_versions"] == {"shop/stores": str(read)}
    assert said["dagster/uri"] == written.storage.uri
    assert said["mcai/committed_at"] == written.info().committed_at.timestamp()
    assert written.history()[0].properties["mcai.inputs"] == f'{{"shop/stores": {read}}}'
    assert written.history()[0].properties["mcai.run"] == result.run_id


def test_kinds_owners_tags_and_columns_come_from_the_contract(project: Project) -> None:
    project.contract(
        "shop/sales",
        "{name: store, logicalType: integer, required: true, description: Number of the store.}",
        extra="tags: [finance]\nteam: [{username: sales@example.com, role: owner}]\n",
    )

    @table("shop/sales", site="west")
    def sales() -> pl.LazyFrame:
        return pl.LazyFrame()

    (spec,) = sales.specs
    assert spec.key == dg.AssetKey(["west", "sales"])
    assert spec.kinds == {"deltalake", "polars"}
    assert spec.owners == ["sales@example.com"]
    assert spec.tags["finance"] == ""
    assert spec.group_name == "west"
    column = spec.metadata["dagster/column_schema"].columns[0]
    assert (column.name, column.type, column.description) == (
        "store",
        "long",
        "Number of the store.",
    )
    assert not column.constraints.nullable


def test_a_run_over_several_weeks_is_one_call_and_one_commit(
    project: Project, range_tags: Any
) -> None:
    project.contract("shop/sales", SALES)
    calls: list[tuple[str, ...]] = []

    @table("shop/sales", site="west", partitions=WEEKS)
    def sales(context: TableContext) -> pl.LazyFrame:
        calls.append(context.partition_keys)
        return pl.LazyFrame(
            [(week, 1, 2.0) for week in context.partition_values if week != MONDAYS[1]],
            schema={"week": pl.Date, "store": pl.Int64, "sales": pl.Float64},
            orient="row",
        )

    result = project.run(sales, tags=range_tags("2017-01-02", "2017-01-16"))

    assert calls == [("2017-01-02", "2017-01-09", "2017-01-16")]
    assert len(project.lake.table("west/sales").history()) == 1
    counts = [m["dagster/partition_row_count"] for m in metadata(result, "west__sales")]
    assert counts == [1, 0, 1]


def test_inputs_arrive_filtered_to_the_partitions_of_the_run(project: Project) -> None:
    project.contract("shop/sales", SALES)
    project.contract("shop/total", SALES)

    @table("shop/sales", partitions=WEEKS)
    def sales(context: TableContext) -> pl.LazyFrame:
        return pl.LazyFrame({"week": context.partition_values, "store": 1, "sales": 2.0})

    @table("shop/total", partitions=WEEKS)
    def total(sales: pl.LazyFrame) -> pl.LazyFrame:
        return sales

    project.run(sales, partition_key="2017-01-02")
    project.run(sales, total, partition_key="2017-01-09", selection=[total, sales])

    assert rows(project, "east/total") == [(MONDAYS[1], 1, 2.0)]


def test_rows_outside_the_run_fail_it_and_leave_the_last_version(project: Project) -> None:
    project.contract("shop/sales", SALES)
    weeks = [MONDAYS[0]]

    @table("shop/sales", partitions=WEEKS)
    def sales() -> pl.LazyFrame:
        return pl.LazyFrame({"week": weeks, "store": 1, "sales": 2.0})

    project.run(sales, partition_key="2017-01-02")
    weeks.append(MONDAYS[1])
    result = project.run(sales, partition_key="2017-01-02", raise_on_error=False)

    assert "outside the partitions of this run: 2017-01-09 (1 rows)" in failure(result)
    assert rows(project, "east/sales") == [(MONDAYS[0], 1, 2.0)]


def test_an_overwrite_that_someone_overtook_is_computed_again(project: Project) -> None:
    project.contract("shop/sales", SALES)
    overtaken: list[bool] = []

    @table("shop/sales", partitions=WEEKS)
    def sales(context: TableContext) -> pl.LazyFrame:
        frame = pl.LazyFrame({"week": context.partition_values, "store": 1, "sales": 2.0})
        if not overtaken:
            overtaken.append(True)
            other = project.lake.declare(
                ["east", "sales"], "east", project.lake.contracts.get("shop/sales")
            )
            other.write(frame.with_columns(sales=9.0), "append")
        return frame

    assert project.run(sales, partition_key="2017-01-02").success

    assert rows(project, "east/sales") == [(MONDAYS[0], 1, 2.0)]
    assert [v.operation for v in project.lake.table("east/sales").history()] == [
        "overwrite",
        "append",
    ]


class Crash(Exception):
    """Stands for a worker that dies after its commit."""


def test_an_append_is_made_once_however_often_the_run_is_retried(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.contract("shop/log", "{name: line, logicalType: string}")
    crashes = iter([True, False, False])

    @table("shop/log", mode="append", retry_policy=dg.RetryPolicy(max_retries=2))
    def log() -> pl.LazyFrame:
        return pl.LazyFrame({"line": ["a"]})

    import mcai_pipelines.authoring.step as step

    report = step._report

    def crash_once(*arguments: Any) -> Any:
        if next(crashes):
            raise Crash
        return report(*arguments)

    monkeypatch.setattr(step, "_report", crash_once)

    result = project.run(log)

    assert result.success
    assert rows(project, "east/log") == [("a",)]
    (said,) = metadata(result, "east__log")
    assert "nothing was written" in said["mcai/repeated"]


def test_a_new_run_appends_again(project: Project) -> None:
    project.contract("shop/log", "{name: line, logicalType: string}")

    @table("shop/log", mode="append")
    def log() -> pl.LazyFrame:
        return pl.LazyFrame({"line": ["a"]})

    project.run(log)
    project.run(log)

    assert rows(project, "east/log") == [("a",), ("a",)]


STORES = """
    {name: store, logicalType: integer, required: true, primaryKey: true, primaryKeyPosition: 1}
    {name: city, logicalType: string}
"""


def test_a_merge_by_the_contracts_key_twice_gives_the_same_rows(project: Project) -> None:
    project.contract("shop/stores", STORES)
    batches = iter([[(1, "a"), (2, "b")], [(2, "B"), (3, "c")], [(2, "B"), (3, "c")]])

    @table("shop/stores", mode="merge")
    def stores() -> pl.LazyFrame:
        return pl.LazyFrame(next(batches), schema=["store", "city"], orient="row")

    said = [metadata(project.run(stores), "east__stores")[0] for _ in range(3)]

    assert rows(project, "east/stores") == [(1, "a"), (2, "B"), (3, "c")]
    assert [(m["mcai/rows_inserted"], m["mcai/rows_updated"]) for m in said] == [
        (2, 0),
        (1, 1),
        (0, 2),
    ]


def test_a_merge_needs_the_contracts_key(project: Project) -> None:
    project.contract("shop/sales", SALES)
    with pytest.raises(BadInput, match="needs the primary key of shop/sales, which has none"):
        table("shop/sales", mode="merge")(nothing)


def test_compacting_an_input_is_no_news(project: Project) -> None:
    """A run that is retried after its input was compacted does not append again."""
    project.contract("shop/stores", STORES)
    project.contract("shop/log", "{name: store, logicalType: integer}")

    @table("shop/stores", mode="append")
    def stores() -> pl.LazyFrame:
        return pl.LazyFrame({"store": [1], "city": ["a"]})

    @table("shop/log")
    def log(stores: pl.LazyFrame) -> pl.LazyFrame:
        return stores.select("store")

    project.run(stores)
    project.run(stores, log)
    before = project.lake.table("east/log").history()[0].properties["mcai.inputs"]
    assert project.lake.table("east/stores").compact().version is not None

    project.run(log)

    after = project.lake.table("east/log").history()[0].properties["mcai.inputs"]
    assert after == before
    assert rows(project, "east/log") == [(1,), (1,)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"contract": "shop/sale"}, "did you mean"),
        ({"contract": "shop/sales", "site": "north"}, "no site 'north'.*east, west"),
        ({"contract": "shop/sales", "ins": {"x": "a/b"}}, "ins names x.*no parameter"),
    ],
)
def test_mistakes_are_told_when_definitions_load(
    project: Project, arguments: dict[str, Any], message: str
) -> None:
    project.contract("shop/sales", SALES)
    with pytest.raises(BadInput, match=message):
        table(**arguments)(nothing)


def test_partitions_have_to_go_with_the_contract(project: Project) -> None:
    project.contract("shop/stores", "{name: store, logicalType: integer}")
    with pytest.raises(BadInput, match="partitioned by one dimension and its table by nothing"):
        table("shop/stores", partitions=WEEKS)(nothing)


def test_a_function_that_returns_no_frame_fails_with_its_place(project: Project) -> None:
    project.contract("shop/stores", "{name: store, logicalType: integer}")

    @table("shop/stores")
    def stores() -> Any:
        return 3

    result = project.run(stores, raise_on_error=False)
    assert "test_table.py:" in failure(result)
    assert "returned int" in failure(result)
