"""Child processes: warm ones, forked from a server that has the imports and nothing else.

Never forked from the test process, whose libraries run threads.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from multiprocessing.context import ForkServerProcess
from typing import Any, TypeAlias

_MODULES = [
    "__main__",
    "polars",
    "pyarrow.parquet",
    "deltalake",
    "obstore",
    "pyiceberg.catalog.sql",
    "pyiceberg.io.pyarrow",
    "mcai_pipelines.lakehouse.table",
    "tests.lakehouse.conftest",
]

Process: TypeAlias = ForkServerProcess

KILLED = -signal.SIGKILL

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload(_MODULES)


def start(function: Callable[..., object], *args: Any) -> Process:
    process = context.Process(target=function, args=args, daemon=True)
    process.start()
    return process


def exit_code(process: Process, seconds: float = 120) -> int:
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise TimeoutError(f"a child process still ran after {seconds} s")
    return process.exitcode


def kill(process: Process) -> int:
    """Kill a child process; one that ended by itself keeps its exit code."""
    if process.is_alive():  # else its number may be another process's by now
        process.kill()
    return exit_code(process)


def run(function: Callable[..., object], *args: Any) -> int:
    """Call a function in a child process; returns its exit code (`KILLED` for SIGKILL)."""
    return exit_code(start(function, *args))


def run_all(function: Callable[..., object], calls: Sequence[Sequence[Any]]) -> None:
    """Call a function in one child process per call, all at once; every one must succeed."""
    codes = [exit_code(process) for process in [start(function, *args) for args in calls]]
    assert codes == [0] * len(calls)
