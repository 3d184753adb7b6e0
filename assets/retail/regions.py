"""Which store belongs to which region, and which site holds the region.

The source has no geography. ``data/store_region.csv`` splits its stores into four regions between
which households hardly shop; ``derive_store_region`` makes the file and says how.
"""

from pathlib import Path

import polars as pl

STORE_REGION_FILE = Path(__file__).parent / "data" / "store_region.csv"

REGION_OF_SITE = {
    "aws-us-east-1": "A",
    "azure-westeurope": "B",
    "gcp-asia-southeast1": "C",
    "private-frankfurt": "D",
}
SITES = tuple(REGION_OF_SITE)


def store_region() -> pl.LazyFrame:
    """Every store and its region: store_id (Int64), region (String, A to D)."""
    return pl.scan_csv(STORE_REGION_FILE, schema={"store_id": pl.Int64, "region": pl.String})


def stores_of_site(site: str) -> pl.LazyFrame:
    """The stores whose data live at the site: store_id (Int64).

    Raises:
        KeyError: The site holds no region.
    """
    region = REGION_OF_SITE[site]
    return store_region().filter(pl.col("region") == region).select("store_id")
