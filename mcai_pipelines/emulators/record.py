"""What runs, written down in the folder of the emulators, so that another process finds it."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from mcai_pipelines.emulators.process import Process

_FILE = "state.json"


@dataclass(frozen=True)
class Entry:
    """One emulator that was started.

    Attributes:
        url: What its clients are told.
        ports: Its ports.
        processes: Its processes.
        since: When it was started: ISO 8601, in UTC.
        env: Its variables, fake secrets among them.
    """

    url: str
    ports: tuple[int, ...]
    processes: tuple[Process, ...]
    since: str
    env: Mapping[str, str] = field(repr=False)

    @property
    def is_up(self) -> bool:
        """Whether all of its processes run."""
        return bool(self.processes) and all(process.is_alive for process in self.processes)

    def stopped(self) -> Entry:
        """The same without processes; its ports and data are kept."""
        return replace(self, processes=())


def read(folder: Path) -> dict[str, Entry]:
    """What was started in a folder, by name; empty if nothing was."""
    try:
        found = json.loads((folder / _FILE).read_text())
    except FileNotFoundError:
        return {}
    return {name: _entry(value) for name, value in found.items()}


def write(folder: Path, entries: Mapping[str, Entry]) -> None:
    """Write down what runs in a folder, for this user's eyes only."""
    part = folder / f".{_FILE}.{os.getpid()}"
    part.touch(mode=0o600)
    part.write_text(json.dumps({name: asdict(entry) for name, entry in entries.items()}, indent=2))
    part.replace(folder / _FILE)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time start or stop emulators in a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _entry(value: dict[str, Any]) -> Entry:
    processes = tuple(Process(**process) for process in value.pop("processes"))
    return Entry(ports=tuple(value.pop("ports")), processes=processes, **value)
