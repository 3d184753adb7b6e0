"""The facts about Dagster that ``mcai doctor`` reports: instance, queue, launcher, daemons."""

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcai_pipelines.cli.instance import FILE, home_problem, instance_home, open_instance
from mcai_pipelines.errors import McaiError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dagster as dg

    from mcai_pipelines.cli.diagnosis import Diagnosis
    from mcai_pipelines.config import Platform

STALE = 120.0
"""Seconds since its last heartbeat after which a daemon counts as stopped."""

_SQLITE_FILES = ("history/runs.db", "history/runs/index.db", "schedules/schedules.db")


def look_at_dagster(found: "Diagnosis", platform: "Platform | None") -> None:
    """The instance in force and, if it exists, what it is made of."""
    home = instance_home()
    why = "DAGSTER_HOME" if os.environ.get("DAGSTER_HOME") else "MCAI_HOME/dagster"
    found.fact("dagster", "instance", f"{home} ({why})")
    _look_at_root(found, home)
    if os.environ.get("DAGSTER_HOME") and (problem := home_problem(home)):
        found.problems.extend(problem.problems)
        return
    settings = _settings(found, home)
    if settings is None:
        return
    if _opening_creates_nothing(home, settings):
        _look_inside(found, home, _storage_of(settings))
    else:
        found.fact("dagster", "storage", "not created yet: mcai demo or mcai ui makes it")
    if platform is not None and _storage_of(settings) != platform.dagster.storage:
        what = (
            f"{home / FILE} says {_storage_of(settings)}, the platform {platform.dagster.storage}"
        )
        found.notes.append(f"Dagster's storage: {what}; the former counts")


def _look_at_root(found: "Diagnosis", home: Path) -> None:
    import tomllib

    from mcai_pipelines.config import project_root

    root = project_root()
    project = root / "pyproject.toml"
    if project.exists():
        tools = tomllib.loads(project.read_text()).get("tool", {})
        for name in sorted({"dg", "dagster"} & tools.keys()):
            what = f"the table [tool.{name}] makes Dagster ignore workspace.yaml"
            found.problems.append(Problem("pyproject.toml", what, "remove the table"))
    if os.environ.get("DAGSTER_HOME") or not (root / FILE).exists():
        return
    if home != root / ".mcai" / "dagster":
        found.notes.append(
            f"plain dagster commands use the {FILE} of the root, which is another instance;"
            f" export DAGSTER_HOME={home}"
        )


def _settings(found: "Diagnosis", home: Path) -> "Mapping[str, Any] | None":
    """The content of the instance's ``dagster.yaml``; None, and reported, if it is no mapping."""
    import yaml

    file = home / FILE
    if not file.exists():
        return {}
    try:
        settings = yaml.safe_load(file.read_text()) or {}
    except (OSError, yaml.YAMLError) as error:
        said = str(error).splitlines()[0]
        found.problems.append(Problem(str(file), said, "mend it; or delete it: mcai ui writes it"))
        return None
    return settings if isinstance(settings, dict) else {}


def _storage_of(settings: "Mapping[str, Any]") -> str:
    storage = settings.get("storage") or {"sqlite": {}}
    return next(iter(storage), "sqlite")


def _opening_creates_nothing(home: Path, settings: "Mapping[str, Any]") -> bool:
    """Dagster makes SQLite files when an instance is opened; tables in PostgreSQL too."""
    if _storage_of(settings) != "sqlite":
        return bool(settings)
    folder = Path((settings.get("storage") or {}).get("sqlite", {}).get("base_dir", home))
    return all((home / folder / name).exists() for name in _SQLITE_FILES)


def _look_inside(found: "Diagnosis", home: Path, storage: str) -> None:
    try:
        with open_instance(home) as instance:
            name = type(instance.run_storage).__name__
            found.fact("dagster", "storage", f"{storage} ({name})")
            found.fact("dagster", "run coordinator", type(instance.run_coordinator).__name__)
            found.fact("dagster", "run launcher", type(instance.run_launcher).__name__)
            found.fact("dagster", "runs", instance.get_runs_count())
            _look_at_daemons(found, instance)
    except McaiError as error:
        found.problems.append(Problem(f"Dagster instance {home}", str(error), "see above"))


def _look_at_daemons(found: "Diagnosis", instance: "dg.DagsterInstance") -> None:
    alive = []
    for name, beat in sorted(instance.get_daemon_heartbeats().items()):
        age = time.time() - beat.timestamp
        if age > STALE:
            continue
        alive.append(name)
        found.fact("daemons", name, f"seen {age:.0f} s ago")
        for error in beat.errors or ():
            said = error.message.strip().splitlines()[0]
            fix = "see the log of mcai ui"
            found.problems.append(Problem(f"daemon {name}", said, fix))
    if not alive:
        found.fact("daemons", "running", "none")
        found.notes.append("sensors, schedules and backfills wait until a daemon runs: mcai ui")
