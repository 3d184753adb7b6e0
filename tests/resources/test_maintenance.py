"""Compaction and expiry as assets: all tables, their numbers, and failures that hide nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl

from assets.maintenance.upkeep import compaction, expiry
from mcai_pipelines.lakehouse.lake import Lake
from resources.lake import LakeResource
from sensors.maintenance import weekly_maintenance
from tests.project import Project


def lake_with(*keys: str, appends: int = 6) -> Lake:
    """Tables of so many small files each."""
    lake = Lake.open()
    for key in keys:
        table = lake.declare(key.split("/"))
        for number in range(appends):
            table.write(pl.DataFrame({"n": [number]}))
        lake.register(table, None, None)
    return lake


def run(
    project: Project, *assets: dg.AssetsDefinition, fails: bool = False, **config: Any
) -> dg.ExecuteInProcessResult:
    result = dg.materialize(
        assets,
        instance=project.instance,
        resources={"lake": LakeResource()},
        run_config={"ops": {asset.op.name: {"config": config} for asset in assets}},
        selection=list(assets),
        raise_on_error=False,
    )
    assert result.success is not fails
    return result


def numbers(result: dg.ExecuteInProcessResult, asset: dg.AssetsDefinition) -> dict[str, Any]:
    (event,) = [
        e
        for e in result.get_asset_materialization_events()
        if e.step_materialization_data.materialization.asset_key == asset.key
    ]
    metadata = event.step_materialization_data.materialization.metadata
    return {name: value.value for name, value in metadata.items()}


def test_small_files_of_every_table_are_put_together(project: Project) -> None:
    lake = lake_with("a/one", "a/two")
    found = numbers(run(project, compaction), compaction)

    assert (found["tables"], found["failed"]) == (2, 0)
    assert (found["files_before"], found["files_after"]) == (12, 2)
    assert "| a/one | 6 | 1 |" in found["report"]
    for key in ("a/one", "a/two"):
        assert lake.table(key).info().files == 1
        assert sorted(lake.table(key).scan().collect()["n"]) == [0, 1, 2, 3, 4, 5]

    again = numbers(run(project, compaction), compaction)
    assert (again["files_before"], again["files_after"]) == (0, 0)


def test_only_the_named_tables(project: Project) -> None:
    lake = lake_with("a/one", "a/two")
    run(project, compaction, tables=["a/two"])
    assert lake.table("a/one").info().files == 6
    assert lake.table("a/two").info().files == 1


def test_a_dry_run_changes_nothing(project: Project) -> None:
    lake = lake_with("a/one")
    found = numbers(run(project, compaction, dry_run=True), compaction)
    assert found["files_before"] == 6
    assert lake.table("a/one").info().files == 6
    assert len(lake.table("a/one").history()) == 6


def test_old_versions_are_forgotten_and_their_files_deleted(project: Project) -> None:
    lake = lake_with("a/one")
    run(project, compaction)
    found = numbers(run(project, expiry, keep=1, older_than_days=0), expiry)

    assert found["versions_expired"] > 0
    assert found["files_deleted"] >= 6
    assert found["bytes_reclaimed"] > 0
    table = lake.table("a/one")
    data = list(Path(table.storage.uri, "_data").rglob("*.parquet"))
    assert len(data) == table.info().files == 1
    assert sorted(table.scan().collect()["n"]) == [0, 1, 2, 3, 4, 5]


def test_a_contract_says_how_long_its_history_is_kept(project: Project) -> None:
    history = "customProperties: [{property: history, value: {keepVersions: 2, days: 0}}]\n"
    project.contract("shop/stock", "{name: n, logicalType: integer}", history)
    lake = Lake.open()
    contract = lake.contracts.get("shop/stock")
    table = lake.declare(("shop", "stock"), None, contract)
    for number in range(4):
        table.write(pl.DataFrame({"n": [number]}))
    lake.register(table, None, "shop/stock")

    found = numbers(run(project, expiry), expiry)

    assert found["versions_expired"] == 2


def test_a_broken_table_fails_the_run_and_hides_no_other(project: Project) -> None:
    lake = lake_with("a/one", "b/two")
    broken = lake.table("a/one")
    for file in broken.head().files:
        Path(broken.storage.uri, file).write_bytes(b"no Parquet")

    result = run(project, compaction, fails=True)

    (failure,) = result.get_step_failure_events()
    error = failure.step_failure_data.error
    assert error is not None
    assert "1 of 2 tables failed: a/one: parquet: File out of spec" in error.message
    metadata = failure.step_failure_data.user_failure_data
    assert metadata is not None
    assert "**a/one** failed" in str(metadata.metadata["report"].value)
    assert lake.table("b/two").info().files == 1


def test_the_schedule_requests_both_in_one_run() -> None:
    definitions = dg.Definitions(
        assets=[compaction, expiry],
        schedules=[weekly_maintenance()],
        resources={"lake": LakeResource()},
    )
    job = definitions.resolve_job_def("__ASSET_JOB")
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {
        "maintenance/compaction",
        "maintenance/expiry",
    }
    schedule = definitions.resolve_schedule_def("weekly_maintenance")
    assert schedule.cron_schedule == "0 3 * * SUN"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
