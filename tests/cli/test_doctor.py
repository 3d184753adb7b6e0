"""``mcai doctor``: what is in force and what is wrong, without making anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from mcai_pipelines.cli.instance import ensure_instance, open_instance
from mcai_pipelines.config import load_platform
from mcai_pipelines.lakehouse.lake import Lake
from tests.cli.conftest import Done, Mcai


def contents(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*"))


def problems(done: Done) -> list[str]:
    return [f"{p['where']}: {p['what']}" for p in done.json["problems"]]


def test_a_home_that_does_not_exist_is_not_wrong_and_not_made(mcai: Mcai, home: Path) -> None:
    done = mcai("doctor", "--json")

    assert done.code == 0, done.err
    facts = done.json["facts"]
    assert facts["project"]["MCAI_HOME"] == f"{home} (MCAI_HOME, not created yet)"
    assert facts["state"]["revision"] == "not created yet"
    assert facts["dagster"]["instance"] == f"{home}/dagster (MCAI_HOME/dagster)"
    assert facts["platform"]["namespace"] == "local"
    assert facts["versions"]["dagster"].startswith("1.")
    assert not home.exists()


def test_a_home_in_use(mcai: Mcai, shop: Lake, home: Path) -> None:
    contract = shop.contracts.get("retail/coupons")
    table = shop.declare(("global", "coupons"), "aws-us-east-1", contract)
    import polars as pl

    table.write(pl.DataFrame({"coupon_upc": [1], "product_id": [2], "campaign_id": [3]}))
    shop.state.set_arrived_through("local", "retail", 7)
    shop.state.close()
    with open_instance(ensure_instance(shop.platform)):
        before = contents(home)

        done = mcai("doctor", "--json")

    facts = done.json["facts"]
    assert done.code == 0, done.err
    assert facts["state"]["arrived"] == "through week 7"
    assert facts["site aws-us-east-1"]["catalog"].endswith("aws-us-east-1.db (1 tables)")
    assert "free)" in facts["site azure-westeurope"]["storage"]
    assert facts["dagster"]["run coordinator"] == "QueuedRunCoordinator"
    assert facts["dagster"]["run launcher"] == "DefaultRunLauncher"
    assert facts["daemons"] == {"running": "none"}
    assert [p for p in contents(home) if p.suffix not in (".db-wal", ".db-shm")] == [
        p for p in before if p.suffix not in (".db-wal", ".db-shm")
    ]


def test_people_read_the_same(mcai: Mcai, home: Path) -> None:
    done = mcai("doctor")

    assert "site azure-westeurope" in done.out
    assert "default, MCAI_PLATFORM is not set" in done.out


def test_plain_dagster_commands_would_use_another_instance(mcai: Mcai, home: Path) -> None:
    (note,) = mcai("doctor", "--json").json["notes"]

    assert note.endswith(f"export DAGSTER_HOME={home}/dagster")


def test_a_dagster_home_that_is_wrong(
    mcai: Mcai, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "not/absolute")
    relative = mcai("doctor", "--json")
    monkeypatch.setenv("DAGSTER_HOME", f"{home}/nowhere")
    absent = mcai("doctor", "--json")

    assert (relative.code, absent.code) == (1, 1)
    assert problems(relative) == ["DAGSTER_HOME: not/absolute is not an absolute path"]
    assert problems(absent) == [f"DAGSTER_HOME: {home}/nowhere is no folder"]


def test_a_dagster_yaml_that_is_wrong(
    mcai: Mcai, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    monkeypatch.setenv("DAGSTER_HOME", str(own))
    own.mkdir()
    for name in ("history/runs", "schedules"):
        (own / name).mkdir(parents=True)
    for name in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
        (own / name).touch()

    (own / "dagster.yaml").write_text("telemetry: [1\n")
    broken = mcai("doctor", "--json")
    (own / "dagster.yaml").write_text("telemetrie: {enabled: false}\n")
    unknown = mcai("doctor", "--json")

    assert (broken.code, unknown.code) == (1, 1)
    assert problems(broken)[0].startswith(f"{own}/dagster.yaml: ")
    assert "Errors whilst loading dagster instance config" in problems(unknown)[0]


def test_a_state_database_that_is_none(mcai: Mcai, home: Path) -> None:
    home.mkdir()
    (home / "state.db").write_text("not a database, but long enough to be taken for one" * 40)

    done = mcai("doctor", "--json")

    assert done.code == 1
    assert "platforms/local.yaml:" in problems(done)[0]
    assert "file is not a database" in problems(done)[0]


def test_a_state_database_of_a_newer_release(mcai: Mcai, shop: Lake) -> None:
    import sqlite3

    path = shop.platform.state.url.resolve().removeprefix("sqlite:///")
    shop.state.close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE mcai_alembic_version SET version_num = '9999'")
    database.close()

    done = mcai("doctor", "--json")

    assert done.code == 1
    assert "it is at revision 9999" in problems(done)[0]


def test_a_file_where_a_site_should_be(mcai: Mcai, home: Path) -> None:
    (home / "sites").mkdir(parents=True)
    (home / "sites" / "private-frankfurt").touch()

    done = mcai("doctor", "--json")

    assert done.code == 1
    assert problems(done) == [
        f"platforms/local.yaml:48: {home}/sites/private-frankfurt is not a folder"
    ]


def test_variables_that_are_not_set(mcai: Mcai, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAI_PLATFORM", "cloud.example")

    done = mcai("doctor", "--json")

    assert done.code == 1
    assert any("STATE_DB is not set" in problem for problem in problems(done))
    assert done.json["facts"]["platform"]["file"].endswith("(MCAI_PLATFORM=cloud.example)")


def test_no_password_is_shown(mcai: Mcai, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = Path(load_platform().name + ".yaml")
    platform = (Path("platforms") / text).read_text()
    file = tmp_path / "secret.yaml"
    file.write_text(platform.replace("sqlite:///${MCAI_HOME}/state.db", "${STATE_DB}"))
    monkeypatch.setenv("MCAI_PLATFORM", str(file))
    monkeypatch.setenv("STATE_DB", "postgresql://me:s3cret@127.0.0.1:1/mcai?connect_timeout=1")

    done = mcai("doctor")

    assert done.code == 1
    assert "postgresql://me:***@127.0.0.1:1/mcai" in done.out
    assert "s3cret" not in done.out + done.err
