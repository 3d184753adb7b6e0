"""The definitions load lean, quiet and complete, in a process of their own."""

from __future__ import annotations

import json

import pytest

from tests.e2e.home import Home
from tests.retail import SITES

HEAVY = {
    "alembic",
    "deltalake",
    "evidently",
    "great_expectations",
    "mlflow",
    "numpy",
    "pandas",
    "pyarrow",
    "pyiceberg",
    "sqlalchemy",
}
"""Imported in the steps that need them: each costs every process that loads definitions time."""

PROGRAM = """
import json, sys
from mcai_pipelines.definitions import defs
repository = defs.get_repository_def()
graph = repository.asset_graph
print(json.dumps({
    "tables": sorted(key.to_user_string() for key in graph.materializable_asset_keys),
    "sources": sorted(key.to_user_string() for key in graph.external_asset_keys),
    "automations": sorted(
        [sensor.name for sensor in repository.sensor_defs]
        + [schedule.name for schedule in repository.schedule_defs]
    ),
    "modules": sorted(sys.modules),
}))
"""

Loaded = dict[str, list[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("definitions"))


@pytest.fixture(scope="module")
def loaded(home: Home) -> Loaded:
    done = home.run("python", "-W", "error::FutureWarning", "-c", PROGRAM)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: Loaded = json.loads(done.stdout)
    return found


def test_loading_imports_nothing_that_only_steps_need(loaded: Loaded) -> None:
    assert HEAVY & set(loaded["modules"]) == set()
    assert "polars" in loaded["modules"], "or this test looks at the wrong process"


def test_loading_creates_nothing(home: Home, loaded: Loaded) -> None:
    assert loaded
    assert [path.name for path in home.root.iterdir()] == ["dagster"]


def test_the_graph_is_complete(loaded: Loaded) -> None:
    per_site = [f"{s}/{t}" for s in SITES for t in ("households", "transactions", "weekly_sales")]
    reference = ["campaigns", "coupons", "products", "promotions", "weekly_sales"]
    replicas = [f"{site}/products" for site in SITES[1:]]
    of_everybody = [f"global/{name}" for name in reference]
    upkeep = ["maintenance/compaction", "maintenance/expiry"]
    assert loaded["tables"] == sorted([*per_site, *replicas, *of_everybody, *upkeep])
    assert len(loaded["sources"]) == 9
    assert loaded["automations"] == [
        "keep_tables_current",
        "retail_arrivals",
        "retail_weekly",
        "weekly_maintenance",
    ]


def test_dagster_validates_them(home: Home) -> None:
    done = home.run("dagster", "definitions", "validate", "-m", "mcai_pipelines.definitions")

    assert done.returncode == 0, done.stderr
    assert "All code locations passed validation." in done.stdout + done.stderr
