"""Upkeep by the clock: every Sunday night, compaction and then expiry, in one run."""

import dagster as dg

from assets.maintenance.upkeep import GROUP


def weekly_maintenance() -> dg.ScheduleDefinition:
    """Requests the maintenance of every table, when the fewest people work."""
    return dg.ScheduleDefinition(
        name="weekly_maintenance",
        target=dg.AssetSelection.groups(GROUP),
        cron_schedule="0 3 * * SUN",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Compacts every table and expires old versions, Sundays at 03:00 UTC.",
    )
