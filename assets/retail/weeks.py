"""Business weeks of the retail data: numbers in the source, dates in our tables.

A business week runs from Monday to Sunday in America/New_York. The source numbers its weeks from 1
(26 December 2016) to 53 (25 December 2017). The data begin on a Sunday and end with the year, so
week 1 has one day and week 53 has six: site tables hold weeks 2 to 52. Our tables name a week by
the date of its Monday.
"""

from datetime import date, timedelta

import polars as pl

FIRST_WEEK = 2
LAST_WEEK = 52
TIMEZONE = "America/New_York"

_DAYS = 7
_MONDAY_BEFORE_WEEK_1 = date(2016, 12, 19)
_UNIX_EPOCH = date(1970, 1, 1)


def week_start(number: int) -> date:
    """The Monday on which the week with this number begins."""
    return _MONDAY_BEFORE_WEEK_1 + timedelta(days=_DAYS * number)


def week_number(day: date) -> int:
    """The number of the week that contains this day (a day in America/New_York)."""
    return (day - _MONDAY_BEFORE_WEEK_1).days // _DAYS


def weeks_through(last: date) -> list[date]:
    """The Mondays of all full weeks from ``FIRST_WEEK`` to the one that contains ``last``."""
    return [week_start(number) for number in range(FIRST_WEEK, week_number(last) + 1)]


def week_of_number(number: pl.Expr) -> pl.Expr:
    """The Monday (Date) of each week number (any integer type)."""
    days_since_epoch = number * _DAYS + (_MONDAY_BEFORE_WEEK_1 - _UNIX_EPOCH).days
    return days_since_epoch.cast(pl.Int32).cast(pl.Date)


def week_of_instant(instant: pl.Expr) -> pl.Expr:
    """The Monday (Date) of the business week in which each instant (timezone-aware) falls."""
    return instant.dt.convert_time_zone(TIMEZONE).dt.date().dt.truncate("1w")
