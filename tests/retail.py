"""The project's own definitions, run in this process on a lake and an instance of their own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence

import dagster as dg
import polars as pl

from assets.retail import reference, regions, sales, source
from assets.retail.households import known_households
from assets.retail.purchases import site_transactions
from assets.retail.weeks import week_start, weeks_through
from mcai_pipelines.definitions import build_definitions
from mcai_pipelines.lakehouse.lake import Lake

SITES = [site.replace("-", "_") for site in regions.SITES]


def key(week: int) -> str:
    """The partition key of a week of the source."""
    return str(week_start(week))


def keys(first: int, last: int) -> list[str]:
    """The partition keys of some weeks, both included."""
    return [str(monday) for monday in week_dates(first, last)]


def week_dates(first: int, last: int) -> list[dt.date]:
    """The Mondays of some weeks, both included."""
    return [week_start(week) for week in range(first, last + 1)]


def range_tags(first: int, last: int) -> dict[str, str]:
    """Run tags that make one run of all the weeks, as a backfill does."""
    return {
        "dagster/asset_partition_range_start": key(first),
        "dagster/asset_partition_range_end": key(last),
    }


def expected_transactions(site: str, weeks: Sequence[dt.date]) -> pl.LazyFrame:
    """What a site's transactions hold, straight from the source."""
    return site_transactions(source.transactions(), regions.stores_of_site(site), weeks)


def expected_households(site: str, weeks: Sequence[dt.date]) -> pl.LazyFrame:
    """What a site's households hold, straight from the source."""
    bought = expected_transactions(site, weeks_through(max(weeks)))
    return known_households(bought, source.demographics(), weeks)


def expected_weekly_sales(site: str, weeks: Sequence[dt.date]) -> pl.LazyFrame:
    """What a site's weekly sales hold, straight from the source."""
    products = reference.products(source.products())
    return sales.weekly_sales(expected_transactions(site, weeks), products)


def same_rows(found: pl.LazyFrame | pl.DataFrame, expected: pl.LazyFrame | pl.DataFrame) -> bool:
    """Equal columns, types and values, whatever the order of rows."""
    left, right = (frame.lazy().collect() for frame in (found, expected))
    if left.schema != right.schema:
        return False
    order = [name for name, kind in left.schema.items() if not kind.is_float()]
    return left.sort(order).equals(right.sort(order))


class Retail:
    """Runs of the retail graph.

    Args:
        instance: Where runs are recorded.
    """

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.defs = build_definitions()
        self._lake: Lake | None = None

    @property
    def lake(self) -> Lake:
        """The lake of ``MCAI_HOME``."""
        if self._lake is None:
            self._lake = Lake.open()
        return self._lake

    def rows(self, table: str) -> pl.LazyFrame:
        """A table as it is now."""
        return self.lake.table(table).scan()

    def weeks(self, table: str) -> list[str]:
        """The weeks of which a table has rows."""
        found = self.rows(table).select(pl.col("week").unique().sort()).collect()
        return [str(week) for week in found.get_column("week")]

    def commits(self, table: str) -> int:
        """How often a table was changed."""
        return len(self.lake.table(table).history())

    def materialize(
        self,
        *tables: str,
        weeks: tuple[int, int] | None = None,
        tags: Mapping[str, str] | None = None,
        raise_on_error: bool = True,
    ) -> dg.ExecuteInProcessResult:
        """One run of these tables, for the weeks from the first to the last."""
        job = self.defs.resolve_implicit_global_asset_job_def()
        return job.execute_in_process(
            instance=self.instance,
            asset_selection=[dg.AssetKey(table.split("/")) for table in tables],
            tags={**(range_tags(*weeks) if weeks else {}), **(tags or {})},
            raise_on_error=raise_on_error,
        )

    def execute(self, job_name: str, request: dg.RunRequest) -> dg.ExecuteInProcessResult:
        """The run that a sensor or a schedule requests of its job."""
        return self.defs.resolve_job_def(job_name).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            tags=dict(request.tags),
        )
