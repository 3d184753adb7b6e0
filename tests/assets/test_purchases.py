from collections.abc import Mapping
from datetime import UTC, date, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.retail import source
from assets.retail.purchases import site_transactions

MONEY = ["sales_value", "retail_disc", "coupon_disc", "coupon_match_disc"]


def test_one_line_of_a_receipt() -> None:
    line = pl.LazyFrame(
        {
            "household_id": [900],
            "store_id": [330],
            "basket_id": [31198570044],
            "product_id": [1095275],
            "quantity": [1],
            "sales_value": [0.5],
            "retail_disc": [0.1],
            "coupon_disc": [0.0],
            "coupon_match_disc": [0.0],
            "week": [2],
            "transaction_timestamp": [datetime(2017, 1, 3, 2, 30)],  # 21:30 on Monday in New York
        }
    )
    stores = pl.LazyFrame({"store_id": [330]})

    table = site_transactions(line, stores, [date(2017, 1, 2)]).collect()

    assert table.row(0, named=True) == {
        "store_id": 330,
        "week": date(2017, 1, 2),
        "household_id": 900,
        "basket_id": 31198570044,
        "product_id": 1095275,
        "transaction_timestamp": datetime(2017, 1, 3, 2, 30, tzinfo=UTC),
        "quantity": 1,
        "sales_value": 0.5,
        "retail_disc": 0.1,
        "coupon_disc": 0.0,
        "coupon_match_disc": 0.0,
    }
    assert table.schema["transaction_timestamp"] == pl.Datetime("us", "UTC")
    other_week = site_transactions(line, stores, [date(2017, 1, 9)])
    assert other_week.collect().is_empty()
    other_store = site_transactions(line, pl.LazyFrame({"store_id": [331]}), [date(2017, 1, 2)])
    assert other_store.collect().is_empty()


def test_the_sites_together_hold_every_purchase_of_the_full_weeks(
    purchases: Mapping[str, pl.LazyFrame],
) -> None:
    totals = [pl.len(), pl.col("quantity").sum(), *(pl.col(column).sum() for column in MONEY)]
    in_source = source.transactions().filter(pl.col("week").is_between(2, 52)).select(totals)
    at_sites = pl.concat([table.select(totals) for table in purchases.values()]).sum()

    assert_frame_equal(
        at_sites.collect(), in_source.collect(), check_exact=False, abs_tol=1e-6, check_dtypes=False
    )


@pytest.mark.parametrize("site", ["aws-us-east-1", "private-frankfurt"])
def test_several_weeks_at_once_are_the_same_rows_as_one_by_one(
    site: str, purchases: Mapping[str, pl.LazyFrame]
) -> None:
    from assets.retail.regions import stores_of_site

    weeks = [date(2017, 3, 6), date(2017, 7, 3)]
    one_by_one = [
        site_transactions(source.transactions(), stores_of_site(site), [week]) for week in weeks
    ]
    together = purchases[site].filter(pl.col("week").is_in(weeks))
    assert_frame_equal(pl.concat(one_by_one).collect(), together.collect(), check_row_order=False)
