"""New weeks of the retail data: a sensor for simulated arrival, a schedule for the clock.

The data is of 2017, so "available through week N" is state that ``mcai demo`` moves on.
Neither needs to know a site: whatever ingests from the source is requested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

import dagster as dg

from assets.retail.partitions import WEEKS
from assets.retail.weeks import FIRST_WEEK, LAST_WEEK, week_number, week_start
from resources.lake import LakeResource

SOURCE = "retail"
"""Name of the source in the state database."""


def ingested_weekly(assets: Sequence[dg.AssetsDefinition | dg.AssetSpec]) -> dg.AssetSelection:
    """The weekly tables that are read from the source: those that no automation condition keeps."""
    return dg.AssetSelection.assets(
        *(
            spec.key
            for asset in assets
            if isinstance(asset, dg.AssetsDefinition)
            for spec in asset.specs
            if spec.partitions_def == WEEKS and spec.automation_condition is None
        )
    )


def arrival_sensor(target: dg.AssetSelection) -> dg.SensorDefinition:
    """Requests the weeks that became available since it last looked, in one run.

    Its cursor is the namespace and the last week that it requested there: ``local:4``.
    """

    @dg.sensor(
        name="retail_arrivals",
        target=target,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Requests newly arrived weeks of the retail data.",
    )
    def retail_arrivals(
        context: dg.SensorEvaluationContext, lake: LakeResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        opened = lake.lake
        through = opened.state.arrived_through(opened.namespace, SOURCE)
        seen = _requested(context.cursor, opened.namespace)
        if through is None:
            yield dg.SkipReason(
                "No week has arrived yet. `mcai demo` makes weeks available,"
                " `mcai demo advance` the next one."
            )
            return
        through = min(through, LAST_WEEK)
        if through <= seen:
            yield dg.SkipReason(
                f"Nothing new: week {seen} ({_key(seen)}) is the latest, and was requested."
            )
            return
        first, last = _key(seen + 1), _key(through)
        yield dg.RunRequest(
            run_key=f"{opened.namespace}:{SOURCE}:{first}...{last}",
            tags={
                "dagster/asset_partition_range_start": first,
                "dagster/asset_partition_range_end": last,
                "mcai/weeks": f"{seen + 1}-{through}",
            },
        )
        context.update_cursor(f"{opened.namespace}:{through}")

    return retail_arrivals


def weekly_schedule(target: dg.AssetSelection) -> dg.ScheduleDefinition:
    """Each Monday, requests the week that has just ended, for data that arrives by the clock."""

    @dg.schedule(
        name="retail_weekly",
        target=target,
        cron_schedule="0 6 * * MON",
        execution_timezone=WEEKS.timezone,
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Requests the week that ended, every Monday at 06:00.",
    )
    def retail_weekly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        today = context.scheduled_execution_time.astimezone(ZoneInfo(WEEKS.timezone)).date()
        ended = week_number(today) - 1
        if not FIRST_WEEK <= ended <= LAST_WEEK:
            return dg.SkipReason(
                f"The week that has just ended, of {week_start(ended)}, is not in the data:"
                f" it has {week_start(FIRST_WEEK)} to {week_start(LAST_WEEK)}."
            )
        key = _key(ended)
        return dg.RunRequest(run_key=key, partition_key=key)

    return retail_weekly


def _requested(cursor: str | None, namespace: str) -> int:
    """The last week that was requested in this namespace, going by the sensor's cursor."""
    named, _, week = (cursor or "").rpartition(":")
    return int(week) if named == namespace and week.isdigit() else FIRST_WEEK - 1


def _key(week: int) -> str:
    return week_start(week).isoformat()
