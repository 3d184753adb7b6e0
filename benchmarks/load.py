"""How long it takes to load our definitions, against the smallest Dagster project.

A fresh interpreter imports the module and resolves its ``defs`` into a repository, as a code
server does. The rounds are interleaved and the first is left out: it compiles and fills caches.
"""

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import CaseFailed, environment
from benchmarks.results import Line, Row
from benchmarks.workplace import BENCH, ROOT

LOAD_ROUNDS = 7
VALIDATE_ROUNDS = 3
LOAD = """
import importlib, sys
defs = importlib.import_module(sys.argv[1]).defs
import dagster as dg
dg.Definitions.validate_loadable(defs)
"""


@dataclass(frozen=True)
class Project:
    """A Dagster project: where to start Python and which module to load there."""

    name: str
    folder: Path
    module: str


OURS = Project("ours", ROOT, "mcai_pipelines.definitions")
TRIVIAL = Project("trivial", Path(__file__).parent / "trivial_project", "definitions")


@dataclass(frozen=True)
class Took:
    """Seconds of one process, its start included; medians where it sums up several."""

    cpu: float
    wall: float


def run(command: Sequence[str], folder: Path) -> Took:
    """Runs a command to its end.

    Raises:
        CaseFailed: With the end of what it printed.
    """
    home = BENCH / "home"
    (home / "dagster").mkdir(parents=True, exist_ok=True)
    variables = environment(importable=folder)
    variables |= {"MCAI_HOME": str(home), "DAGSTER_HOME": str(home / "dagster")}
    log = BENCH / "load.log"
    with log.open("w") as output:
        wall = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=folder, env=variables, stdout=output, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - wall
        child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise CaseFailed(f"{' '.join(command)} failed:\n{log.read_text()[-3000:]}")
    return Took(usage.ru_utime + usage.ru_stime, wall)


def load(project: Project) -> Took:
    """Imports and resolves the definitions in a fresh interpreter."""
    return run([sys.executable, "-c", LOAD, project.module], project.folder)


def validate(project: Project) -> Took:
    """``dagster definitions validate``, as a user runs it."""
    command = [sys.executable, "-m", "dagster", "definitions", "validate"]
    return run([*command, "--module-name", project.module], project.folder)


def median(taken: Sequence[Took]) -> Took:
    """The median of CPU and of wall, each by itself."""
    cpu = statistics.median(one.cpu for one in taken)
    return Took(cpu, statistics.median(one.wall for one in taken))


LINES = [
    Line("definitions.load_ratio", "s CPU", 1.5),
    Line("definitions.load_wall_ratio", "s", None),
    Line("definitions.validate_ratio", "s CPU", None),
    Line("definitions.validate_wall_ratio", "s", None),
]


def rows() -> list[Row]:
    """Measures both projects."""
    sides = [*compare(load, LOAD_ROUNDS), *compare(validate, VALIDATE_ROUNDS)]
    return [Row(line, *side) for line, side in zip(LINES, sides, strict=True)]


def compare(act: Callable[[Project], Took], rounds: int) -> list[tuple[float, float]]:
    """Medians of ours and of the trivial project: CPU seconds, then wall seconds."""
    taken = [[act(project) for project in (OURS, TRIVIAL)] for _ in range(1 + rounds)][1:]
    ours, trivial = (median(column) for column in zip(*taken, strict=True))
    return [(ours.cpu, trivial.cpu), (ours.wall, trivial.wall)]
