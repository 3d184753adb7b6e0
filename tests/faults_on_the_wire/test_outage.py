"""A cloud that is stopped in the middle of a run over two sites, and started again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import polars as pl
import pytest

from mcai_pipelines.authoring import replica, table
from mcai_pipelines.emulators import Clouds
from tests.project import Project

PLATFORM = """\
name: two_clouds
namespace: {namespace}
default_site: here
state: {{url: "sqlite:///${{MCAI_HOME}}/state.db"}}
dagster: {{storage: sqlite}}
sites:
  here:
    provider: aws
    region: us-east-1
    jurisdiction: US
    kind: public
    format: iceberg
    storage: s3://lake-aws/tables
    endpoint: "${{MCAI_EMULATED_AWS_URL}}"
    catalog: {{type: sql, uri: "sqlite:///${{MCAI_HOME}}/here.db"}}
    credentials:
      access_key_id: "${{MCAI_EMULATED_KEY_ID}}"
      secret_access_key: "${{MCAI_EMULATED_SECRET}}"
  there:
    provider: azure
    region: westeurope
    jurisdiction: EU
    kind: public
    format: delta
    storage: abfss://lake@devstoreaccount1.dfs.core.windows.net/tables
    endpoint: "${{MCAI_EMULATED_AZURE_URL}}"
    credentials: {{account_key: "${{MCAI_EMULATED_AZURE_KEY}}"}}
"""
N = "{name: n, logicalType: integer}"


@pytest.fixture
def project(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project on AWS and Azure."""
    clouds.start(["aws", "azure"])
    (tmp_path / "platforms").mkdir()
    platform = PLATFORM.format(namespace=f"test-{uuid4().hex[:12]}")
    (tmp_path / "platforms" / "two_clouds.yaml").write_text(platform)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MCAI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MCAI_PLATFORM", "two_clouds")
    for name, value in clouds.env.items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Project(tmp_path, instance)


def test_the_run_fails_clearly_and_the_rerun_completes(project: Project, clouds: Clouds) -> None:
    for name in ("source", "stopped", "unaffected"):
        project.contract(f"shop/{name}", N)
    stop = [True]

    @table("shop/source", site="here", key_prefix="shop")
    def source() -> pl.LazyFrame:
        return pl.LazyFrame({"n": [1, 2, 3]})

    @table("shop/stopped", site="there", key_prefix="shop")
    def stopped(source: pl.LazyFrame) -> pl.LazyFrame:
        if stop:
            clouds.stop(["azure"])  # while its asset is being made
        return source.with_columns(pl.col("n") * 10)

    @table("shop/unaffected", site="here", key_prefix="shop")
    def unaffected(source: pl.LazyFrame) -> pl.LazyFrame:
        return source.with_columns(pl.col("n") * 100)

    copy = replica(stopped, site="here")
    graph = (source, stopped, unaffected, copy)
    try:
        run = project.run(*graph, raise_on_error=False)
    finally:
        clouds.start(["azure"])
        stop.clear()

    assert not run.success
    (failed,) = run.get_step_failure_events()
    reason = str(failed.step_failure_data.error)
    assert failed.step_key == "shop__stopped"
    assert "shop/stopped: writing at site there: " in reason
    assert "nothing listens there" in reason
    assert not any(clouds.env[name] in reason for name in clouds.env if name.endswith("_KEY"))
    assert rows(project, "shop/unaffected") == [100, 200, 300]

    assert project.run(*graph).success
    assert rows(project, "shop/stopped") == [10, 20, 30]
    assert rows(project, "here/stopped") == [10, 20, 30]
    assert len(project.lake.table("shop/stopped").history()) == 1


def rows(project: Project, key: str) -> list[int]:
    return sorted(project.lake.table(key).scan().collect()["n"].to_list())
