"""Weekly sales per product category: at each site per store, and over all sites."""

from collections.abc import Mapping

import polars as pl

UNKNOWN_CATEGORY = "UNKNOWN"
"""Category of products that the product table lacks, or lists without a category."""

_CENTS = 2


def weekly_sales(transactions: pl.LazyFrame, products: pl.LazyFrame) -> pl.LazyFrame:
    """Sales per store, product category and week, at the site that owns the stores.

    Every purchase counts: a product that ``products`` lacks or leaves without a category (0.5 % of
    the lines) is in the category UNKNOWN.

    Args:
        transactions: Purchases of one site.
        products: product_id, product_category.

    Returns:
        store_id (Int64), product_category (String), week (Date), and

        * sales (Float64, USD): what the stores received;
        * units (Int64): the sum of quantities; fuel appears to be in thousandths of a gallon;
        * baskets (Int64): purchase occasions;
        * discount (Float64, USD): loyalty card, coupon and coupon match discounts together;
        * mean_price (Float64, USD per unit): sales / units, null when units is 0.

        Sales and discount are rounded to cents, so that a rerun gives the same numbers in
        whatever order the lines are added up.
    """
    category = pl.col("product_category").fill_null(UNKNOWN_CATEGORY)
    return (
        transactions.join(
            products.select("product_id", "product_category"), on="product_id", how="left"
        )
        .group_by("store_id", category, "week")
        .agg(
            sales=pl.col("sales_value").sum().round(_CENTS),
            units=pl.col("quantity").sum(),
            baskets=pl.col("basket_id").n_unique().cast(pl.Int64),
            discount=pl.sum_horizontal(
                pl.col("retail_disc", "coupon_disc", "coupon_match_disc").sum()
            ).round(_CENTS),
        )
        .with_columns(mean_price=_mean_price())
    )


def global_weekly_sales(sites: Mapping[str, pl.LazyFrame]) -> pl.LazyFrame:
    """Sales per site, product category and week, over all stores of the site.

    Args:
        sites: The ``weekly_sales`` of each site, by the site's name.

    Returns:
        site and product_category (String), week (Date), sales, units, baskets, discount and
        mean_price as in ``weekly_sales``, and stores (Int64): stores that sold the category.
        A basket belongs to one store, so baskets add up; a store has one row per category and
        week, so rows count stores.
    """
    union = pl.concat(
        [frame.with_columns(site=pl.lit(site)) for site, frame in sites.items()], how="vertical"
    )
    return (
        union.group_by("site", "product_category", "week")
        .agg(
            sales=pl.col("sales").sum().round(_CENTS),
            units=pl.col("units").sum(),
            baskets=pl.col("baskets").sum(),
            discount=pl.col("discount").sum().round(_CENTS),
            stores=pl.len().cast(pl.Int64),
        )
        .select(
            "site",
            "product_category",
            "week",
            "sales",
            "units",
            "baskets",
            "discount",
            _mean_price().alias("mean_price"),
            "stores",
        )
    )


def _mean_price() -> pl.Expr:
    return pl.when(pl.col("units") > 0).then(pl.col("sales") / pl.col("units"))
