"""The ``local`` provider: a site is a folder, its catalog a SQLite or PostgreSQL database."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput, McaiError
from mcai_pipelines.providers.storage import SiteStorage, TableStorage

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from pyiceberg.catalog import Catalog

    from mcai_pipelines.config import Site

_BUSY_SECONDS = 60
_SEPARATOR = "__"
"""Joins a key's parts in the catalog, where not every kind has namespaces within namespaces."""
_KEY_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# delta-rs gives paths with others percent-encoded, and Polars does not decode them; it takes a
# folder's a=b for a partition.
_ODD_IN_ROOT = re.compile(r"[^A-Za-z0-9/._~+@-]")


def open_local(site: Site, root: str, namespace: str, env: Mapping[str, str]) -> SiteStorage:
    """A site whose storage is the folder ``root``."""
    uri = site.catalog.uri.resolve(env) if site.catalog and site.catalog.uri else None
    return open_folder(site.name, Path(root), namespace, uri)


def open_folder(
    site: str, root: Path, namespace: str, catalog_uri: str | None = None
) -> SiteStorage:
    """A folder as a site's storage.

    Args:
        site: The site's name; names its catalog too.
        root: The folder; tables are at ``root/namespace/key``.
        namespace: First part of every table's path and catalog identifier.
        catalog_uri: SQLAlchemy URL of the Iceberg catalog; Iceberg tables need one.

    Raises:
        BadInput: The folder's path has a character that not every reader can follow.
    """
    folder = root.absolute() / namespace
    if odd := sorted(set(_ODD_IN_ROOT.findall(str(folder)))):
        raise BadInput.at(
            f"site {site}",
            f"the path of its folder, {root}, has {' and '.join(map(repr, odd))}, and Polars does"
            " not find a Delta table's files there",
            "use a folder whose path is made of letters, digits and . _ - ~ + @",
        )

    def catalog() -> Catalog:
        if catalog_uri is None:
            raise BadInput.at(
                f"site {site}",
                "an Iceberg table needs a catalog, and the site has none",
                "add catalog: {type: sql, uri: …} to the site",
            )
        return open_sql_catalog(site, catalog_uri)

    def open_adopted(uri: str, identifier: tuple[str, ...]) -> TableStorage:
        path = Path(uri.removeprefix("file://")).absolute()
        return TableStorage(
            uri=str(path),
            identifier=identifier,
            catalog=catalog,
            open_store=lambda: _open_store(path),
        )

    def open_table(key: tuple[str, ...]) -> TableStorage:
        for part in key:
            if not _KEY_PART.fullmatch(part) or _SEPARATOR in part:
                raise BadInput.at(
                    f"table {'/'.join(key)}",
                    f"{part!r} cannot name a folder and a catalog entry",
                    "use letters, digits, single _ and -, a letter or digit first",
                )
        path = folder.joinpath(*key)
        return TableStorage(
            uri=str(path),
            identifier=(namespace, _SEPARATOR.join(key)),
            catalog=catalog,
            open_store=lambda: _open_store(path),
        )

    return SiteStorage(site, namespace, open_table, open_adopted)


def _open_store(path: Path) -> ObjectStore:
    from obstore.store import LocalStore

    try:
        return LocalStore(path, mkdir=True)
    except Exception as error:  # obstore names no narrower class for it
        raise McaiError(f"{path}: the folder cannot be created: {error}") from error


def open_sql_catalog(name: str, uri: str) -> Catalog:
    """PyIceberg's SQL catalog, one per process and database.

    A SQLite file is created in WAL mode, and a busy one is waited for. One that may only be
    read is opened as it is, each time anew, because WAL mode needs a folder to write to.

    Args:
        name: The catalog's name, recorded in its rows: the site's.
        uri: SQLAlchemy URL.

    Raises:
        McaiError: The database cannot be opened.
    """
    if not uri.startswith("sqlite:///"):
        return _open_catalog(name, uri)
    path, _, options = uri.removeprefix("sqlite:///").partition("?")
    _prepare_sqlite(Path(path))
    if _only_readable(Path(path)):
        return _open_catalog.__wrapped__(name, f"sqlite:///file:{path}?immutable=1&uri=true")
    return _open_catalog(
        name, f"sqlite:///{path}?{options + '&' if options else ''}timeout={_BUSY_SECONDS}"
    )


def _only_readable(path: Path) -> bool:
    """Whether nobody has the database open for writing, and this process may not."""
    return not (
        Path(f"{path}-wal").exists()
        or os.access(path.parent, os.W_OK, effective_ids=os.access in os.supports_effective_ids)
    )


@cache
def _open_catalog(name: str, uri: str) -> Catalog:
    """Processes that open a fresh one at once race to create its tables: losers try again."""
    from pyiceberg.catalog.sql import SqlCatalog
    from sqlalchemy.exc import SQLAlchemyError

    for attempt in range(1, 6):
        try:
            return SqlCatalog(name, uri=uri)
        except SQLAlchemyError as error:
            if attempt == 5:
                raise McaiError(
                    f"the Iceberg catalog of site {name} cannot be opened: {error.__cause__}"
                ) from error
            time.sleep(0.1 * attempt)
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
