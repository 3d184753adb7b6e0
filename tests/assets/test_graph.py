"""The retail tables as Dagster assets: names, partitions and what depends on what."""

import dagster as dg
import pytest

from assets.retail import regions, retail_assets
from assets.retail.upstream import SOURCE_SPECS

GLOBAL_TABLES = {"products", "promotions", "coupons", "campaigns", "weekly_sales"}
REPLICAS = {f"{site.replace('-', '_')}/products" for site in regions.SITES[1:]}
"""The products at every site but their own, which is the first."""


@pytest.fixture(scope="module")
def specs() -> dict[str, dg.AssetSpec]:
    return {
        spec.key.to_user_string(): spec
        for asset in retail_assets()
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.specs
    }


def parents(spec: dg.AssetSpec) -> set[str]:
    return {dep.asset_key.to_user_string() for dep in spec.deps}


def test_three_tables_per_site_and_five_global_ones_with_replicas(
    specs: dict[str, dg.AssetSpec],
) -> None:
    per_site = {
        f"{site.replace('-', '_')}/{table}"
        for site in regions.SITES
        for table in ("transactions", "households", "weekly_sales")
    }
    assert set(specs) == per_site | {f"global/{table}" for table in GLOBAL_TABLES} | REPLICAS


def test_the_graph_leads_back_to_the_published_files(specs: dict[str, dg.AssetSpec]) -> None:
    sources = {spec.key.to_user_string() for spec in SOURCE_SPECS}
    for name, spec in specs.items():
        assert parents(spec), name
        assert parents(spec) <= set(specs) | sources, name


def test_households_come_from_the_source_and_sales_from_the_site(
    specs: dict[str, dg.AssetSpec],
) -> None:
    assert parents(specs["azure_westeurope/households"]) == {
        "completejourney/transactions",
        "completejourney/demographics",
        "completejourney/store_region",
    }
    assert parents(specs["azure_westeurope/weekly_sales"]) == {
        "azure_westeurope/transactions",
        "azure_westeurope/products",
    }
    assert parents(specs["azure_westeurope/products"]) == {"global/products"}
    assert parents(specs["aws_us_east_1/weekly_sales"]) == {
        "aws_us_east_1/transactions",
        "global/products",
    }
    assert parents(specs["global/weekly_sales"]) == {
        f"{site.replace('-', '_')}/weekly_sales" for site in regions.SITES
    }


def test_weekly_tables_have_a_partition_per_full_week(specs: dict[str, dg.AssetSpec]) -> None:
    reference = {f"global/{table}" for table in GLOBAL_TABLES - {"weekly_sales"}} | REPLICAS
    for name, spec in specs.items():
        if name in reference:
            assert spec.partitions_def is None, name
            continue
        assert spec.partitions_def is not None, name
        keys = spec.partitions_def.get_partition_keys()
        assert (len(keys), keys[0], keys[-1]) == (51, "2017-01-02", "2017-12-18"), name


def test_every_asset_says_what_it_is(specs: dict[str, dg.AssetSpec]) -> None:
    assert all((spec.description or "").strip() for spec in [*specs.values(), *SOURCE_SPECS])
