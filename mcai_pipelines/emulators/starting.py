"""From nothing to an emulator that answers."""

from __future__ import annotations

import datetime as dt
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from mcai_pipelines.emulators.emulator import Emulator, Place, free_ports
from mcai_pipelines.emulators.process import Process, end, start
from mcai_pipelines.emulators.record import Entry
from mcai_pipelines.errors import McaiError

_READY_SECONDS = 60
_ATTEMPTS = 3
"""A port that was free may have been taken when the emulator comes to it."""
_POLL_SECONDS = 0.02


class Start:
    """The way of one emulator from nothing to ready.

    Args:
        emulator: Which.
        place: Its folder; with ports if it ran before.
        canceled: Set when another one has failed.
    """

    def __init__(self, emulator: Emulator, place: Place, canceled: threading.Event) -> None:
        self._emulator = emulator
        self._place = place
        self._canceled = canceled

    def run(self, note: Callable[[Entry], None]) -> Entry:
        """Start it and wait until it answers; its processes are noted as soon as they exist."""
        self._emulator.install(self._place.cache)
        attempts = (
            [self._place] if self._place.ports else [self._with_ports() for _ in range(_ATTEMPTS)]
        )
        for place in attempts:
            entry = self._spawn(place)
            note(entry)
            if self._wait(place, entry):
                self._emulator.create(place)
                return entry
            end(entry.processes)
        raise McaiError(self._why_it_ended())

    def _with_ports(self) -> Place:
        return replace(self._place, ports=free_ports(self._emulator.port_count))

    def _spawn(self, place: Place) -> Entry:
        emulator = self._emulator
        processes: list[Process] = []
        try:
            for program in emulator.programs(place):
                log = place.folder / f"{program.name}.log"
                processes.append(start(program, folder=place.folder, log=log))
        except OSError as error:
            end(processes)
            what = f"{emulator.what} cannot be started: {error.strerror}: {error.filename}"
            raise McaiError(f"{emulator.name}: {what}") from error
        return Entry(
            url=emulator.url(place),
            ports=place.ports,
            processes=tuple(processes),
            since=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
            env=dict(emulator.env(place)),
        )

    def _wait(self, place: Place, entry: Entry) -> bool:
        """Wait until it answers; false if it ends before that."""
        deadline = time.monotonic() + _READY_SECONDS
        while not self._emulator.is_ready(place):
            if self._canceled.is_set():
                raise McaiError(f"{self._emulator.name}: its start was interrupted")
            if not entry.is_up:
                return False
            if time.monotonic() > deadline:
                raise McaiError(
                    f"{self._emulator.name}: {self._emulator.what} does not answer at {entry.url}"
                    f" after {_READY_SECONDS} s; see the logs in {place.folder}"
                )
            time.sleep(_POLL_SECONDS)
        return entry.is_up

    def _why_it_ended(self) -> str:
        folder = self._place.folder
        logs = [log.read_text(errors="replace") for log in sorted(folder.glob("*.log"))]
        said = [line for log in logs for line in log.strip().splitlines()]
        last = f": {said[-1].strip()}" if said else ""
        return f"{self._emulator.name}: {self._emulator.what} ended{last}; see the logs in {folder}"
