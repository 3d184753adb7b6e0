"""Named automation policies: when Dagster materializes a table by itself."""

from __future__ import annotations

from typing import TypeAlias

import dagster as dg

Condition: TypeAlias = dg.AutomationCondition[dg.AssetKey | dg.AssetCheckKey]


def keep_current() -> Condition:
    """Compute each partition when its inputs changed, or when it is missing and could be there.

    ``AutomationCondition.eager()`` looks at the latest time window only, so a table whose
    partitions end in the past, or that receives an old week again, would never follow. A
    partition that failed is not requested again until one of its inputs changes.
    """
    condition = dg.AutomationCondition
    return (
        (condition.missing().newly_true() | condition.any_deps_updated()).since_last_handled()
        & ~condition.any_deps_missing()
        & ~condition.any_deps_in_progress()
        & ~condition.in_progress()
    ).with_label("keep_current")
