"""An ``MCAI_HOME`` with a Dagster instance in it, for processes that a test starts."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cached_property
from pathlib import Path

import dagster as dg

from mcai_pipelines.config import project_root
from mcai_pipelines.lakehouse.lake import Lake

INSTANCE = """\
telemetry: {enabled: false}
nux: {enabled: false}           # no invitation to the newsletter over every page
"""


class Home:
    """One folder: what a user's ``MCAI_HOME`` is.

    Args:
        root: A folder, made if need be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dagster = root / "dagster"
        self.dagster.mkdir(parents=True, exist_ok=True)
        (self.dagster / "dagster.yaml").write_text(INSTANCE)

    @property
    def env(self) -> dict[str, str]:
        """The environment of a process that works here."""
        return {
            **os.environ,
            "MCAI_HOME": str(self.root),
            "DAGSTER_HOME": str(self.dagster),
            "PYTHONUNBUFFERED": "1",
        }

    @cached_property
    def lake(self) -> Lake:
        """The tables in this home."""
        return Lake.open(self.env)

    def instance(self) -> dg.DagsterInstance:
        """The instance, as a context manager."""
        return dg.DagsterInstance.from_config(str(self.dagster))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, such as ``dagster``, in the project's root."""
        return subprocess.run(
            [str(Path(sys.executable).with_name(command[0])), *command[1:]],
            cwd=project_root(),
            env=self.env,
            capture_output=True,
            text=True,
            check=False,
        )
