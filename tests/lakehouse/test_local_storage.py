"""The local provider: which folders and keys it takes, and which tables it opens."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import deltalake
import polars as pl
import pytest

from mcai_pipelines.config import load_platform
from mcai_pipelines.errors import BadInput, McaiError
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.iceberg import IcebergLog, StaticIcebergLog
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.providers import open_site
from mcai_pipelines.providers.catalogs import open_sql_catalog
from mcai_pipelines.providers.local import open_folder
from tests.lakehouse.conftest import open_table

FRAME = pl.DataFrame({"n": [1, 2], "p": ["a", "b"]})


def test_a_namespace_keeps_folders_and_catalog_entries_apart(tmp_path: Path) -> None:
    for namespace in ("main", "branch"):
        storage = open_folder("site", tmp_path, namespace).table(("retail", "sales"))
        assert storage.uri == f"{tmp_path}/{namespace}/retail/sales"
        assert storage.identifier == (namespace, "retail__sales")


@pytest.mark.parametrize("name", ["plain", "dots.and-dashes_", "plus+", "tilde~", "at@home"])
def test_folders_where_every_reader_finds_a_table(tmp_path: Path, name: str) -> None:
    table = open_table(tmp_path / name, "t", "iceberg", "delta", partition_by=["p"])
    table.write(FRAME)
    for format in table.formats:
        assert table.scan(format=format).sort("n").collect().equals(FRAME)
    assert pl.scan_delta(table.storage.uri).sort("n").collect().equals(FRAME)


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a b", "' '"), ("é", "'é'"), ("a%20b", "'%'"), ("a=b#", "'#' and '='"), ("a?b", r"'\?'")],
)
def test_folders_where_polars_would_not_find_a_delta_table(
    tmp_path: Path, name: str, shown: str
) -> None:
    with pytest.raises(BadInput, match=f"^site here: .* has {shown}, and .*; use a folder whose"):
        open_folder("here", tmp_path / name, "main")


@pytest.mark.parametrize("part", ["", "..", "a/b", "_data", ".hidden", "a b", "a.b", "é", "a__b"])
def test_keys_that_name_no_folder(tmp_path: Path, part: str) -> None:
    with pytest.raises(BadInput, match=r"^table retail/.*: .* cannot name a folder and a catalog"):
        open_folder("here", tmp_path, "main").table(("retail", part))


def test_iceberg_needs_a_catalog(tmp_path: Path) -> None:
    storage = open_folder("here", tmp_path, "main").table(("t",))
    with pytest.raises(BadInput, match="site here: an Iceberg table needs a catalog"):
        Table("t", storage, IcebergLog(storage)).write(FRAME)


PLATFORM = """
namespace: main
default_site: here
sites:
  here:
    provider: local
    region: attic
    jurisdiction: DE
    kind: edge
    format: iceberg
    storage: {storage}
    catalog: {{type: sql, uri: "sqlite:///{root}/catalog.db"}}
"""


def site_of(tmp_path: Path, storage: str, env: Mapping[str, str]) -> Any:
    path = tmp_path / "platform.yaml"
    path.write_text(PLATFORM.format(storage=storage, root=tmp_path))
    return load_platform(path, env=env).sites["here"]


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_site_of_a_platform_file(tmp_path: Path, prefix: str) -> None:
    env = {"WHERE": f"{prefix}{tmp_path}/lake"}
    site = site_of(tmp_path, "${WHERE}", env)
    storage = open_site(site, "main", env).table(("t",))
    assert storage.uri == f"{tmp_path}/lake/main/t"
    Table("t", storage, IcebergLog(storage)).write(FRAME)
    assert (tmp_path / "catalog.db").exists()


def test_a_variable_that_names_an_object_store(tmp_path: Path) -> None:
    site = site_of(tmp_path, "${WHERE}", {"WHERE": str(tmp_path)})
    with pytest.raises(BadInput, match="the provider local cannot store its tables at s3://"):
        open_site(site, "main", {"WHERE": "s3://bucket/lake"})


def test_a_postgresql_catalog_that_cannot_be_reached() -> None:
    uri = "postgresql+psycopg2://127.0.0.1:1/none"
    with pytest.raises(McaiError, match="the Iceberg catalog of site here cannot be opened"):
        open_sql_catalog("here", uri)


@pytest.mark.parametrize("options", ["", "?check_same_thread=false"])
def test_a_catalog_is_opened_once(tmp_path: Path, options: str) -> None:
    uri = f"sqlite:///{tmp_path}/catalog.db{options}"
    assert open_sql_catalog("here", uri) is open_sql_catalog("here", uri)


# ---------------------------------------------------------------- tables adopted from elsewhere


def adopted(tmp_path: Path, uri: str, identifier: tuple[str, ...], kind: Any) -> Table:
    catalog = f"sqlite:///{tmp_path}/catalog.db"
    storage = open_folder("here", tmp_path / "lake", "main", catalog).adopted(uri, identifier)
    return Table("theirs", storage, kind(storage), read_only=True)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_delta_table_of_another_writer(tmp_path: Path, prefix: str) -> None:
    path = str(tmp_path / "theirs")
    deltalake.write_deltalake(path, FRAME.to_arrow(), partition_by=["p"])
    table = adopted(tmp_path, f"{prefix}{path}", (), DeltaLog)
    assert table.scan().sort("n").collect().equals(FRAME)
    info = table.info()
    assert (info.rows, info.files, info.partitions) == (2, 2, 2)


def test_a_delta_table_without_statistics(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    deltalake.write_deltalake(path, FRAME.to_arrow(), partition_by=["p"])
    log = path / "_delta_log" / f"{0:020}.json"
    actions = map(json.loads, log.read_text().splitlines())
    log.write_text("\n".join(json.dumps(without_statistics(action)) for action in actions))
    table = adopted(tmp_path, str(path), (), DeltaLog)
    assert table.info().rows == 2
    assert {file.lower["n"] for file in table.head().files.values()} == {1, 2}


def without_statistics(action: dict[str, Any]) -> dict[str, Any]:
    action.get("add", {}).pop("stats", None)
    return action


def test_an_iceberg_table_of_another_writer(tmp_path: Path) -> None:
    catalog = open_sql_catalog("here", f"sqlite:///{tmp_path}/catalog.db")
    catalog.create_namespace("theirs")
    arrow = FRAME.to_arrow()
    theirs = catalog.create_table("theirs.t", arrow.schema, location=f"{tmp_path}/warehouse/t")
    theirs.append(arrow)
    by_name = adopted(
        tmp_path, "", ("theirs", "t"), lambda storage: IcebergLog(storage, adopted=True)
    )
    newest = catalog.load_table("theirs.t").metadata_location
    by_file = adopted(tmp_path, newest, (), StaticIcebergLog)
    for table in (by_name, by_file):
        assert table.scan().sort("n").collect().equals(FRAME)
        assert table.info().rows == 2
        assert len(table.history()) == 1
