"""Replicas as assets: a table that another asset writes, kept at other sites too."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl
import pytest

from mcai_pipelines.authoring import keep_current, replica, replicas_of, table
from mcai_pipelines.errors import BadInput
from tests.authoring.test_table import failure, metadata
from tests.project import Project


@pytest.fixture
def stores(project: Project) -> dg.AssetsDefinition:
    """A table at the site ``east``, in Iceberg."""
    project.contract("shop/stores", "{name: store, logicalType: integer, required: true}")

    @table("shop/stores", site="east", key_prefix="shop")
    def stores() -> pl.LazyFrame:
        """Every store."""
        return pl.LazyFrame({"store": [1, 2, 3]})

    return stores


def test_it_is_an_ordinary_asset(project: Project, stores: dg.AssetsDefinition) -> None:
    [spec] = replica(stores, site="west").specs

    assert spec.key == dg.AssetKey(["west", "stores"])
    assert [dep.asset_key for dep in spec.deps] == [stores.key]
    assert spec.kinds == {"deltalake"}
    assert spec.group_name == "west"
    assert spec.tags["mcai/site"] == "west"
    assert spec.partitions_def is None
    assert spec.automation_condition == keep_current()
    assert spec.metadata["mcai/replica_of"] == "shop/stores"
    assert spec.metadata["dagster/column_schema"].columns[0].name == "store"
    assert spec.description is not None
    assert spec.description.startswith("Replica of shop/stores at west.")


def test_a_run_copies_and_says_what_it_copied(
    project: Project, stores: dg.AssetsDefinition
) -> None:
    copy = replica(stores, site="west")

    result = project.run(stores, copy)

    assert result.success
    source, target = project.lake.table("shop/stores"), project.lake.table("west/stores")
    assert target.formats == ("delta",)
    assert pl.read_delta(target.storage.uri).equals(source.scan().collect())
    assert project.lake.record("west/stores").replica_of == "shop/stores"
    [said] = metadata(result, "west__stores")
    version = str(source.head().version)
    assert said["mcai/source_version"] == version
    assert said["mcai/input_versions"] == {"shop/stores": version}
    assert said["mcai/version"] == str(target.head().version)
    assert (said["mcai/files_copied"], said["mcai/files_reused"]) == (1, 0)
    assert said["mcai/bytes_copied"] == source.info().bytes
    assert said["dagster/row_count"] == 3
    assert said["mcai/seconds"] > 0
    assert target.history()[0].properties["mcai.run"] == result.run_id


def test_the_format_and_a_mirror_may_be_chosen(project: Project) -> None:
    project.contract("shop/stores", "{name: store, logicalType: integer, required: true}")

    @table("shop/stores", site="west")
    def stores() -> pl.LazyFrame:
        return pl.LazyFrame({"store": [1, 2, 3]})

    copy = replica(stores, site="east", format="delta", mirror="iceberg")

    assert project.run(stores, copy).success
    assert [spec.kinds for spec in copy.specs] == [{"deltalake", "iceberg"}]
    assert project.lake.table("east/stores").formats == ("delta", "iceberg")
    assert project.lake.table("east/stores").scan(format="iceberg").collect().height == 3


def test_a_second_run_copies_nothing(project: Project, stores: dg.AssetsDefinition) -> None:
    copy = replica(stores, site="west")
    project.run(stores, copy)

    [said] = metadata(project.run(copy, selection=[copy]), "west__stores")

    assert said["mcai/files_copied"] == 0
    assert len(project.lake.table("west/stores").history()) == 1


def test_others_read_the_replica(project: Project, stores: dg.AssetsDefinition) -> None:
    project.contract("shop/count", "{name: n, logicalType: integer}")

    @table("shop/count", site="west")
    def count(stores: pl.LazyFrame) -> pl.LazyFrame:
        return stores.select(n=pl.len().cast(pl.Int64))

    assert project.run(stores, replica(stores, site="west"), count).success
    assert project.lake.table("west/count").scan().collect()["n"].to_list() == [3]


def test_every_site_but_its_own(project: Project, stores: dg.AssetsDefinition) -> None:
    [copy] = replicas_of(stores, sites=["east", "west"], key_prefix="copies", name="shops")
    assert copy.key == dg.AssetKey(["copies", "shops"])


def test_nothing_to_copy_yet(project: Project, stores: dg.AssetsDefinition) -> None:
    copy = replica(stores, site="west")
    result = project.run(copy, raise_on_error=False)
    assert "table shop/stores has not been written in namespace test" in failure(result)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"site": "mars"}, "platform local has no site 'mars'.*use one of: east, west"),
        ({"site": "east"}, "replica of shop/stores: the table itself is at east"),
    ],
)
def test_what_cannot_be(
    project: Project, stores: dg.AssetsDefinition, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        replica(stores, **options)


def test_an_asset_that_is_no_table(project: Project) -> None:
    @dg.asset
    def note() -> None: ...

    with pytest.raises(BadInput, match="the asset has no contract; give it one with @table"):
        replica(note, site="west")
