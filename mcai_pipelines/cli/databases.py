"""Databases looked at from outside: never created, upgraded or written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mcai_pipelines.errors import McaiError

if TYPE_CHECKING:
    import sqlite3

    from sqlalchemy import Connection, Engine


class Database:
    """An open database that somebody else owns."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def value(self, query: str, **parameters: Any) -> Any:
        """The first value of a query's first row; None without one, or without its table."""
        from sqlalchemy import inspect, text

        table = query.partition(" FROM ")[2].split()[0]
        if not inspect(self._connection).has_table(table):
            return None
        return self._connection.execute(text(query), parameters).scalar()


@contextmanager
def look_into(url: str) -> Iterator[Database | None]:
    """Open a database by its URL; None if it is a SQLite file that does not exist.

    Raises:
        McaiError: It cannot be reached or is no database.
    """
    from sqlalchemy.exc import SQLAlchemyError

    engine = _engine(url)
    if engine is None:
        yield None
        return
    try:
        with engine.connect() as connection:
            yield Database(connection)
    except SQLAlchemyError as error:
        said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise McaiError(f"{shown_url(url)}: {said}") from error
    finally:
        engine.dispose()


def shown_url(url: str) -> str:
    """The URL without its password."""
    from sqlalchemy import make_url

    return make_url(url).render_as_string(hide_password=True)


def _engine(url: str) -> "Engine | None":
    from sqlalchemy import create_engine, make_url

    from mcai_pipelines.state.database import connect

    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return connect(url)
    path = Path(parsed.database or "")
    return create_engine("sqlite://", creator=lambda: _read_only(path)) if path.exists() else None


def _read_only(path: Path) -> "sqlite3.Connection":
    import sqlite3

    # Read-only access to a write-ahead log would create its index; without a log, nobody writes.
    wal = path.with_name(f"{path.name}-wal").exists()
    mode = "mode=ro" if wal else "mode=ro&immutable=1"
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?{mode}", uri=True)
