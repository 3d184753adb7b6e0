"""Replicas of tables that another tool owns: copied, and never written."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, TableFeatures
from pyiceberg.catalog.sql import SqlCatalog

from mcai_pipelines.lakehouse.errors import UnsupportedTable
from mcai_pipelines.lakehouse.replicas import replicate_table
from tests.authoring.test_external import RATES, adopt, iceberg_elsewhere
from tests.project import Project

KEY = "partners/rates"


def files_of(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()}


def test_a_delta_table(project: Project) -> None:
    theirs = project.root / "rates"
    RATES.write_delta(str(theirs))
    before = files_of(theirs)
    adopt(project, f'site: west, format: delta, uri: "{theirs}"')

    target, done = replicate_table(project.lake, KEY, "east")

    assert target.formats == ("iceberg",)
    assert target.scan().collect().equals(RATES)
    assert done.files_copied == 1
    assert files_of(theirs) == before
    RATES.write_delta(str(theirs), mode="append")
    replicate_table(project.lake, KEY, "east")
    assert target.scan().collect().height == 4


def test_a_delta_table_with_deletion_vectors(project: Project) -> None:
    theirs = project.root / "rates"
    RATES.write_delta(str(theirs))
    DeltaTable(theirs).alter.add_feature(
        TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    adopt(project, f'site: west, format: delta, uri: "{theirs}"')

    with pytest.raises(UnsupportedTable, match="deletion vectors"):
        replicate_table(project.lake, KEY, "east")


def test_an_iceberg_table_of_the_sites_catalog(project: Project) -> None:
    (project.root / "home").mkdir()
    uri = f"sqlite:///{project.root}/home/east.db"
    catalog = SqlCatalog("east", uri=uri, warehouse=str(project.root / "warehouse"))
    catalog.create_namespace("theirs")
    theirs = catalog.create_table("theirs.rates", schema=RATES.to_arrow().schema)
    theirs.append(RATES.to_arrow())
    adopt(project, "site: east, format: iceberg, catalogTable: theirs.rates")

    target, done = replicate_table(project.lake, KEY, "west")

    assert target.formats == ("delta",)
    assert target.scan().collect().equals(RATES)
    assert {path.split("/")[0] for path in target.head().files} == {"_data"}
    theirs.append(pa.table({"currency": ["CHF"], "rate": [1.0]}))
    _, done = replicate_table(project.lake, KEY, "west")
    assert (done.files_copied, done.files_reused) == (1, 1)
    assert target.scan().collect().height == 3


def test_an_iceberg_table_without_a_catalog(project: Project) -> None:
    location = iceberg_elsewhere(project.root, f"sqlite:///{project.root}/other.db")
    adopt(project, f'site: east, format: iceberg, uri: "{location}"')

    with pytest.raises(UnsupportedTable, match=r"adopted by its metadata file; name its catalog"):
        replicate_table(project.lake, KEY, "west")
