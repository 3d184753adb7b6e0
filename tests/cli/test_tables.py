"""``mcai table list | show | history | rollback``."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path

import polars as pl
import pytest
from pyiceberg.table import StaticTable

from mcai_pipelines.lakehouse.lake import Lake
from tests.cli.conftest import SALES, Mcai


def test_a_new_home_has_no_tables(mcai: Mcai, home: Path) -> None:
    done = mcai("table", "list")

    assert done.code == 0
    assert done.out == ""
    assert "No table has been written in the namespace local yet" in done.err


def test_list(mcai: Mcai, shop: Lake) -> None:
    (row,) = mcai("table", "list", "--json").json

    info = shop.table(SALES).info()
    assert row == {
        "key": SALES,
        "site": "azure-westeurope",
        "format": "delta",
        "formats": ["delta"],
        "version": 2,
        "rows": 3,
        "files": 1,
        "bytes": info.bytes,
        "updated": info.committed_at.isoformat(),
        "error": None,
    }
    shown = mcai("table", "list").out.splitlines()
    assert " ".join(shown[0].split()) == "key site format version rows files size updated"
    assert shown[1].split()[:6] == [SALES, "azure-westeurope", "delta", "2", "3", "1"]


def test_list_shows_a_broken_table_beside_the_others(mcai: Mcai, shop: Lake) -> None:
    table = shop.declare(("shop", "lost"), "azure-westeurope", None)
    table.write(pl.DataFrame({"x": [1]}), "overwrite")
    shop.register(table, "azure-westeurope", None)
    shutil.rmtree(table.storage.uri)

    done = mcai("table", "list", "--json")

    assert done.code == 1
    lost, sales = done.json
    assert "shop/lost has not been written" in lost["error"]
    assert "shop/lost has not been written" in done.err
    assert (lost["rows"], sales["rows"]) == (None, 3)


def test_show_has_exactly_the_keys_that_scripts_rely_on(mcai: Mcai, shop: Lake) -> None:
    shown = mcai("table", "show", SALES, "--json").json

    table = shop.table(SALES)
    assert shown == {
        "key": SALES,
        "site": "azure-westeurope",
        "format": "delta",
        "formats": ["delta"],
        "uri": table.storage.uri,
        "metadata_location": None,
        "version": 2,
        "rows": 3,
        "files": 1,
        "bytes": table.info().bytes,
        "partitions": 0,
        "schema": [
            {"name": "store", "type": "long", "required": False},
            {"name": "sales", "type": "double", "required": False},
        ],
    }
    assert pl.scan_delta(shown["uri"]).collect().height == 3


def test_show_names_the_metadata_of_an_iceberg_table(mcai: Mcai, home: Path) -> None:
    lake = Lake.open()
    contract = lake.contracts.get("retail/promotions")
    table = lake.declare(("shop", "promotions"), "aws-us-east-1", contract)
    day = dt.date(2017, 1, 2)
    row = {"product_id": 1, "store_id": 2, "week": day, "display_location": "9"}
    table.write(pl.DataFrame({**row, "mailer_location": "0"}), "overwrite")
    lake.register(table, "aws-us-east-1", "retail/promotions")

    shown = mcai("table", "show", "shop/promotions", "--json").json
    text = mcai("table", "show", "shop/promotions").out

    assert shown["formats"] == ["iceberg", "delta"]
    opened = StaticTable.from_metadata(shown["metadata_location"])
    snapshot = opened.current_snapshot()
    assert snapshot is not None
    assert snapshot.snapshot_id == shown["version"]
    for said in ("retail/promotions", "team:retail-data", "iceberg + delta", "product_id"):
        assert said in text


@pytest.mark.parametrize("verb", ["show", "history", "read"])
def test_an_unknown_key(mcai: Mcai, shop: Lake, verb: str) -> None:
    done = mcai("table", verb, "shop/salez", "--json")

    assert done.code == 2
    assert done.out == ""
    assert done.err == (
        "KEY: no table 'shop/salez' has been written in the namespace local;"
        " did you mean shop/sales?\n"
    )


def test_history_is_newest_first(mcai: Mcai, shop: Lake) -> None:
    rows = mcai("table", "history", SALES, "--json").json

    assert [(row["version"], row["rows"], row["run"]) for row in rows] == [
        (2, 3, "run-3"),
        (1, 2, "run-2"),
        (0, 1, "run-1"),
    ]
    assert set(rows[0]) == {
        "version", "committed_at", "operation", "rows", "files", "run", "inputs",
    }  # fmt: skip

    limited = mcai("table", "history", SALES, "--limit", "1")
    assert len(limited.out.splitlines()) == 2
    assert "2 older versions: --limit 3" in limited.err


def test_rollback_makes_old_rows_visible_as_a_new_version(mcai: Mcai, shop: Lake) -> None:
    done = mcai("table", "rollback", SALES, "--to", "0", "--yes", "--json")

    assert done.code == 0
    assert done.json == {
        "key": SALES, "version": 3, "restored": 0, "undone": 2, "rows": 1, "files": 1,
    }  # fmt: skip
    assert shop.table(SALES).scan().collect().height == 1
    newest = mcai("table", "history", SALES, "--json").json[0]
    assert newest["operation"] == "rollback to 0"


def test_rollback_without_a_terminal_does_not_ask(mcai: Mcai, shop: Lake) -> None:
    done = mcai("table", "rollback", SALES, "--to", "1")

    assert done.code == 0
    assert "shop/sales shows version 1 again (2 rows), as version 3." in done.err


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("9", "--to: the table shop/sales has no version 9; see mcai table history shop/sales"),
        ("2", "--to: 2 is the current version of shop/sales; name an earlier one"),
    ],
)
def test_rollback_to_a_version_that_makes_no_sense(
    mcai: Mcai, shop: Lake, version: str, said: str
) -> None:
    done = mcai("table", "rollback", SALES, "--to", version, "--yes")

    assert done.code == 2
    assert done.err.strip() == said
    assert shop.table(SALES).head().version == 2
