"""Transactions of one site: the lines of its stores' receipts."""

from collections.abc import Sequence
from datetime import date

import polars as pl

from assets.retail.weeks import week_number, week_of_number


def site_transactions(
    transactions: pl.LazyFrame, stores: pl.LazyFrame, weeks: Sequence[date]
) -> pl.LazyFrame:
    """Purchases in the given stores and weeks, one row per product and basket.

    Args:
        transactions: As in ``source.transactions``.
        stores: The stores of the site: store_id.
        weeks: The Mondays of the weeks to take.

    Returns:
        Ids and quantity as Int64, week as Date (its Monday), transaction_timestamp as an instant
        (Datetime, microseconds, UTC), sales_value and the three discounts as Float64 in USD.
        Discounts are positive amounts.
    """
    numbers = [week_number(week) for week in weeks]
    return (
        transactions.filter(pl.col("week").is_in(numbers))
        .join(stores, on="store_id", how="semi")
        .select(
            "store_id",
            week_of_number(pl.col("week")),
            "household_id",
            "basket_id",
            "product_id",
            pl.col("transaction_timestamp").dt.cast_time_unit("us").dt.replace_time_zone("UTC"),
            "quantity",
            "sales_value",
            "retail_disc",
            "coupon_disc",
            "coupon_match_disc",
        )
    )
