"""The tables of all sites and weeks, computed once."""

from collections.abc import Mapping
from datetime import date

import polars as pl
import pytest

from assets.retail import reference, regions, sales, source
from assets.retail.households import known_households
from assets.retail.purchases import site_transactions
from assets.retail.weeks import LAST_WEEK, week_start, weeks_through


@pytest.fixture(scope="session")
def weeks() -> list[date]:
    return weeks_through(week_start(LAST_WEEK))


@pytest.fixture(scope="session")
def purchases(weeks: list[date]) -> Mapping[str, pl.LazyFrame]:
    return {
        site: site_transactions(source.transactions(), regions.stores_of_site(site), weeks)
        .collect()
        .lazy()
        for site in regions.SITES
    }


@pytest.fixture(scope="session")
def households(
    purchases: Mapping[str, pl.LazyFrame], weeks: list[date]
) -> Mapping[str, pl.LazyFrame]:
    return {
        site: known_households(bought, source.demographics(), weeks).collect().lazy()
        for site, bought in purchases.items()
    }


@pytest.fixture(scope="session")
def weekly_sales(purchases: Mapping[str, pl.LazyFrame]) -> Mapping[str, pl.LazyFrame]:
    products = reference.products(source.products())
    return {
        site: sales.weekly_sales(bought, products).collect().lazy()
        for site, bought in purchases.items()
    }
