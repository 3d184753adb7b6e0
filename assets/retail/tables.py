"""The tables of one site: transactions, households and weekly sales of the stores it holds."""

from collections.abc import Sequence

import dagster as dg
import polars as pl

from assets.retail import regions, sales, source
from assets.retail.households import known_households
from assets.retail.partitions import WEEKS
from assets.retail.purchases import site_transactions
from assets.retail.replicas import products_key
from assets.retail.upstream import STORE_REGION_KEY, source_key
from assets.retail.weeks import weeks_through
from mcai_pipelines.authoring import TableContext, keep_current, table


def site_tables(site: str) -> Sequence[dg.AssetsDefinition]:
    """The three weekly tables of the site, each partition a week of WEEKS."""

    @table(
        "retail/transactions",
        site=site,
        partitions=WEEKS,
        deps=[source_key("transactions"), STORE_REGION_KEY],
    )
    def transactions(context: TableContext) -> pl.LazyFrame:
        """Lines of the receipts of the site's stores, one row per product and basket."""
        return site_transactions(
            source.transactions(), regions.stores_of_site(site), context.partition_values
        )

    @table(
        "retail/households",
        site=site,
        partitions=WEEKS,
        deps=[source_key("transactions"), source_key("demographics"), STORE_REGION_KEY],
    )
    def households(context: TableContext) -> pl.LazyFrame:
        """Households that had bought at the site by the end of each week, with demographics."""
        weeks = context.partition_values
        purchases = site_transactions(
            source.transactions(), regions.stores_of_site(site), weeks_through(max(weeks))
        )
        return known_households(purchases, source.demographics(), weeks)

    @table(
        "retail/weekly_sales",
        site=site,
        partitions=WEEKS,
        ins={"products": products_key(site)},
        automation_condition=keep_current(),
    )
    def weekly_sales(transactions: pl.LazyFrame, products: pl.LazyFrame) -> pl.LazyFrame:
        """Sales per store, product category and week, at the site that owns the stores."""
        return sales.weekly_sales(transactions, products)

    return [transactions, households, weekly_sales]
