"""Processes that outlive the one that started them: each leads a process group of its own.

A process is known by its id *and* the moment it started, so that an id that the system has given
to somebody else meanwhile is never signaled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_POLL_SECONDS = 0.02
_GRACE_SECONDS = 10.0
_ZOMBIE = "Z"
_ROOT = str(Path(__file__).resolve().parents[2])
"""Where Python finds this package, also when it is not installed."""


@dataclass(frozen=True)
class Program:
    """What to start.

    Attributes:
        name: The name of its log.
        command: The program and its arguments.
        user: The user id to run it as; None for the present one.
        ends_on: The signal that asks it to end.
    """

    name: str
    command: Sequence[str] = field(repr=False)
    user: int | None = None
    ends_on: int = signal.SIGTERM


@dataclass(frozen=True)
class Process:
    """A process that was started here or by an earlier command.

    Attributes:
        pid: Its id, and that of its process group.
        started: When it started, in the system's own terms; see `started_at`.
        ends_on: The signal that asks it to end.
    """

    pid: int
    started: str
    ends_on: int = signal.SIGTERM

    @property
    def is_alive(self) -> bool:
        """Whether it still runs."""
        return started_at(self.pid) == self.started


def start(program: Program, *, folder: Path, log: Path) -> Process:
    """Start a program in a process group of its own, with its output in a log file.

    Args:
        program: What to start.
        folder: Its working directory.
        log: Where standard output and standard error go, appended.

    Raises:
        OSError: If the program cannot be started.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            program.command,
            cwd=folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=program.user,
            group=program.user,
            extra_groups=None if program.user is None else [],
        )
    process = Process(child.pid, started_at(child.pid) or "", program.ends_on)
    child.returncode = 0  # it is waited for by `end`, or by whoever inherits it
    return process


def environment() -> dict[str, str]:
    """The environment of a process that may run a module of this package."""
    found = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([_ROOT, found] if found else [_ROOT])}


def end(processes: Sequence[Process], grace: float = _GRACE_SECONDS) -> None:
    """End processes and their groups, all at once: politely first, then for certain.

    Args:
        processes: Those that have ended already are left alone.
        grace: How many seconds they have before they are killed.
    """
    for kill in (False, True):
        left = [process for process in processes if process.is_alive]
        for process in left:
            _signal_group(process.pid, signal.SIGKILL if kill else process.ends_on)
        deadline = time.monotonic() + grace
        while any(process.is_alive for process in left) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    for process in processes:
        _reap(process.pid)


def started_at(pid: int) -> str | None:
    """When a process started; None if there is none, or it has ended and waits for its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _ask_ps(pid)
    except ProcessLookupError:
        return None
    state, *fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return None if state == _ZOMBIE else fields[18]


def _ask_ps(pid: int) -> str | None:
    """The same where there is no ``/proc``."""
    command = ["ps", "-o", "state=,lstart=", "-p", str(pid)]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
    state, _, moment = said.partition(" ")
    return None if not said or state.startswith(_ZOMBIE) else moment.strip()


def _signal_group(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, number)


def _reap(pid: int) -> None:
    """Take the exit status of a child, so that it does not stay in the process table."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
