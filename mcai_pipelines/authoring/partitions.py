"""Partitions in a word: weekly, daily, hourly, static, and several dimensions at once.

Each returns the Dagster class, so anything Dagster does with partitions still works.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import dagster as dg

_MONDAY = 1


def weekly(
    start: str | dt.date, end: str | dt.date | None = None, *, timezone: str = "UTC"
) -> dg.WeeklyPartitionsDefinition:
    """Weeks that begin on Monday; the key is the Monday, ``2017-01-02``.

    Args:
        start: The first Monday.
        end: The Monday after the last week; None for weeks without end.
        timezone: Where the weeks begin at midnight.
    """
    return dg.WeeklyPartitionsDefinition(
        start_date=str(start),
        end_date=str(end) if end else None,
        timezone=timezone,
        day_offset=_MONDAY,
    )


def daily(
    start: str | dt.date, end: str | dt.date | None = None, *, timezone: str = "UTC"
) -> dg.DailyPartitionsDefinition:
    """Days; the key is the date, ``2017-01-02``.

    Args:
        start: The first day.
        end: The day after the last; None for days without end.
        timezone: Where the days begin at midnight.
    """
    return dg.DailyPartitionsDefinition(
        start_date=str(start), end_date=str(end) if end else None, timezone=timezone
    )


def hourly(
    start: str, end: str | None = None, *, timezone: str = "UTC"
) -> dg.HourlyPartitionsDefinition:
    """Hours; the key is ``2017-01-02-05:00``, in the zone's time.

    Args:
        start: The first hour, like a key.
        end: The hour after the last; None for hours without end.
        timezone: The zone of the keys.
    """
    return dg.HourlyPartitionsDefinition(start_date=start, end_date=end, timezone=timezone)


def static(keys: Sequence[str]) -> dg.StaticPartitionsDefinition:
    """A fixed list of keys, each a value of the partition column."""
    return dg.StaticPartitionsDefinition(list(keys))


def multi(**dimensions: dg.PartitionsDefinition[str]) -> dg.MultiPartitionsDefinition:
    """Two dimensions, named like the table's partition columns.

    Example:
        ``multi(week=weekly("2017-01-02"), region=static(["north", "south"]))``
    """
    return dg.MultiPartitionsDefinition(dimensions)
