"""Opens the state database, SQLite or PostgreSQL, and words its failures for the user."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, OperationalError

from mcai_pipelines.errors import BadInput, McaiError

_WAIT_SECONDS = 60
"""How long a writer waits for another one: a write takes milliseconds, a migration a second."""

_WHAT_TO_DO = (
    ("locked", "another process has held it too long; find that process, then try again"),
    ("full", "free some space on its disk, then try again"),
    ("not a database", "the file is something else; move it away or name another"),
    ("malformed", "the file is damaged; restore it from a backup"),
    ("readonly", "make the file and its folder writable for this user"),
    ("unable to open", "make the file and its folder readable and writable for this user"),
    ("disk i/o", "see whether its disk is full, failing or limited by a quota"),
)


class StateUnavailable(McaiError):
    """The state database cannot be opened, read or written."""


def shown(url: URL) -> str:
    """The URL without its password, for messages."""
    return url.render_as_string(hide_password=True)


def connect(url: str) -> Engine:
    """An engine for the database; SQLite's file and folder are created.

    Args:
        url: ``sqlite:////absolute/path.db`` or ``postgresql://user@host/name``.

    Raises:
        BadInput: If the URL is malformed, or names another kind of database.
        StateUnavailable: If its driver is not installed or its folder cannot be made.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    return _postgresql(parsed)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for one or more queries that see the same moment."""
    with clear_errors(engine.url), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction, committed at the end; in SQLite it is the only writer from its start."""
    with clear_errors(engine.url):
        immediate = engine.execution_options(mcai_begin="BEGIN IMMEDIATE")
        with immediate.begin() as connection:
            yield connection


@contextmanager
def clear_errors(url: URL) -> Iterator[None]:
    """Turn what the driver raises about the database itself into `StateUnavailable`."""
    try:
        yield
    except DatabaseError as error:
        # Constraint violations and SQL mistakes are siblings of these, and bugs of ours.
        if type(error) not in (DatabaseError, OperationalError, InterfaceError):
            raise
        said = str(error.orig).strip()
        advice = next((todo for sign, todo in _WHAT_TO_DO if sign in said.lower()), None)
        if advice is None:
            advice = "check that the server runs and that the URL, user and password are right"
        raise StateUnavailable(f"state database {shown(url)}: {said}; {advice}") from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise _bad_url("not a database URL") from None
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise _bad_url(f"{parsed.get_backend_name()!r} is not supported")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise _bad_url("every step of a run is a process, and none sees another's memory")
    return parsed


def _bad_url(what: str) -> BadInput:
    return BadInput.at(
        "state database URL",
        what,
        "write sqlite:////absolute/path.db or postgresql://user@host/name",
    )


def _sqlite(url: URL) -> Engine:
    assert url.database is not None
    folder = Path(url.database).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateUnavailable(
            f"state database {shown(url)}: cannot create {folder}: {error.strerror}; make its "
            "parent writable for this user, or name another place in the platform file"
        ) from error
    engine = create_engine(url, connect_args={"timeout": _WAIT_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    with clear_errors(url):
        _use_write_ahead_log(engine)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # no implicit BEGIN: `_begin_sqlite` says which one


def _begin_sqlite(connection: Connection) -> None:
    if statement := connection.get_execution_options().get("mcai_begin", "BEGIN"):
        connection.exec_driver_sql(statement)


def _use_write_ahead_log(engine: Engine) -> None:
    """Let readers go on while one process writes; the file remembers the setting.

    Of several processes that switch a new file at the same moment, SQLite answers some 'locked'
    at once instead of letting them wait, hence the loop.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    with engine.execution_options(mcai_begin=None).connect() as connection:
        while connection.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
            try:
                connection.exec_driver_sql("PRAGMA journal_mode = WAL")
                return  # a file system without shared memory keeps its own mode: slower, as safe
            except OperationalError as error:
                if "locked" not in str(error.orig) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def _postgresql(url: URL) -> Engine:
    if url.drivername == "postgresql":
        # SQLAlchemy 2.1 would look for psycopg 3; dagster-postgres brings psycopg2.
        url = url.set(drivername="postgresql+psycopg2")
    try:
        return create_engine(
            url,
            pool_pre_ping=True,
            connect_args={} if "connect_timeout" in url.query else {"connect_timeout": 10},
        )
    except ModuleNotFoundError as error:
        raise StateUnavailable(
            f"state database {shown(url)}: the driver {error.name} is not installed; "
            "install mcai-pipelines[postgres]"
        ) from error
