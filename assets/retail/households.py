"""Households of one site: who was known there by the end of each week."""

from collections.abc import Sequence
from datetime import date

import polars as pl

DEMOGRAPHICS = (
    "age",
    "income",
    "home_ownership",
    "marital_status",
    "household_size",
    "household_comp",
    "kids_count",
)


def known_households(
    transactions: pl.LazyFrame, demographics: pl.LazyFrame, weeks: Sequence[date]
) -> pl.LazyFrame:
    """A snapshot per week of the households that had bought at the site by then.

    A household is in the snapshot of a week if its first purchase at the site was in that week or
    before: what comes later has no influence. Demographics carry no dates in the source and are
    the same in every snapshot.

    Args:
        transactions: The site's purchases from the first week on: household_id, week (Date).
        demographics: As in ``source.demographics``.
        weeks: The Mondays of the weeks whose snapshots to return.

    Returns:
        One row per household and week: household_id (Int64), week and first_week (Date), and the
        demographics (String, null where unknown).
    """
    first_purchases = transactions.group_by("household_id").agg(first_week=pl.col("week").min())
    snapshots = pl.LazyFrame({"week": list(weeks)}, schema={"week": pl.Date})
    return (
        first_purchases.join(demographics, on="household_id", how="left")
        .join(snapshots, how="cross")
        .filter(pl.col("first_week") <= pl.col("week"))
        .select("household_id", "week", "first_week", *DEMOGRAPHICS)
    )
