"""Tables without a site: products, promotions, coupons and campaigns, whole and unpartitioned."""

import polars as pl

from assets.retail.weeks import week_of_number


def products(products: pl.LazyFrame) -> pl.LazyFrame:
    """Attributes of each product: product_id and manufacturer_id (Int64), the rest String."""
    return products.select(
        "product_id",
        "manufacturer_id",
        "department",
        "brand",
        "product_category",
        "product_type",
        "package_size",
    )


def promotions(promotions: pl.LazyFrame) -> pl.LazyFrame:
    """Displays and mailers per product, store and week (Date, its Monday), weeks 1 to 53."""
    return promotions.select(
        "product_id",
        "store_id",
        week_of_number(pl.col("week")),
        "display_location",
        "mailer_location",
    )


def coupons(coupons: pl.LazyFrame) -> pl.LazyFrame:
    """The products to which each coupon of a campaign applies: three ids (Int64), as published."""
    return coupons.select("coupon_upc", "product_id", "campaign_id")


def campaigns(campaigns: pl.LazyFrame, campaign_descriptions: pl.LazyFrame) -> pl.LazyFrame:
    """The campaigns that each household received, with type, first and last day (Date)."""
    return campaigns.join(campaign_descriptions, on="campaign_id").select(
        "campaign_id",
        "household_id",
        "campaign_type",
        pl.col("start_date").dt.date(),
        pl.col("end_date").dt.date(),
    )
