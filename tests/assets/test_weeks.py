from datetime import date, timedelta

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from assets.retail import source
from assets.retail.weeks import (
    FIRST_WEEK,
    LAST_WEEK,
    week_number,
    week_of_instant,
    week_of_number,
    week_start,
    weeks_through,
)


def test_tables_hold_the_51_full_weeks_of_2017() -> None:
    assert week_start(FIRST_WEEK) == date(2017, 1, 2)
    assert week_start(LAST_WEEK) == date(2017, 12, 18)
    assert len(weeks_through(week_start(LAST_WEEK))) == 51
    assert weeks_through(date(2017, 1, 10)) == [date(2017, 1, 2), date(2017, 1, 9)]


@given(number=st.integers(1, 53), day=st.integers(0, 6))
def test_a_day_belongs_to_the_week_of_the_monday_before_it(number: int, day: int) -> None:
    monday = week_start(number)
    assert monday.weekday() == 0
    assert week_number(monday + timedelta(days=day)) == number


def test_every_week_number_of_the_source_is_the_monday_week_in_new_york() -> None:
    instant = pl.col("transaction_timestamp").dt.replace_time_zone("UTC")
    weeks = (
        source.transactions()
        .group_by("week")
        .agg(computed=week_of_instant(instant).unique(), first=instant.min(), last=instant.max())
        .with_columns(from_number=week_of_number(pl.col("week")))
        .sort("week")
        .collect()
    )

    assert weeks["week"].to_list() == list(range(1, 54))
    for row in weeks.iter_rows(named=True):
        assert row["computed"] == [row["from_number"]] == [week_start(row["week"])]
    assert weeks.schema["from_number"] == pl.Date


def test_a_week_cut_at_midnight_utc_would_be_wrong_for_one_row_in_forty() -> None:
    utc_week = pl.col("transaction_timestamp").dt.date().dt.truncate("1w")
    wrong = source.transactions().select((utc_week != week_of_number(pl.col("week"))).mean())
    assert 0.02 < wrong.collect().item() < 0.03


def test_weeks_1_and_53_are_short() -> None:
    local = pl.col("transaction_timestamp").dt.replace_time_zone("UTC")
    days = (
        source.transactions()
        .group_by("week")
        .agg(days=local.dt.convert_time_zone("America/New_York").dt.date().n_unique())
        .collect()
    )
    short = days.filter(pl.col("days") < 7)
    assert dict(short.sort("week").iter_rows()) == {1: 1, 53: 6}
