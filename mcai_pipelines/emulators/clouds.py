"""Starting, stopping and finding the emulators of one folder."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from mcai_pipelines.config.wording import did_you_mean, quoted
from mcai_pipelines.emulators import record
from mcai_pipelines.emulators.azure import Azurite
from mcai_pipelines.emulators.emulator import Emulator, Place
from mcai_pipelines.emulators.gcp import FakeGcs
from mcai_pipelines.emulators.postgres import Postgres
from mcai_pipelines.emulators.process import Process, end, environment
from mcai_pipelines.emulators.record import Entry
from mcai_pipelines.emulators.s3 import Moto
from mcai_pipelines.emulators.starting import Start
from mcai_pipelines.errors import BadInput

EMULATORS: Mapping[str, Emulator] = {
    emulator.name: emulator
    for emulator in (Moto("aws"), Azurite(), FakeGcs(), Moto("private"), Postgres())
}
"""Every emulator, by name."""

Report = Callable[[str, Entry], None]
"""Called with the name of each emulator that is ready."""


class Clouds(Mapping[str, Entry]):
    """The emulators of one folder, by name.

    Args:
        folder: Their state, data and logs.
        cache: What is installed once; default: ``cache`` beside the folder.
    """

    def __init__(self, folder: Path, cache: Path | None = None) -> None:
        self.folder = folder.absolute()
        self.cache = (cache or folder.parent / "cache").absolute()

    def __getitem__(self, name: str) -> Entry:
        return record.read(self.folder)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(record.read(self.folder))

    def __len__(self) -> int:
        return len(record.read(self.folder))

    @property
    def env(self) -> dict[str, str]:
        """The variables that ``platforms/emulated.yaml`` reads."""
        return {key: value for entry in self.values() for key, value in entry.env.items()}

    def start(self, only: Collection[str] | None = None, report: Report | None = None) -> None:
        """Start the emulators that do not run; one that was stopped keeps its ports and data.

        Args:
            only: Names; default: all.
            report: Called as each of them is ready.

        Raises:
            BadInput: A name is not that of an emulator.
            McaiError: One cannot be started; the others of this call are stopped again.
        """
        names = known(only)
        with record.locked(self.folder):
            before = record.read(self.folder)
            missing = [name for name in names if name not in before or not before[name].is_up]
            end(_processes(missing, before))
            try:
                self._start_all(missing, before, report)
            except BaseException:
                self._drop(name for name in missing if name not in before)
                raise

    def stop(self, only: Collection[str] | None = None) -> None:
        """Stop emulators; they can be started again, at the same ports.

        moto (``aws`` and ``private``) forgets what was stored; the others keep it.

        Raises:
            BadInput: A name is not that of an emulator.
        """
        names = known(only)
        with record.locked(self.folder):
            entries = record.read(self.folder)
            there = [name for name in names if name in entries]
            end(_processes(there, entries))
            record.write(
                self.folder, {**entries, **{name: entries[name].stopped() for name in there}}
            )

    def restart(self, name: str) -> None:
        """Stop one emulator and start it again."""
        self.stop([name])
        self.start([name])

    def remove(self) -> list[str]:
        """Stop every emulator and delete its data; the names of those that there were."""
        with record.locked(self.folder):
            names = list(record.read(self.folder))
            self._drop(names)
        return names

    def _start_all(
        self, names: list[str], before: Mapping[str, Entry], report: Report | None
    ) -> None:
        entries = dict(before)
        lock, canceled = threading.Lock(), threading.Event()

        def note(name: str, entry: Entry) -> None:
            with lock:  # at once: whoever ends us may have to end what we started
                entries[name] = entry
                record.write(self.folder, entries)

        def one(name: str) -> None:
            start = Start(EMULATORS[name], self._place(name, before.get(name)), canceled)
            entry = start.run(lambda entry: note(name, entry))
            if report is not None:
                report(name, entry)

        with ThreadPoolExecutor(len(EMULATORS)) as threads:
            try:
                for job in as_completed([threads.submit(one, name) for name in names]):
                    job.result()
            finally:
                canceled.set()

    def _place(self, name: str, before: Entry | None) -> Place:
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return Place(folder, self.cache, before.ports if before else ())

    def _drop(self, names: Iterable[str]) -> None:
        entries, gone = record.read(self.folder), set(names)
        end(_processes(gone, entries))
        for name in gone:
            EMULATORS[name].discard(self._place(name, entries.get(name)))
            shutil.rmtree(self.folder / name, ignore_errors=True)
        left = {name: entry for name, entry in entries.items() if name not in gone}
        record.write(self.folder, left)


@contextmanager
def running(
    folder: Path,
    only: Collection[str] | None = None,
    *,
    cache: Path | None = None,
    report: Report | None = None,
) -> Iterator[Clouds]:
    """Run emulators for as long as a block takes; their data is deleted afterwards.

    They end even if this process is killed.

    Args:
        folder: Their state, data and logs; leftovers of an earlier run in it are ended first.
        only: Names; default: all.
        cache: What is installed once; default: ``cache`` beside the folder.
        report: Called as each of them is ready.

    Raises:
        BadInput: A name is not that of an emulator.
        McaiError: One cannot be started.
    """
    clouds = Clouds(folder, cache)
    clouds.remove()
    watcher = subprocess.Popen(
        [sys.executable, "-m", "mcai_pipelines.emulators.watcher", str(clouds.folder)],
        env=environment(),
        stdin=subprocess.PIPE,
        start_new_session=True,  # Ctrl-C is for us, not for it
    )
    try:
        clouds.start(only, report)
        yield clouds
    finally:
        clouds.remove()
        watcher.communicate()


def _processes(names: Collection[str], entries: Mapping[str, Entry]) -> list[Process]:
    return [process for name in names if name in entries for process in entries[name].processes]


def known(only: Collection[str] | None) -> list[str]:
    """Names of emulators, each once; all of them for None.

    Raises:
        BadInput: A name is not that of an emulator.
    """
    wanted = list(EMULATORS) if only is None else list(dict.fromkeys(only))
    for name in wanted:
        if name not in EMULATORS:
            what = f"there is no emulator {quoted(name)}"
            raise BadInput.at("emulators", what, did_you_mean(name, EMULATORS))
    return wanted
