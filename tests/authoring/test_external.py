"""Tables that already exist are adopted by a contract, and only read."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from pyiceberg.catalog.sql import SqlCatalog

from mcai_pipelines.authoring import external_table, table
from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse.errors import ReadOnlyTable
from tests.project import Project

RATES = pl.DataFrame({"currency": ["EUR", "SGD"], "rate": [1.1, 0.7]})
COLUMNS = """
    {name: currency, logicalType: string}
    {name: rate, logicalType: number}
"""


def adopt(project: Project, place: str) -> None:
    project.contract(
        "partners/rates",
        COLUMNS,
        extra=f"customProperties: [{{property: external, value: {{{place}}}}}]\n",
    )
    project.contract("shop/rates", COLUMNS)


def iceberg_elsewhere(root: Path, uri: str) -> str:
    """A table that PyIceberg alone made; returns its metadata file."""
    catalog = SqlCatalog("other", uri=uri, warehouse=str(root / "warehouse"))
    catalog.create_namespace("theirs")
    found = catalog.create_table("theirs.rates", schema=RATES.to_arrow().schema)
    found.append(RATES.to_arrow())
    return found.metadata_location


def copied(project: Project) -> pl.DataFrame:
    @table("shop/rates", ins={"rates": "partners/rates"}, key_prefix="shop", name="copy")
    def copy(rates: pl.LazyFrame) -> pl.LazyFrame:
        return rates

    project.run(external_table("partners/rates"), copy)
    return project.lake.table("shop/copy").scan().collect()


def test_a_delta_table_by_its_uri(project: Project) -> None:
    RATES.write_delta(str(project.root / "rates"))
    adopt(project, f'site: west, format: delta, uri: "{project.root}/rates"')

    assert copied(project).equals(RATES)


def test_an_iceberg_table_by_its_metadata_file(project: Project) -> None:
    location = iceberg_elsewhere(project.root, f"sqlite:///{project.root}/other.db")
    adopt(project, f'site: east, format: iceberg, uri: "{location}"')

    assert copied(project).equals(RATES)


def test_an_iceberg_table_by_its_name_in_the_sites_catalog(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"sqlite:///{project.root}/home/east.db"
    (project.root / "home").mkdir(exist_ok=True)
    catalog = SqlCatalog("east", uri=uri, warehouse=str(project.root / "warehouse"))
    catalog.create_namespace("theirs")
    catalog.create_table("theirs.rates", schema=RATES.to_arrow().schema).append(RATES.to_arrow())
    adopt(project, "site: east, format: iceberg, catalogTable: theirs.rates")

    assert copied(project).equals(RATES)


def test_the_graph_shows_it_and_nothing_writes_it(project: Project) -> None:
    RATES.write_delta(str(project.root / "rates"))
    adopt(project, f'site: west, format: delta, uri: "{project.root}/rates"')

    spec = external_table("partners/rates")
    found = project.lake.table("partners/rates")

    assert spec.key == dg.AssetKey(["partners", "rates"])
    assert [c.name for c in spec.metadata["dagster/column_schema"].columns] == ["currency", "rate"]
    assert found.info().rows == 2
    assert "partners/rates" in [record.key for record in project.lake.records()]
    with pytest.raises(ReadOnlyTable, match=r"adopted from .*rates and only read"):
        found.write(RATES, "overwrite")
    with pytest.raises(ReadOnlyTable):
        found.rollback(0)


def test_a_contract_of_our_own_table_cannot_be_adopted(project: Project) -> None:
    project.contract("shop/rates", COLUMNS)
    with pytest.raises(BadInput, match="does not say where the table is"):
        external_table("shop/rates")
