"""Runs of this process that the UI takes for its own.

A run made by ``execute_in_process`` does not say which code location it belongs to, and the UI's
"Re-execute" answers with a stack trace. Dagster has no public way to say it: hence this module,
the only one of the command line that imports from ``dagster._core``.
"""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import dagster as dg


def claim_runs(instance: "dg.DagsterInstance", defs: "dg.Definitions", workspace: Path) -> None:
    """Let runs that are made through this instance object belong to the project's code location.

    Args:
        instance: Opened by the caller, for itself.
        defs: The project's definitions.
        workspace: The ``workspace.yaml`` that names the code location.
    """
    from dagster._core.remote_origin import (  # noqa: TID251
        RegisteredCodeLocationOrigin,
        RemoteRepositoryOrigin,
    )

    location = RegisteredCodeLocationOrigin(location_name=_location_name(workspace))
    repository = RemoteRepositoryOrigin(location, defs.get_repository_def().name)
    origin = repository.get_job_origin(defs.resolve_implicit_global_asset_job_def().name)
    instance.create_run_for_job = partial(  # type: ignore[method-assign]
        instance.create_run_for_job, remote_job_origin=origin
    )


def _location_name(workspace: Path) -> str:
    import yaml

    (location,) = yaml.safe_load(workspace.read_text())["load_from"]
    (target,) = location.values()
    return str(target["location_name"])
