"""Iceberg catalogs: SQL (SQLite or PostgreSQL), AWS Glue, and REST servers.

No secret is among a catalog's properties: PyIceberg hands those on to every table's ``FileIO``.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mcai_pipelines.errors import BadInput, McaiError
from mcai_pipelines.providers import secrets
from mcai_pipelines.providers.trust import trust_site

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from mcai_pipelines.config import Catalog as Declared
    from mcai_pipelines.config import Site

_BUSY_SECONDS = 60
_Pairs = tuple[tuple[str, str], ...]


def open_catalog(site: Site, env: Mapping[str, str], file_io: Mapping[str, str]) -> Catalog:
    """The Iceberg catalog of a site, one per process.

    Args:
        site: From the platform file.
        env: Environment that the site's references are resolved from.
        file_io: Properties of the ``FileIO`` that its tables are read and written with.

    Raises:
        BadInput: The site has no catalog, or a reference is missing.
        McaiError: The catalog cannot be opened.
    """
    declared = site.catalog
    if declared is None:
        no_catalog(site.name)
    uri = declared.uri.resolve(env) if declared.uri else None
    if declared.type == "glue":
        from mcai_pipelines.providers.glue import open_glue_catalog

        return open_glue_catalog(site, uri, env, file_io)
    assert uri is not None  # a rule of the platform file
    if declared.type == "rest":
        return _open_rest(site, declared, uri, env, file_io)
    return open_sql_catalog(site.name, uri, file_io)


def _open_rest(
    site: Site, declared: Declared, uri: str, env: Mapping[str, str], file_io: Mapping[str, str]
) -> Catalog:
    from mcai_pipelines.providers.rest import RestConnection, open_rest_catalog

    def resolved(name: str) -> str | None:
        reference = getattr(declared, name)
        return reference.resolve(env) if reference else None

    token, credential = resolved("token"), resolved("credential")
    secrets.remember(token, credential, credential and credential.partition(":")[2])
    connection = RestConnection(
        uri=uri,
        warehouse=resolved("warehouse"),
        token=token,
        credential=credential,
        ca_file=trust_site(site, env),
        proxy=site.proxy.resolve(env) if site.proxy else None,
    )
    return open_rest_catalog(site.name, connection, tuple(file_io.items()))


def no_catalog(site: str) -> NoReturn:
    """Say that a site has none.

    Raises:
        BadInput: Always.
    """
    raise BadInput.at(
        f"site {site}",
        "an Iceberg table needs a catalog, and the site has none",
        "add catalog: {type: sql, uri: …} to the site",
    )


def open_sql_catalog(name: str, uri: str, file_io: Mapping[str, str] | None = None) -> Catalog:
    """PyIceberg's SQL catalog, one per process and database.

    A SQLite file is created in WAL mode, and a busy one is waited for. One that may only be
    read is opened as it is, each time anew, because WAL mode needs a folder to write to.

    Args:
        name: The catalog's name, recorded in its rows: the site's.
        uri: SQLAlchemy URL.
        file_io: Properties of the ``FileIO`` that its tables are read and written with.

    Raises:
        McaiError: The database cannot be opened.
    """
    pairs = tuple((file_io or {}).items())
    secrets.remember_url(uri)
    if uri.startswith("postgresql://"):
        # SQLAlchemy 2.1 would look for psycopg 3; dagster-postgres brings psycopg2.
        uri = f"postgresql+psycopg2://{uri.removeprefix('postgresql://')}"
    if not uri.startswith("sqlite:///"):
        return _open_catalog(name, uri, pairs)
    path, _, options = uri.removeprefix("sqlite:///").partition("?")
    _prepare_sqlite(Path(path))
    if _only_readable(Path(path)):
        immutable = f"sqlite:///file:{path}?immutable=1&uri=true"
        return _open_catalog.__wrapped__(name, immutable, pairs)
    with_timeout = f"sqlite:///{path}?{options + '&' if options else ''}timeout={_BUSY_SECONDS}"
    return _open_catalog(name, with_timeout, pairs)


def _only_readable(path: Path) -> bool:
    """Whether nobody has the database open for writing, and this process may not."""
    return not (
        Path(f"{path}-wal").exists()
        or os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    )


@cache
def _open_catalog(name: str, uri: str, file_io: _Pairs) -> Catalog:
    """Processes that open a fresh one at once race to create its tables: losers try again."""
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    properties: dict[str, Any] = {**dict(file_io), "uri": uri, "pool_pre_ping": "true"}
    for attempt in range(1, 6):
        try:
            catalog = SqlCatalog(name, **properties)
        except SQLAlchemyError as error:
            if attempt == 5:
                said = str(error.__cause__ or error).partition("\n")[0]
                raise McaiError(
                    f"the Iceberg catalog of site {name} cannot be opened: {secrets.redact(said)};"
                    " check its address, user and password"
                ) from error
            time.sleep(0.1 * attempt)
        else:
            shown = make_url(uri).render_as_string(hide_password=True)
            catalog.properties = {**catalog.properties, "uri": shown}
            return catalog
    raise AssertionError("unreachable")


def _prepare_sqlite(path: Path) -> None:
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path)
        _switch_to_wal(connection)
        connection.close()
    except (OSError, sqlite3.Error) as error:
        raise McaiError(f"{path}: the Iceberg catalog cannot be created: {error}") from error


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """Switch a new database; SQLite's own timeout does not wait for whoever else does so."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
