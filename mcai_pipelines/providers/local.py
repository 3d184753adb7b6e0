"""The ``local`` provider: a site is a folder, whatever cloud it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mcai_pipelines.errors import McaiError
from mcai_pipelines.providers.catalogs import no_catalog, open_catalog, open_sql_catalog
from mcai_pipelines.providers.storage import SiteStorage, TableStorage, check_root

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from pyiceberg.catalog import Catalog

    from mcai_pipelines.config import Site


def open_local(site: Site, root: str, namespace: str, env: Mapping[str, str]) -> SiteStorage:
    """A site whose storage is the folder ``root``."""
    return _open(site.name, Path(root), namespace, lambda: open_catalog(site, env, {}))


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

    def catalog() -> Catalog:
        return no_catalog(site) if catalog_uri is None else open_sql_catalog(site, catalog_uri)

    return _open(site, root, namespace, catalog)


def _open(site: str, root: Path, namespace: str, catalog: Callable[[], Catalog]) -> SiteStorage:
    folder = root.absolute() / namespace
    check_root(site, str(folder), str(root))

    def open_at(uri: str, identifier: tuple[str, ...]) -> TableStorage:
        path = Path(uri.removeprefix("file://")).absolute()
        return TableStorage(
            site=site,
            uri=str(path),
            identifier=identifier,
            catalog=catalog,
            open_store=lambda: _open_store(path),
        )

    return SiteStorage(site, namespace, str(folder), open_at)


def _open_store(path: Path) -> ObjectStore:
    from obstore.store import LocalStore

    try:
        return LocalStore(path, mkdir=True)
    except Exception as error:  # obstore names no narrower class for it
        raise McaiError(f"{path}: the folder cannot be created: {error}") from error
