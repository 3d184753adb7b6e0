"""Copies of the global tables at the sites that read them, so that a site reads no other."""

from collections.abc import Sequence

import dagster as dg

from assets.retail import globals
from assets.retail.regions import SITES
from mcai_pipelines.authoring import replicas_of


def products_key(site: str) -> str:
    """The key of the products as a site reads them: the table itself at its own site."""
    if site == globals.SITE:
        return f"{globals.KEY_PREFIX}/products"
    return f"{site.replace('-', '_')}/products"


def replicas() -> Sequence[dg.AssetsDefinition]:
    """The products at every site but their own."""
    return replicas_of(globals.products, sites=SITES, group=globals.REFERENCE)
