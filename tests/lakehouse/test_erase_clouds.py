"""Expiry and erasure over the wire protocols of the emulated clouds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path

import obstore
import polars as pl
import pytest

from mcai_pipelines.lakehouse.erase import Erasure
from mcai_pipelines.lakehouse.errors import VersionErased
from mcai_pipelines.lakehouse.lake import Lake
from mcai_pipelines.lakehouse.replicas import replicate_table
from mcai_pipelines.lakehouse.subject import Subject
from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse import decoder

SITES = ("aws-us-east-1", "azure-westeurope", "gcp-asia-southeast1", "private-frankfurt")
PERSON = 7_340_219_455_123


def download(table: Table, folder: Path) -> None:
    """Every object below the table's root, as files."""
    for page in obstore.list(table.storage.store):
        for item in page:
            path = folder / table.key / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(obstore.get(table.storage.store, item["path"]).bytes()))


def people(*persons: int) -> pl.DataFrame:
    return pl.DataFrame({"person": persons, "n": range(len(persons))})


def test_nothing_on_any_cloud_holds_the_subject(
    emulated: Mapping[str, str], tmp_path: Path
) -> None:
    lake = Lake.open()
    for site in SITES:
        table = lake.declare((site.replace("-", "_"), "people"), site, partition_by=["person"])
        for last in (1, 2, 3):
            table.write(people(PERSON, 12, last), "overwrite")
        done = table.expire(keep=1, older_than=dt.timedelta(0))
        assert done.files["data"] == 6
        lake.register(table, site, None)
    replicate_table(lake, "aws_us_east_1/people", SITES[1], replica="copy/people")
    keys = [record.key for record in lake.records() if record.key.endswith("/people")]
    assert len(keys) == 5
    for key in keys:
        download(lake.table(key), tmp_path / "before")
    assert decoder.find(tmp_path / "before", PERSON)
    old = lake.table(keys[0]).head().version

    erasure = Erasure(lake, Subject("person", str(PERSON)))
    report = erasure.execute(erasure.plan(), reason="asked to")

    assert report.complete, report.failed
    assert sorted(report.removed) == sorted(keys)
    for key in keys:
        table = lake.table(key)
        download(table, tmp_path / "after")
        assert table.scan().collect()["person"].sort().to_list() == [3, 12]
    assert decoder.find(tmp_path / "after", PERSON) == []
    with pytest.raises(VersionErased, match="asked to"):
        lake.table(keys[0]).scan(version=old)
