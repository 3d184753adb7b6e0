"""Runs case scripts as child processes, all in turn, several times over, and sums them up.

The rounds are interleaved (A B C A B C …), so that whatever else the machine does meets every
case. CPU seconds are what to compare: wall time and memory are noisier.
"""

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import sources
from benchmarks.workplace import BENCH, ROOT, python_of

HERE = Path(__file__).parent
TIMEOUT = 600  # seconds, for one run of one case
TIMES = ("cpu", "wall", "first_cpu")


class CaseFailed(Exception):
    """A case script failed, or gave another answer than the others did."""


@dataclass(frozen=True)
class Case:
    """One script, the environment it runs in and what it is given.

    Attributes:
        name: As in the results.
        script: Below ``benchmarks/``.
        about: One line for a reader of the results.
        environment: See ``workplace.python_of``.
        source: Gives the Parquet file that it reads.
        options: Further arguments of its ``run``.
    """

    name: str
    script: str
    about: str
    environment: str | None = None
    source: Callable[[], Path] = sources.whole
    options: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class Sample:
    """What one run of a case took.

    Attributes:
        cpu: User and system seconds, without imports and preparation.
        wall: Elapsed seconds of the same.
        rss: Peak resident memory minus what was resident before the run, in MB.
        rss_peak: Peak resident memory in MB.
        first_cpu: CPU seconds of the first run, of 1,000 rows, with what libraries import on
            first use; 0 where there was none.
        bytes: Bytes of the table's files, data and metadata.
        files: Number of its Parquet files.
        answers: Rows that the query gave, by how it was asked.
    """

    cpu: float
    wall: float
    rss: float
    rss_peak: float
    first_cpu: float
    bytes: int
    files: int
    answers: Mapping[str, Any]

    @classmethod
    def from_child(cls, printed: Mapping[str, Any]) -> "Sample":
        """From the JSON line that ``child.py`` prints."""
        same = {name: printed[name] for name in cls.__dataclass_fields__ if name != "rss"}
        return cls(**same, rss=printed["rss_peak"] - printed["rss_before"])


def run_case(case: Case, *, cold: bool = False) -> Sample:
    """Runs a case once, in a fresh process and a fresh folder.

    Args:
        case: What to run.
        cold: Leave out the first run on a few rows: what libraries import on first use then
            counts as work.

    Raises:
        CaseFailed: With the end of what it printed.
    """
    target = BENCH / "runs" / case.name
    shutil.rmtree(target, ignore_errors=True)
    command = [str(python_of(case.environment)), str(HERE / "child.py"), str(HERE / case.script)]
    command += ["--source", str(case.source()), "--target", str(target)]
    if not cold:
        command += ["--first", str(sources.first())]
    for name, value in case.options.items():
        command += ["--option", f"{name}={value}"]
    try:
        done = subprocess.run(
            command,
            env=environment(importable=None if case.environment else ROOT),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        if done.returncode != 0:
            raise CaseFailed(f"{case.name} failed:\n{done.stderr[-3000:]}")
        return Sample.from_child(json.loads(done.stdout.splitlines()[-1]))
    except subprocess.TimeoutExpired as error:
        raise CaseFailed(f"{case.name} took over {TIMEOUT} s") from error
    finally:
        shutil.rmtree(target, ignore_errors=True)


def environment(importable: Path | None) -> dict[str, str]:
    """The variables of this process, without those that would change what is measured.

    Args:
        importable: A folder whose modules the child may import.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DAGSTER_", "MCAI_", "POLARS_", "PYICEBERG_", "PYTHON"))
    }
    if importable:
        kept["PYTHONPATH"] = str(importable)
    return kept | {"DAGSTER_DISABLE_TELEMETRY": "1"}


def interleave(
    cases: Sequence[Case], rounds: int, tell: Callable[[str], None], *, cold: bool = False
) -> dict[str, list[Sample]]:
    """Runs every case once per round, in the order given.

    Raises:
        CaseFailed: A case failed, or cases that read the same source gave different answers.
    """
    samples: dict[str, list[Sample]] = {case.name: [] for case in cases}
    for number in range(rounds):
        for case in cases:
            sample = run_case(case, cold=cold)
            samples[case.name].append(sample)
            tell(f"round {number + 1}  {case.name}  {sample.cpu:.2f} s CPU, {sample.wall:.2f} s")
        check_answers(cases, samples)
    return samples


def check_answers(cases: Iterable[Case], samples: Mapping[str, Sequence[Sample]]) -> None:
    """Compares the answers of all cases that read the same source.

    Raises:
        CaseFailed: They differ; one of the tables is wrong, so no figure means anything.
    """
    known: dict[Callable[[], Path], tuple[str, Any]] = {}
    for case in cases:
        for sample in samples[case.name]:
            for how, answer in sample.answers.items():
                where = f"{case.name} ({how})"
                first_where, first_answer = known.setdefault(case.source, (where, answer))
                if answer != first_answer:
                    raise CaseFailed(
                        f"different answers:\n{first_where}: {first_answer}\n{where}: {answer}"
                    )


@dataclass(frozen=True)
class Summary:
    """Several samples of a case; units as in ``Sample``.

    Times are the least of all rounds: whatever else runs on the machine only ever adds to them.
    Memory and bytes are medians.
    """

    cpu: float
    wall: float
    rss: float
    rss_peak: float
    first_cpu: float
    bytes: float
    files: float

    @classmethod
    def of(cls, samples: Sequence[Sample]) -> "Summary":
        """Each figure by itself."""

        def figure(name: str) -> float:
            values = [float(getattr(sample, name)) for sample in samples]
            return min(values) if name in TIMES else statistics.median(values)

        return cls(**{name: figure(name) for name in cls.__dataclass_fields__})
