from collections.abc import Mapping
from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from assets.retail import source
from assets.retail.households import DEMOGRAPHICS, known_households

MONDAY = date(2017, 1, 2)
WEEKS = [MONDAY + timedelta(weeks=week) for week in range(6)]


def demographics(*ids: int) -> pl.LazyFrame:
    schema = {"household_id": pl.Int64, **dict.fromkeys(DEMOGRAPHICS, pl.String)}
    return pl.LazyFrame(
        [{"household_id": i, **dict.fromkeys(DEMOGRAPHICS, f"{i}")} for i in ids], schema=schema
    )


def purchases(rows: list[tuple[int, date]]) -> pl.LazyFrame:
    return pl.LazyFrame(rows, schema={"household_id": pl.Int64, "week": pl.Date}, orient="row")


def test_a_household_is_known_from_the_week_of_its_first_purchase() -> None:
    bought = purchases([(1, WEEKS[0]), (1, WEEKS[2]), (2, WEEKS[1])])

    snapshots = known_households(bought, demographics(1), WEEKS[:3]).collect()

    assert snapshots.select("household_id", "week", "first_week", "age").sort(
        "week", "household_id"
    ).rows() == [
        (1, WEEKS[0], WEEKS[0], "1"),
        (1, WEEKS[1], WEEKS[0], "1"),
        (2, WEEKS[1], WEEKS[1], None),
        (1, WEEKS[2], WEEKS[0], "1"),
        (2, WEEKS[2], WEEKS[1], None),
    ]


@given(
    rows=st.lists(st.tuples(st.integers(1, 5), st.sampled_from(WEEKS)), max_size=20),
    week=st.sampled_from(WEEKS),
)
def test_what_comes_later_has_no_influence(rows: list[tuple[int, date]], week: date) -> None:
    everything = purchases(rows)
    by_then = everything.filter(pl.col("week") <= week)

    assert_frame_equal(
        known_households(everything, demographics(1, 2), [week]).collect(),
        known_households(by_then, demographics(1, 2), [week]).collect(),
        check_row_order=False,
    )


def test_no_site_looks_ahead(
    purchases: Mapping[str, pl.LazyFrame], households: Mapping[str, pl.LazyFrame]
) -> None:
    for site, snapshots in households.items():
        for week in [date(2017, 1, 2), date(2017, 6, 12), date(2017, 12, 18)]:
            by_then = purchases[site].filter(pl.col("week") <= week)
            assert_frame_equal(
                snapshots.filter(pl.col("week") == week).collect(),
                known_households(by_then, source.demographics(), [week]).collect(),
                check_row_order=False,
            )


def test_snapshots_only_grow_and_end_with_every_shopper(
    purchases: Mapping[str, pl.LazyFrame], households: Mapping[str, pl.LazyFrame]
) -> None:
    for site, snapshots in households.items():
        sizes = snapshots.group_by("week").len().sort("week").collect()["len"]
        shoppers = purchases[site].select(pl.col("household_id").n_unique()).collect().item()
        assert len(sizes) == 51
        assert sizes.is_sorted()
        assert sizes[-1] == shoppers


def test_demographics_are_known_for_a_third_of_the_households(
    households: Mapping[str, pl.LazyFrame],
) -> None:
    known = pl.concat(households.values()).filter(pl.col("age").is_not_null())
    ids = known.select(pl.col("household_id").unique()).collect()
    published = source.demographics().select("household_id").collect()
    assert set(ids["household_id"]) == set(published["household_id"])
