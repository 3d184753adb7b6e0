from collections.abc import Mapping
from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from assets.retail.sales import UNKNOWN_CATEGORY, global_weekly_sales, weekly_sales

WEEK = date(2017, 1, 2)
PRODUCTS = pl.LazyFrame({"product_id": [1, 2, 3], "product_category": ["MILK", "MILK", None]})


def lines(*rows: tuple[int, int, int, int, float, float, float, float]) -> pl.LazyFrame:
    columns = [
        "store_id",
        "basket_id",
        "product_id",
        "quantity",
        "sales_value",
        "retail_disc",
        "coupon_disc",
        "coupon_match_disc",
    ]
    return pl.LazyFrame(list(rows), schema=columns, orient="row").with_columns(week=pl.lit(WEEK))


def test_two_baskets_with_milk() -> None:
    bought = lines(
        (330, 100, 1, 2, 3.00, 0.50, 0.00, 0.00),
        (330, 100, 2, 1, 1.50, 0.00, 0.25, 0.25),
        (330, 101, 1, 1, 1.80, 0.00, 0.00, 0.00),
    )
    assert weekly_sales(bought, PRODUCTS).collect().rows(named=True) == [
        {
            "store_id": 330,
            "product_category": "MILK",
            "week": WEEK,
            "sales": 6.30,
            "units": 4,
            "baskets": 2,
            "discount": 1.00,
            "mean_price": pytest.approx(1.575),
        }
    ]


def test_a_product_without_category_or_entry_counts_as_unknown() -> None:
    bought = lines((330, 100, 3, 1, 1.0, 0, 0, 0), (330, 100, 99, 1, 2.0, 0, 0, 0))
    table = weekly_sales(bought, PRODUCTS).collect()
    assert table.select("product_category", "sales").rows() == [(UNKNOWN_CATEGORY, 3.0)]


def test_without_units_there_is_no_price() -> None:
    table = weekly_sales(lines((330, 100, 1, 0, 1.0, 0, 0, 0)), PRODUCTS).collect()
    assert table.select("units", "mean_price").rows() == [(0, None)]


def test_the_order_of_the_lines_changes_nothing() -> None:
    forwards = lines(*((330, n, 1, 1, n / 300, n / 700, 0.0, 0.0) for n in range(1, 2000)))
    backwards = forwards.reverse()
    assert_frame_equal(
        weekly_sales(forwards, PRODUCTS).collect(),
        weekly_sales(backwards, PRODUCTS).collect(),
        check_exact=True,
    )


def test_sales_sum_to_the_transactions_of_each_store_and_week(
    purchases: Mapping[str, pl.LazyFrame], weekly_sales: Mapping[str, pl.LazyFrame]
) -> None:
    for site, bought in purchases.items():
        paid = bought.group_by("store_id", "week").agg(
            sales=pl.col("sales_value").sum(),
            units=pl.col("quantity").sum(),
            discount=pl.sum_horizontal("retail_disc", "coupon_disc", "coupon_match_disc").sum(),
        )
        sold = (
            weekly_sales[site]
            .group_by("store_id", "week")
            .agg(pl.col("sales", "units", "discount").sum())
        )
        assert_frame_equal(
            sold.collect(), paid.collect(), check_row_order=False, check_exact=False, abs_tol=1e-6
        )


def test_mean_price_is_sales_per_unit(weekly_sales: Mapping[str, pl.LazyFrame]) -> None:
    table = pl.concat(weekly_sales.values()).collect()
    sold = table.filter(pl.col("units") > 0)
    assert ((sold["mean_price"] * sold["units"] - sold["sales"]).abs() < 1e-6).all()
    assert table.filter(pl.col("units") == 0)["mean_price"].is_null().all()


def test_a_basket_counts_once_in_each_category(
    purchases: Mapping[str, pl.LazyFrame], weekly_sales: Mapping[str, pl.LazyFrame]
) -> None:
    site = "private-frankfurt"
    baskets = purchases[site].group_by("store_id", "week").agg(n=pl.col("basket_id").n_unique())
    most = (
        weekly_sales[site]
        .group_by("store_id", "week")
        .agg(largest=pl.col("baskets").max(), total=pl.col("baskets").sum())
    )
    both = baskets.join(most, on=["store_id", "week"]).collect()
    assert (both["largest"] <= both["n"]).all()
    assert (both["total"] >= both["n"]).all()


def test_the_global_table_adds_up_the_stores_of_each_site(
    weekly_sales: Mapping[str, pl.LazyFrame],
) -> None:
    table = global_weekly_sales(weekly_sales).collect()

    assert set(table["site"]) == set(weekly_sales)
    for site, of_stores in weekly_sales.items():
        totals = of_stores.select(pl.col("sales", "units", "baskets", "discount").sum()).collect()
        of_site = table.filter(pl.col("site") == site)
        assert_frame_equal(
            of_site.select(pl.col("sales", "units", "baskets", "discount").sum()),
            totals,
            check_exact=False,
            abs_tol=1e-4,
        )
        milk = of_stores.filter(pl.col("product_category") == "YOGURT", pl.col("week") == WEEK)
        row = of_site.filter(pl.col("product_category") == "YOGURT", pl.col("week") == WEEK)
        assert row["stores"].item() == milk.collect().height
        assert row["mean_price"].item() == pytest.approx(row["sales"].item() / row["units"].item())
