"""``mcai replicate`` and ``mcai table mirror``."""

from __future__ import annotations

import os
from pathlib import Path

import polars as pl
import pytest

from mcai_pipelines.cli.replicate import Meter
from mcai_pipelines.lakehouse.lake import Lake
from mcai_pipelines.lakehouse.transfer import Progress
from tests.cli.conftest import SALES, Mcai

SITE = "gcp-asia-southeast1"
REPLICA = "gcp_asia_southeast1/sales"


def test_a_table_is_copied_to_another_site(mcai: Mcai, shop: Lake) -> None:
    done = mcai("replicate", SALES, "--to", SITE, "--json")

    assert done.code == 0, done.err
    answer = done.json
    table = shop.table(REPLICA)
    assert table.scan().collect().equals(shop.table(SALES).scan().collect())
    assert answer.pop("seconds") > 0
    assert answer.pop("mb_per_second") > 0
    assert answer == {
        "key": SALES,
        "replica": REPLICA,
        "site": SITE,
        "formats": ["iceberg"],
        "uri": table.storage.uri,
        "source_version": 2,
        "version": table.head().version,
        "unchanged": False,
        "files_copied": 1,
        "bytes_copied": shop.table(SALES).info().bytes,
        "files_reused": 0,
        "bytes_reused": 0,
        "files_removed": 0,
        "files_repaired": 0,
    }
    assert shop.record(REPLICA).replica_of == SALES


def test_a_second_time_there_is_nothing_to_do(mcai: Mcai, shop: Lake) -> None:
    first = mcai("replicate", SALES, "--to", SITE)
    assert f"{REPLICA} at {SITE} shows version 2 of {SALES}: 1 files copied" in first.err
    again = mcai("replicate", SALES, "--to", SITE, "--verify")
    assert again.err.strip() == f"{REPLICA} at {SITE} shows version 2 of {SALES} already."
    assert again.out == ""


def test_a_damaged_replica_is_repaired(mcai: Mcai, shop: Lake) -> None:
    mcai("replicate", SALES, "--to", SITE)
    table = shop.table(REPLICA)
    [path] = table.head().files
    Path(table.storage.uri, path).write_bytes(b"damaged")
    done = mcai("replicate", SALES, "--to", SITE, "--verify")
    assert "already; 1 damaged files repaired." in done.err
    assert table.scan().collect().height == 3


def test_key_format_and_mirror_may_be_chosen(mcai: Mcai, shop: Lake) -> None:
    options = ["--as", "copies/sales", "--format", "delta", "--mirror", "iceberg"]
    done = mcai("replicate", SALES, "--to", SITE, *options, "--json")
    assert done.json["formats"] == ["delta", "iceberg"]
    assert done.json["replica"] == "copies/sales"
    assert mcai("replicate", SALES, "--to", SITE, "--as", "copies/sales", "--json").json[
        "unchanged"
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shop/sale", "--to", SITE], "did you mean shop/sales"),
        ([SALES, "--to", "mars"], "there is no site 'mars'"),
        ([SALES, "--to", SITE, "--as", SALES], "a table cannot be a replica of itself"),
        ([SALES, "--to", SITE, "--as", "shop/other"], "shop/other is a table of its own, not of"),
        ([REPLICA, "--to", SITE, "--as", "x/y", "--format", "delta"], "would now be delta"),
        ([SALES, "--to", "private-frankfurt", "--as", REPLICA], f"it is kept at {SITE}"),
    ],
)
def test_what_cannot_be_meant(mcai: Mcai, shop: Lake, arguments: list[str], message: str) -> None:
    mcai("replicate", SALES, "--to", SITE)
    mcai("replicate", REPLICA, "--to", SITE, "--as", "x/y")
    other = shop.declare(("shop", "other"), SITE, None)
    other.write(pl.DataFrame({"x": [1]}))
    shop.register(other, SITE, None)

    done = mcai("replicate", *arguments)

    assert done.code == 2
    assert message in done.err
    assert other.scan().collect()["x"].to_list() == [1]


def test_a_replica_is_not_rolled_back(mcai: Mcai, shop: Lake) -> None:
    mcai("replicate", SALES, "--to", SITE)
    shop.table(SALES).rollback(0)
    first = mcai("table", "history", REPLICA, "--json").json[0]["version"]
    mcai("replicate", SALES, "--to", SITE)
    done = mcai("table", "rollback", REPLICA, "--to", str(first), "--yes")
    assert done.code == 1
    assert f"is a replica of {SALES}: write that one, and replicate it again" in done.err


def test_progress_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with Meter("a → b", quiet=False) as meter:
        meter.show(Progress(4, 4_000_000, 1, 1_000_000))
        meter.SECONDS = 0.0
        meter.show(Progress(4, 4_000_000, 2, 2_000_000))
    assert capfd.readouterr().err == "a → b: 2/4 files, 2.0 MB of 4.0 MB\n"


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = os.openpty()
    with os.fdopen(theirs, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr("sys.stderr", terminal)
        with Meter("a → b", quiet=True) as meter:
            meter.show(Progress(4, 4_000_000, 2, 2_000_000))
            meter._bar.refresh()
            shown = ""
            while "2.0/4.0 MB" not in shown:  # what was drawn before may come first
                shown += os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert "2/4 files" in shown
    assert "2.0/4.0 MB" in shown


# ---------------------------------------------------------------- mirror

STOCK = "shop/stock"


@pytest.fixture
def stock(shop: Lake) -> Lake:
    """The lake with a second table, in Iceberg."""
    write_stock(shop, 1)
    return shop


def write_stock(lake: Lake, number: int) -> None:
    """As an asset does."""
    table = lake.declare(("shop", "stock"), SITE, None)
    table.write(pl.DataFrame({"n": [number]}), "overwrite")
    lake.register(table, SITE, None)


def test_an_existing_table_is_mirrored_from_then_on(mcai: Mcai, stock: Lake) -> None:
    done = mcai("table", "mirror", STOCK, "--json")

    assert done.code == 0, done.err
    answer = done.json
    assert answer.pop("seconds") > 0
    table = stock.table(STOCK)
    assert answer == {
        "key": STOCK,
        "formats": ["iceberg", "delta"],
        "uri": table.storage.uri,
        "version": 0,
        "metadata_location": table.info().metadata_location,
    }
    assert pl.read_delta(table.storage.uri)["n"].to_list() == [1]
    write_stock(stock, 2)
    assert pl.read_delta(table.storage.uri)["n"].to_list() == [2]
    assert mcai("table", "show", STOCK, "--json").json["formats"] == ["iceberg", "delta"]


def test_mirroring_says_what_it_did(mcai: Mcai, stock: Lake) -> None:
    done = mcai("table", "mirror", STOCK, "--format", "delta")
    assert f"{STOCK} is published as iceberg and delta: 1 files, " in done.err


def test_a_table_is_no_mirror_of_itself(mcai: Mcai, shop: Lake) -> None:
    done = mcai("table", "mirror", SALES, "--format", "delta")
    assert done.code == 2
    assert f"table {SALES}: it is kept as delta" in done.err


def test_iceberg_needs_a_catalog(mcai: Mcai, shop: Lake) -> None:
    for arguments in (
        ["table", "mirror", SALES],
        ["replicate", SALES, "--to", "private-frankfurt", "--mirror", "iceberg"],
    ):
        done = mcai(*arguments)
        assert done.code == 2
        assert "an Iceberg table needs a catalog, and the site has none" in done.err
    assert [record.key for record in shop.records()] == [SALES]
