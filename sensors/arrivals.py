"""New weeks of the retail data: a sensor for simulated arrival, a schedule for the clock.

The data is of 2017, so "available through week N" is state that ``mcai demo`` moves on.
Neither needs to know a site: whatever ingests from the source is requested.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import dagster as dg

from assets.retail.partitions import WEEKS
from assets.retail.weeks import FIRST_WEEK, LAST_WEEK, week_number, week_start
from resources.lake import LakeResource

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.files import Partition
    from mcai_pipelines.lakehouse.lake import Lake

SOURCE = "retail"
"""Name of the source in the state database."""


def ingested_weekly(
    assets: Sequence[dg.AssetsDefinition | dg.AssetSpec],
) -> Sequence[dg.AssetKey]:
    """The weekly tables that are read from the source: those that no automation condition keeps."""
    return [
        spec.key
        for asset in assets
        if isinstance(asset, dg.AssetsDefinition)
        for spec in asset.specs
        if spec.partitions_def == WEEKS and spec.automation_condition is None
    ]


def arrival_sensor(target: Sequence[dg.AssetKey]) -> dg.SensorDefinition:
    """Requests the weeks that became available since it last looked, in one run.

    Its cursor is the namespace and the last week that it requested there: ``local:4``. Without
    one, it begins after the weeks that all its tables have: `mcai demo` may have made them.
    """

    @dg.sensor(
        name="retail_arrivals",
        target=dg.AssetSelection.assets(*target),
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Requests newly arrived weeks of the retail data.",
    )
    def retail_arrivals(
        context: dg.SensorEvaluationContext, lake: LakeResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        opened = lake.lake
        through = opened.state.arrived_through(opened.namespace, SOURCE)
        if through is None:
            yield dg.SkipReason(
                "No week has arrived yet. `mcai demo` makes weeks available,"
                " `mcai demo advance` the next one."
            )
            return
        through = min(through, LAST_WEEK)
        seen = _requested(context.cursor, opened.namespace) or _held(opened, target)
        if through <= seen:
            context.update_cursor(f"{opened.namespace}:{seen}")
            yield dg.SkipReason(
                f"Nothing new: week {seen} ({_key(seen)}) is the latest, and is there or requested."
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


def weekly_schedule(target: Sequence[dg.AssetKey]) -> dg.ScheduleDefinition:
    """Each Monday, requests the week that has just ended, for data that arrives by the clock."""

    @dg.schedule(
        name="retail_weekly",
        target=dg.AssetSelection.assets(*target),
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


def _requested(cursor: str | None, namespace: str) -> int | None:
    """The last week that was requested in this namespace, going by the sensor's cursor."""
    named, _, week = (cursor or "").rpartition(":")
    return int(week) if named == namespace and week.isdigit() else None


def _held(lake: Lake, target: Sequence[dg.AssetKey]) -> int:
    """The last week up to which every table has all weeks.

    Going by the tables: Dagster's events do not say in which namespace they were written.
    """
    held = set.intersection(*(_weeks(lake, key.to_user_string()) for key in target))
    week = FIRST_WEEK - 1
    while (week_start(week + 1),) in held:
        week += 1
    return week


def _weeks(lake: Lake, table: str) -> set[Partition]:
    from mcai_pipelines.lakehouse.errors import TableNotFound

    try:
        return {file.partition for file in lake.table(table).head().files.values()}
    except TableNotFound:
        return set()


def _key(week: int) -> str:
    return week_start(week).isoformat()
