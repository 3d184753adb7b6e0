"""``mcai table compact``, in short ``mcai compact``."""

from __future__ import annotations

import polars as pl
import pytest

from mcai_pipelines.cli.compact import parse_size
from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse.lake import Lake
from tests.cli.conftest import SALES, Mcai


@pytest.fixture
def shop_of_small_files(shop: Lake) -> Lake:
    for number in range(4):
        shop.table(SALES).write(pl.DataFrame({"store": [number], "sales": [0.5]}))
    return shop


def test_small_files_become_one(mcai: Mcai, shop_of_small_files: Lake) -> None:
    table = shop_of_small_files.table(SALES)
    before = table.scan().collect()

    done = mcai("table", "compact", SALES)

    assert done.code == 0
    heading, rewritten, written = done.out.splitlines()
    assert heading.split() == [SALES, "files", "size"]
    assert rewritten.split()[:2] == ["rewritten", "5"]
    assert written.split()[:2] == ["as", "1"]
    assert "7 rows in 1 partition," in done.err
    assert table.info().files == 1
    assert table.scan().collect().sort("store", "sales").equals(before.sort("store", "sales"))


def test_json(mcai: Mcai, shop_of_small_files: Lake) -> None:
    answer = mcai("compact", SALES, "--sort", "store", "--json").json

    assert answer["key"] == SALES
    assert (answer["files_before"], answer["files_after"], answer["rows"]) == (5, 1, 7)
    assert answer["version"] == shop_of_small_files.table(SALES).info().version
    assert shop_of_small_files.table(SALES).scan().collect()["store"].is_sorted()


def test_a_dry_run_changes_nothing(mcai: Mcai, shop_of_small_files: Lake) -> None:
    done = mcai("table", "compact", SALES, "--dry-run")

    assert done.out.splitlines()[1].split()[:3] == ["to", "rewrite", "5"]
    assert "a dry run, nothing was changed" in done.err
    assert shop_of_small_files.table(SALES).info().files == 5


def test_nothing_to_do(mcai: Mcai, shop: Lake) -> None:
    done = mcai("table", "compact", SALES)

    assert done.code == 0
    assert done.out == ""
    assert f"{SALES}: nothing to compact in 1 files." in done.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shop/sale"], "did you mean"),
        ([SALES, "--target-size", "big"], "'big' is no size"),
        ([SALES, "--sort", "shop"], "cannot be sorted by 'shop'"),
    ],
)
def test_mistakes(mcai: Mcai, shop: Lake, arguments: list[str], message: str) -> None:
    done = mcai("table", "compact", *arguments)

    assert done.code == 2
    assert message in done.err


@pytest.mark.parametrize(
    ("text", "count"),
    [("256MB", 256_000_000), ("1.5 kB", 1500), ("2GiB", 2 << 30), ("100", 100), ("7 B", 7)],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_size(text, "--target-size") == count


@pytest.mark.parametrize("text", ["", "0", "-5MB", "5 apples", "MB"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(BadInput, match="is no size"):
        parse_size(text, "--target-size")
