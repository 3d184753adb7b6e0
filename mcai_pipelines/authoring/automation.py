"""Named automation policies: when Dagster materializes a table by itself."""

from __future__ import annotations

from typing import Any, TypeAlias

import dagster as dg

Condition: TypeAlias = dg.AutomationCondition[Any]

_BY_AUTOMATION = "dagster/from_automation_condition"
"""Tag of the runs that an automation condition requested."""


def keep_current() -> Condition:
    """Compute each partition when an input changed, or when it is missing and could be there.

    Where ``AutomationCondition.eager()`` left tables behind, this differs:

    * It follows every partition. Eager looks at the latest time window only: a table whose
      partitions end in the past, or that receives an old week again, would never follow.
    * What is missing when it is first evaluated, and has its inputs, is computed.
    * A run that was requested counts from its request on. Eager counts from its end, so an
      input that changed while its reader ran was never read.
    * A reader is requested after its input's run, not in it. Eager puts both in one run, and of
      a run of many weeks Dagster knows only for the last one that the reader was in it: the
      others were computed twice.

    A partition that failed is not requested again until one of its inputs changes.
    """
    condition = dg.AutomationCondition
    changed = condition.any_deps_match(condition.newly_updated()).with_label("an input changed")
    requested = condition.newly_requested()
    computed = condition.newly_updated()
    by_automation = condition.all_new_updates_have_run_tags(tag_keys={_BY_AUTOMATION})
    # Not written with `&`: Dagster would take two `since` that end in an `&` for one, and give
    # them one memory.
    by_others = ~(~computed | by_automation)

    outdated = changed.since(requested & ~changed).with_label("an input changed since requested")
    unread = (changed.since(computed) | changed.since(by_others)).with_label(
        "an input changed since somebody computed it"
    )
    absent = condition.missing() & condition.missing().newly_true().since(requested)
    blocked = condition.any_deps_match(
        condition.missing() | condition.in_progress() | condition.will_be_requested()
    )
    return (
        ((outdated & unread) | absent.with_label("missing and not requested yet"))
        & ~blocked.with_label("an input is missing or being computed")
        & ~condition.in_progress()
    ).with_label("keep_current")
