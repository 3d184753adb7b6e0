from datetime import date

import polars as pl

from assets.retail import reference, source


def test_campaigns_say_who_received_what_and_when() -> None:
    table = reference.campaigns(source.campaigns(), source.campaign_descriptions()).collect()

    assert table.height == 6_589
    assert table.filter(pl.col("campaign_id") == 13).select(
        "campaign_type", "start_date", "end_date"
    ).unique().rows() == [("Type A", date(2017, 8, 8), date(2017, 9, 24))]
    assert (table["start_date"] <= table["end_date"]).all()


def test_promotions_name_the_week_by_its_monday() -> None:
    table = reference.promotions(source.promotions())
    per_week = table.group_by("week").len().sort("week").collect(engine="streaming")

    assert per_week["len"].sum() == 20_940_529
    assert (
        per_week["week"].to_list()
        == pl.date_range(date(2016, 12, 26), date(2017, 12, 25), "1w", eager=True).to_list()
    )


def test_every_promoted_product_is_listed() -> None:
    promoted = reference.promotions(source.promotions()).select(pl.col("product_id").unique())
    missing = promoted.join(reference.products(source.products()), on="product_id", how="anti")
    assert missing.collect(engine="streaming").is_empty()


def test_coupons_are_kept_as_published() -> None:
    table = reference.coupons(source.coupons()).collect()
    assert table.height == 116_204
    assert table.height - table.unique().height == 4_872
