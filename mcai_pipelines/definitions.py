"""The composition root: every asset, resource, sensor and schedule, put together once.

The only module that imports ``assets`` and ``sensors``. Tests call `build_definitions` with
overrides; nothing is patched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from assets.maintenance import maintenance_assets
from assets.retail import retail_assets
from resources.lake import LakeIOManager, LakeResource
from sensors.arrivals import arrival_sensor, ingested_weekly, weekly_schedule
from sensors.maintenance import weekly_maintenance


def build_definitions(
    *,
    resource_overrides: Mapping[str, Any] | None = None,
    executor: dg.ExecutorDefinition | None = None,
) -> dg.Definitions:
    """All definitions of the project.

    Args:
        resource_overrides: Resources to use in place of the project's, by key.
        executor: How steps run; Dagster's default (one process a step) unless given.
    """
    lake = LakeResource()
    assets = retail_assets()
    weekly = ingested_weekly(assets)
    return dg.Definitions(
        assets=[*assets, *maintenance_assets()],
        resources={
            "lake": lake,
            "io_manager": LakeIOManager(lake=lake),
            **(resource_overrides or {}),
        },
        sensors=[
            arrival_sensor(weekly),
            dg.AutomationConditionSensorDefinition(
                "keep_tables_current",
                target=dg.AssetSelection.all(),
                description="Materializes tables whose automation condition holds.",
            ),
        ],
        schedules=[weekly_schedule(weekly), weekly_maintenance()],
        executor=executor,
    )


defs = build_definitions()
