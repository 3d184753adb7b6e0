"""``dagster asset materialize``: the plain command line of Dagster, in processes of its own."""

from __future__ import annotations

import subprocess
from typing import Any

import dagster as dg

from tests.e2e.home import Home
from tests.retail import (
    expected_transactions,
    expected_weekly_sales,
    key,
    keys,
    same_rows,
    week_dates,
)

SITE = "azure-westeurope"
TRANSACTIONS = "azure_westeurope/transactions"
SALES = "azure_westeurope/weekly_sales"
PRODUCTS = "azure_westeurope/products"
"""The site's replica of ``global/products``."""


def materialize(home: Home, select: str, *options: str) -> subprocess.CompletedProcess[str]:
    return home.run(
        "dagster",
        *("asset", "materialize", "-m", "mcai_pipelines.definitions"),
        *("--select", select),
        *options,
    )


def metadata(home: Home, table: str, week: str) -> dict[str, Any]:
    """What the last materialization of a week says."""
    with home.instance() as instance:
        (record,) = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(table.split("/")), asset_partitions=[week]),
            limit=1,
        ).records
    assert record.asset_materialization is not None
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def warnings(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What it warns of, except that Dagster would rather have ``dg launch`` used."""
    lines = done.stderr.splitlines()
    return [line for line in lines if "Warning" in line and "SupersessionWarning" not in line]


def test_a_week_of_transactions_and_then_its_sales(home: Home) -> None:
    ingested = materialize(home, TRANSACTIONS, "--partition", key(2))
    assert ingested.returncode == 0, ingested.stderr
    derived = materialize(home, f"global/products,{PRODUCTS},{SALES}", "--partition", key(2))
    assert derived.returncode == 0, derived.stderr

    transactions, sales = home.lake.table(TRANSACTIONS), home.lake.table(SALES)
    assert same_rows(transactions.scan(), expected_transactions(SITE, week_dates(2, 2)))
    assert same_rows(sales.scan(), expected_weekly_sales(SITE, week_dates(2, 2)))

    said = metadata(home, SALES, key(2))
    rows = expected_weekly_sales(SITE, week_dates(2, 2)).collect().height
    products = home.lake.table(PRODUCTS)
    assert said["dagster/row_count"] == said["dagster/partition_row_count"] == rows
    assert said["dagster/uri"] == sales.storage.uri
    assert said["mcai/version"] == str(sales.head().version)
    assert said["mcai/input_versions"] == {
        TRANSACTIONS: str(transactions.head().version),
        PRODUCTS: str(products.head().version),
    }


def test_a_range_of_weeks_is_one_commit(home: Home) -> None:
    done = materialize(home, TRANSACTIONS, "--partition-range", f"{key(2)}...{key(5)}")
    assert done.returncode == 0, done.stderr
    assert warnings(done) == []

    table = home.lake.table(TRANSACTIONS)
    assert len(table.history()) == 1
    assert same_rows(table.scan(), expected_transactions(SITE, week_dates(2, 5)))
    per_week = [metadata(home, TRANSACTIONS, week) for week in keys(2, 5)]
    assert sum(said["dagster/partition_row_count"] for said in per_week) == table.info().rows
    assert {said["dagster/row_count"] for said in per_week} == {table.info().rows}


def test_a_failure_is_an_exit_code_and_says_what_to_do(home: Home) -> None:
    done = materialize(home, SALES, "--partition", key(2))

    assert done.returncode == 1
    assert "has not been written in namespace local; materialize it first" in done.stderr
