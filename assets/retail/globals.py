"""The global retail tables, all at one site: reference data, and weekly sales of every site."""

from collections.abc import Sequence

import dagster as dg
import polars as pl

from assets.retail import reference, sales, source
from assets.retail.partitions import WEEKS
from assets.retail.upstream import source_key
from mcai_pipelines.authoring import keep_current, table

SITE = "aws-us-east-1"
KEY_PREFIX = "global"
REFERENCE = "reference"
"""Group of the tables that sites read: in the graph they come before the sites."""


@table(
    "retail/products",
    site=SITE,
    key_prefix=KEY_PREFIX,
    group=REFERENCE,
    deps=[source_key("products")],
)
def products() -> pl.LazyFrame:
    """Attributes of each product."""
    return reference.products(source.products())


@table(
    "retail/promotions",
    site=SITE,
    key_prefix=KEY_PREFIX,
    group=REFERENCE,
    deps=[source_key("promotions")],
)
def promotions() -> pl.LazyFrame:
    """Displays and mailers per product, store and week."""
    return reference.promotions(source.promotions())


@table(
    "retail/coupons",
    site=SITE,
    key_prefix=KEY_PREFIX,
    group=REFERENCE,
    deps=[source_key("coupons")],
)
def coupons() -> pl.LazyFrame:
    """The products to which each coupon of a campaign applies."""
    return reference.coupons(source.coupons())


@table(
    "retail/campaigns",
    site=SITE,
    key_prefix=KEY_PREFIX,
    group=REFERENCE,
    deps=[source_key("campaigns"), source_key("campaign_descriptions")],
)
def campaigns() -> pl.LazyFrame:
    """The campaigns that each household received, with type, first and last day."""
    return reference.campaigns(source.campaigns(), source.campaign_descriptions())


@table(
    "retail/global_weekly_sales",
    name="weekly_sales",
    site=SITE,
    key_prefix=KEY_PREFIX,
    partitions=WEEKS,
    ins={
        "aws_us_east_1": "aws_us_east_1/weekly_sales",
        "azure_westeurope": "azure_westeurope/weekly_sales",
        "gcp_asia_southeast1": "gcp_asia_southeast1/weekly_sales",
        "private_frankfurt": "private_frankfurt/weekly_sales",
    },
    automation_condition=keep_current(),
)
def weekly_sales(
    aws_us_east_1: pl.LazyFrame,
    azure_westeurope: pl.LazyFrame,
    gcp_asia_southeast1: pl.LazyFrame,
    private_frankfurt: pl.LazyFrame,
) -> pl.LazyFrame:
    """Sales per site, product category and week, over all stores of the site."""
    return sales.global_weekly_sales(
        {
            "aws-us-east-1": aws_us_east_1,
            "azure-westeurope": azure_westeurope,
            "gcp-asia-southeast1": gcp_asia_southeast1,
            "private-frankfurt": private_frankfurt,
        }
    )


def global_tables() -> Sequence[dg.AssetsDefinition]:
    """All tables of this module."""
    return [products, promotions, coupons, campaigns, weekly_sales]
