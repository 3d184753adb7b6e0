"""The whole reference workload over the clouds' wire protocols, against the same on local folders.

Both are made by ``mcai demo --through 4``: the command that users run, on Dagster instances in
SQLite and in PostgreSQL.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import polars as pl
import pytest

from mcai_pipelines.config import project_root
from mcai_pipelines.emulators import Clouds
from mcai_pipelines.lakehouse.lake import Lake
from tests.e2e.emulated import plain_delta, plain_iceberg
from tests.retail import same_rows

LARGEST = "global/promotions"
"""20,940,529 rows: plain readers hold all they read, and so they read the narrow columns only."""
NARROW = ("product_id", "store_id", "week")


@dataclass(frozen=True)
class Run:
    """The workload on one platform."""

    env: Mapping[str, str]
    lake: Lake

    @property
    def keys(self) -> list[str]:
        """Of every table."""
        return sorted(record.key for record in self.lake.records())


@dataclass(frozen=True)
class Runs:
    """The workload on both platforms."""

    emulated: Run
    local: Run


@pytest.fixture(scope="module")
def runs(clouds: Clouds, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Weeks 2 to 4 on the emulated clouds and on local folders, at once."""
    clouds.start()
    environments = [
        {**os.environ, **clouds.env, "MCAI_PLATFORM": name, "MCAI_HOME": str(folder)}
        for name in ("emulated", "local")
        for folder in [tmp_path_factory.mktemp(name)]
    ]
    command = [sys.executable, "-m", "mcai_pipelines.cli", "demo", "--through", "4"]
    children = [
        subprocess.Popen(
            command, cwd=project_root(), env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
        )
        for env in environments
    ]
    said = [child.communicate()[1].decode() for child in children]
    assert [child.returncode for child in children] == [0, 0], "\n".join(said)
    emulated, local = (Run(env, Lake.open(env)) for env in environments)
    return Runs(emulated, local)


def same_frames(found: pl.LazyFrame, wanted: pl.LazyFrame) -> bool:
    """Equal rows; those of a table that is written in one piece mostly come in the same order."""
    left, right = (frame.collect() for frame in (found, wanted))
    left = left.select(right.columns)
    return left.equals(right) or same_rows(left, right)


def columns_to_compare(frame: pl.LazyFrame, key: str) -> pl.LazyFrame:
    return frame.select(NARROW) if key == LARGEST else frame


def test_every_table_is_that_of_the_local_run_row_for_row(runs: Runs) -> None:
    assert runs.emulated.keys == runs.local.keys
    assert len(runs.emulated.keys) >= 17
    for key in runs.emulated.keys:
        table, twin = runs.emulated.lake.table(key), runs.local.lake.table(key)
        assert table.formats == twin.formats
        assert not table.storage.uri.startswith("/")
        for name in table.formats:
            assert same_frames(table.scan(format=name), twin.scan(format=name)), f"{key} ({name})"


def test_every_delta_table_opens_in_plain_delta_rs(runs: Runs) -> None:
    opened = set()
    for key in runs.emulated.keys:
        table = runs.emulated.lake.table(key)
        if "delta" in table.formats:
            wanted = columns_to_compare(runs.local.lake.table(key).scan(), key)
            columns = wanted.collect_schema().names()
            found = plain_delta(table.storage.uri, runs.emulated.env, columns)
            assert same_frames(found, wanted), key
            opened.add(table.storage.uri.split("/")[2])
    assert opened == {"lake-aws", "lake@devstoreaccount1.dfs.core.windows.net", "lake-private"}


def test_every_iceberg_table_opens_in_plain_pyiceberg(runs: Runs) -> None:
    opened = set()
    for key in runs.emulated.keys:
        table = runs.emulated.lake.table(key)
        metadata = table.info().metadata_location
        if metadata is not None:
            wanted = columns_to_compare(runs.local.lake.table(key).scan(), key)
            columns = wanted.collect_schema().names()
            found = plain_iceberg(metadata, runs.emulated.env, columns)
            assert same_frames(found, wanted), key
            opened.add(metadata.split("/")[2])
    assert opened == {"lake-aws", "lake-gcp"}


def test_dagsters_events_are_in_postgres(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in runs.emulated.env.items():
        monkeypatch.setenv(name, value)
    folder = Path(runs.emulated.env["MCAI_HOME"], "dagster")
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        assert instance.get_runs_count() == 2
        assert instance.get_latest_materialization_event(dg.AssetKey(["global", "products"]))
    assert not list(folder.rglob("*.db"))


def test_no_event_and_no_file_of_the_instance_holds_a_secret(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = runs.emulated.env
    password = urlsplit(env["MCAI_EMULATED_POSTGRES_URL"]).password
    assert password
    secrets = [env["MCAI_EMULATED_SECRET"], env["MCAI_EMULATED_AZURE_KEY"], password]
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    home = Path(env["MCAI_HOME"])
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        runs_made = instance.get_runs()
        events = [e for run in runs_made for e in instance.all_logs(run.run_id)]
        texts = [*map(dg.serialize_value, runs_made), *map(dg.serialize_value, events)]
    texts += [file.read_bytes().decode("latin-1") for file in home.rglob("*") if file.is_file()]
    assert len(events) > 100
    assert any("s3://lake-aws/" in text for text in texts)  # what is no secret is found
    assert not [text for text in texts for secret in secrets if secret in text]
