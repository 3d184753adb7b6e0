"""``mcai table read``: rows on the screen, as JSON, and in files."""

from __future__ import annotations

import datetime as dt
import decimal
from pathlib import Path

import polars as pl
import pytest

from mcai_pipelines.lakehouse.lake import Lake
from tests.cli.conftest import SALES, Mcai

ODD = "shop/odd"


@pytest.fixture
def odd(shop: Lake) -> Lake:
    """A second table: values that JSON has no words for, and more rows than a screen shows."""
    table = shop.declare(("shop", "odd"), "aws-us-east-1", None)
    frame = pl.DataFrame(
        {
            "day": [dt.date(2017, 1, 2) + dt.timedelta(days=n) for n in range(30)],
            "at": [dt.datetime(2017, 1, 2, n % 24, tzinfo=dt.UTC) for n in range(30)],
            "price": [decimal.Decimal("1.50")] * 30,
            "ratio": [float("nan"), 0.25] * 15,
            "code": [b"\x00\xff"] * 30,
            "name": ["ä", None] * 15,
            "big": [2**62] * 30,
        }
    )
    table.write(frame, "overwrite")
    shop.register(table, "aws-us-east-1", None)
    return shop


def test_rows_as_json(mcai: Mcai, odd: Lake) -> None:
    rows = mcai("table", "read", ODD, "--limit", "2", "--json").json

    assert rows == [
        {
            "day": "2017-01-02",
            "at": "2017-01-02T00:00:00+00:00",
            "price": "1.50",
            "ratio": None,
            "code": "00ff",
            "name": "ä",
            "big": 2**62,
        },
        {
            "day": "2017-01-03",
            "at": "2017-01-02T01:00:00+00:00",
            "price": "1.50",
            "ratio": 0.25,
            "code": "00ff",
            "name": None,
            "big": 2**62,
        },
    ]


def test_twenty_rows_unless_asked_for_more(mcai: Mcai, odd: Lake) -> None:
    done = mcai("table", "read", ODD)

    assert len(done.out.splitlines()) == 21  # and the heading
    assert "There are more rows than these 20" in done.err
    assert len(mcai("table", "read", ODD, "--limit", "99", "--json").json) == 30


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("day = '2017-01-04'", 1),
        ("day >= DATE '2017-01-30'", 2),
        ("at < '2017-01-02 01:00:00'", 2),
        ("name IS NULL AND day < '2017-01-10'", 4),
        ("name = 'ä' -- and nothing else", 15),
        ("big = 1", 0),
    ],
)
def test_where_is_sql(mcai: Mcai, odd: Lake, where: str, rows: int) -> None:
    done = mcai("table", "read", ODD, "--where", where, "--limit", "99", "--json")

    assert len(done.json) == rows


def test_columns_come_in_the_order_asked_for(mcai: Mcai, odd: Lake) -> None:
    (row,) = mcai(
        "table", "read", ODD, "--columns", "name, day", "--where", "big > 0", "--limit", "1",
        "--json",
    ).json  # fmt: skip

    assert list(row.items()) == [("name", "ä"), ("day", "2017-01-02")]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--columns", "dya"], "--columns: the table has no column 'dya'; did you mean day?"),
        (["--columns", " , "], "--columns: no column is named"),
        (["--where", "nam = 'ä'"], "--where: the table has no column 'nam'; did you mean name?"),
        (["--where", "day ="], "--where: unable to parse 'day ='"),
        (["--where", "1 = 1; DROP TABLE x"], "--where: "),
        (["--where", "name > 1"], "--where: cannot compare string with numeric type"),
        (["--where", "big"], "--where: filter predicate must be of type `Boolean`"),
        (["--where", "1=1) UNION SELECT * FROM self WHERE (1=1"], "--where: "),
        (["--version", "7"], "--version: the table shop/odd has no version 7"),
        (["--as-of", "yesterday"], "--as-of: 'yesterday' is not a time; write 2026-01-31T12:00"),
        (["--as-of", "2001-01-01"], "--as-of: table shop/odd had no version at 2001-01-01"),
        (["--as-of", "2001-01-01", "--version", "1"], "--as-of: --version is given too"),
        (["--format", "delta"], "--format: the table shop/odd is not kept as 'delta'"),
        (["--output", "rows.xlsx"], "--output: rows.xlsx is neither .parquet nor .csv"),
        (["--output", "no/such/rows.csv"], "--output: there is no folder no/such; create it"),
    ],
)
def test_what_does_not_fit_the_table(mcai: Mcai, odd: Lake, options: list[str], said: str) -> None:
    done = mcai("table", "read", ODD, *options, "--json")

    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith(said)


def test_time_travel_by_version_and_by_time(mcai: Mcai, shop: Lake) -> None:
    newest, middle, _ = shop.table(SALES).history()

    by_version = mcai("table", "read", SALES, "--version", "0", "--json").json
    before = middle.committed_at.isoformat()
    now = newest.committed_at.isoformat()

    assert by_version == [{"store": 0, "sales": 0.5}]
    assert len(mcai("table", "read", SALES, "--as-of", before, "--json").json) == 2
    assert len(mcai("table", "read", SALES, "--as-of", now, "--json").json) == 3


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_all_rows_into_a_file(mcai: Mcai, shop: Lake, tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"sales.{suffix}"
    file.write_text("what was there before")

    done = mcai("table", "read", SALES, "--where", "store > 0", "--output", str(file), "--json")

    assert done.json == {"file": str(file), "rows": 2, "bytes": file.stat().st_size}
    read = pl.read_parquet if suffix == "parquet" else pl.read_csv
    assert read(file).sort("store").rows() == [(1, 1.5), (2, 2.5)]
    assert [path.name for path in tmp_path.iterdir() if "part" in path.name] == []


def test_the_mirror_is_read_as_the_other_format(mcai: Mcai, home: Path) -> None:
    lake = Lake.open()
    contract = lake.contracts.get("retail/promotions")
    table = lake.declare(("shop", "promotions"), "aws-us-east-1", contract)
    row = {"product_id": 1, "store_id": 2, "week": dt.date(2017, 1, 2), "display_location": "9"}
    table.write(pl.DataFrame({**row, "mailer_location": "0"}), "overwrite")
    lake.register(table, "aws-us-east-1", "retail/promotions")

    read = ["table", "read", "shop/promotions", "--json", "--format"]

    assert mcai(*read, "delta").json == mcai(*read, "iceberg").json
    assert len(mcai(*read, "delta").json) == 1
