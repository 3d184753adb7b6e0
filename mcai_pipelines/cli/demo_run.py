"""The demo's runs: real Dagster runs of this process, shown step by step as they go."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mcai_pipelines.cli.demo_plan import Work
from mcai_pipelines.cli.progress import Progress
from mcai_pipelines.errors import McaiError

if TYPE_CHECKING:
    import dagster as dg

STARTED_BY = {"mcai/started_by": "mcai demo"}
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Run configuration: what a run logs goes to the instance, and not to the user's terminal."""


@dataclass
class Outcome:
    """What was run.

    Attributes:
        run_ids: Of the Dagster runs, in order.
        seconds: Duration of each table's step, by key.
    """

    run_ids: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)


def run(defs: "dg.Definitions", instance: "dg.DagsterInstance", works: list[Work]) -> Outcome:
    """Run them one after the other, each in this process and as one Dagster run.

    A run of many weeks makes one commit per table. Most of its time goes into Dagster's event
    log (two events per table and week), which one process writes as fast as two.

    Raises:
        McaiError: A table could not be computed; the message says why.
        KeyboardInterrupt: The user interrupted it.
    """
    from mcai_pipelines.cli.origin import claim_runs
    from mcai_pipelines.config import project_root

    claim_runs(instance, defs, project_root() / "workspace.yaml")
    outcome = Outcome()
    with Progress(sum(len(work.keys) for work in works)) as progress:
        for work in works:
            _run(defs, instance, work, outcome, progress)
    return outcome


def _run(
    defs: "dg.Definitions",
    instance: "dg.DagsterInstance",
    work: Work,
    outcome: Outcome,
    progress: Progress,
) -> None:
    from uuid import uuid4

    run_id = str(uuid4())
    names = {key.to_python_identifier(): key.to_user_string() for key in work.keys}
    failures: list[str] = []
    interrupted: list[str] = []

    def listen(entry: "dg.EventLogEntry") -> None:
        event = entry.dagster_event
        name = names.get(event.step_key or "") if event else None
        if event is None or name is None:
            return
        if event.event_type == dg_event_type().STEP_START:
            progress.start(name)
        elif event.event_type == dg_event_type().STEP_SUCCESS:
            outcome.seconds[name] = event.step_success_data.duration_ms / 1000
            progress.finish(name, outcome.seconds[name])
        elif event.event_type == dg_event_type().STEP_FAILURE:
            error = event.step_failure_data.error
            if error is not None and error.cls_name == "DagsterExecutionInterruptedError":
                interrupted.append(name)  # what Dagster makes of Ctrl-C inside a step
            failures.append(f"{name}: {_reason(event)}")

    progress.say(f"preparing a run of {len(work.keys)} tables")
    instance.add_event_listener(run_id, listen)
    outcome.run_ids.append(run_id)
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        run_config=_QUIET,
        instance=instance,
        asset_selection=list(work.keys),
        tags={**STARTED_BY, **_range(work)},
        run_id=run_id,
        raise_on_error=False,
    )
    if interrupted:
        raise KeyboardInterrupt
    if not result.success:
        raise McaiError("\n".join(failures) or f"the Dagster run {run_id} failed; see mcai ui")


def dg_event_type() -> Any:
    """Dagster's enumeration of event types."""
    import dagster as dg

    return dg.DagsterEventType


def _range(work: Work) -> Mapping[str, str]:
    """The tags of a run of several partitions, as a backfill sets them."""
    from assets.retail.weeks import week_start

    if work.weeks is None:
        return {}
    first, last = work.weeks
    return {
        "dagster/asset_partition_range_start": week_start(first).isoformat(),
        "dagster/asset_partition_range_end": week_start(last).isoformat(),
        "mcai/weeks": f"{first}-{last}",
    }


def _reason(event: Any) -> str:
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return str(data.user_failure_data.description)
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return error.message.strip() if error is not None else "no reason was recorded"
