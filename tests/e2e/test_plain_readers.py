"""Every retail table opens in readers that know nothing of us, with the rows of the source.

The tables are those of weeks 2 to 4 at all four sites, and the five global ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import polars as pl
import pytest
from deltalake import DeltaTable
from pyiceberg.table import StaticTable

from assets.retail import reference, regions, sales, source
from tests.e2e.home import Home
from tests.lakehouse.plain_readers import duckdb_connection, read_everywhere
from tests.retail import (
    expected_households,
    expected_transactions,
    expected_weekly_sales,
    same_rows,
    week_dates,
)

WEEKS = week_dates(2, 4)
OF_A_SITE: Mapping[str, Callable[..., pl.LazyFrame]] = {
    "transactions": expected_transactions,
    "households": expected_households,
    "weekly_sales": expected_weekly_sales,
}
GLOBAL: Mapping[str, Callable[[], pl.LazyFrame]] = {
    "products": lambda: reference.products(source.products()),
    "coupons": lambda: reference.coupons(source.coupons()),
    "campaigns": lambda: reference.campaigns(source.campaigns(), source.campaign_descriptions()),
    "weekly_sales": lambda: sales.global_weekly_sales(
        {site: expected_weekly_sales(site, WEEKS) for site in regions.SITES}
    ),
}


def everywhere(home: Home, key: str, expected: pl.LazyFrame, *, formats: set[str]) -> None:
    table = home.lake.table(key)
    assert set(table.formats) == formats
    wanted = expected.collect()
    assert wanted.height > 0
    for reader, frame in read_everywhere(table).items():
        assert set(frame.columns) == set(wanted.columns), reader
        assert same_rows(frame.select(wanted.columns), wanted), reader


@pytest.mark.parametrize("name", OF_A_SITE)
@pytest.mark.parametrize("site", regions.SITES)
def test_the_tables_of_a_site(small_run: Home, site: str, name: str) -> None:
    in_format = small_run.lake.site(site).format
    everywhere(
        small_run,
        f"{site.replace('-', '_')}/{name}",
        OF_A_SITE[name](site, WEEKS),
        formats={in_format},
    )


@pytest.mark.parametrize("name", GLOBAL)
def test_the_global_tables(small_run: Home, name: str) -> None:
    everywhere(small_run, f"global/{name}", GLOBAL[name](), formats={"iceberg"})


PLACES = ("display_location", "mailer_location")


def summary(frame: pl.LazyFrame) -> pl.DataFrame:
    """Counts and sums by place, which a row that was lost, doubled or torn apart would change."""
    product, store = pl.col("product_id"), pl.col("store_id")
    week = pl.col("week").to_physical().cast(pl.Int64)
    return (
        frame.group_by(PLACES)
        .agg(
            rows=pl.len().cast(pl.Int64),
            products=product.sum(),
            weeks=week.sum(),
            pairs=(product * store).sum(),
            stores_in_time=(store * week).sum(),
        )
        .sort(PLACES)
        .collect(engine="streaming")
    )


def summary_by_duckdb(scan: str) -> pl.DataFrame:
    week = "(week - DATE '1970-01-01')"
    found = duckdb_connection().sql(
        f"""SELECT {", ".join(PLACES)}, count(*)::BIGINT AS rows,
            sum(product_id)::BIGINT AS products, sum({week})::BIGINT AS weeks,
            sum(product_id * store_id)::BIGINT AS pairs,
            sum(store_id * {week})::BIGINT AS stores_in_time
        FROM {scan} GROUP BY ALL"""
    )
    return pl.DataFrame(found.to_arrow_table()).sort(PLACES)


def summaries(home: Home) -> Iterator[tuple[str, pl.DataFrame]]:
    """Of the largest table, by reader: one at a time, because some hold all its rows."""
    table = home.lake.table("global/promotions")
    uri, location = table.storage.uri, table.info().metadata_location
    assert location is not None
    yield "delta-rs", summary(pl.DataFrame(DeltaTable(uri).to_pyarrow_table()).lazy())
    iceberg = StaticTable.from_metadata(location)
    yield "PyIceberg", summary(pl.DataFrame(iceberg.scan().to_arrow()).lazy())
    yield "Polars on Delta", summary(pl.scan_delta(uri))
    yield "Polars on Iceberg", summary(pl.scan_iceberg(location))
    yield "DuckDB on Delta", summary_by_duckdb(f"delta_scan('{uri}')")
    yield "DuckDB on Iceberg", summary_by_duckdb(f"iceberg_scan('{location}')")


def test_promotions_in_both_formats(small_run: Home) -> None:
    wanted = summary(reference.promotions(source.promotions()))
    assert wanted.get_column("rows").sum() == 20_940_529

    for reader, found in summaries(small_run):
        assert found.equals(wanted), reader
