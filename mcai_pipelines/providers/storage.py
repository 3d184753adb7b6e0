"""Where a table's bytes are, as each library wants to be told.

`open_site` picks the provider by the scheme of the site's storage URL; everything above
sees `SiteStorage` and `TableStorage` only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from pyiceberg.catalog import Catalog

    from mcai_pipelines.config import Site


@dataclass(frozen=True)
class TableStorage:
    """One table's root, and how to reach it.

    Attributes:
        uri: The root without a trailing slash: an absolute path, or a URL.
        identifier: The table's name in the site's Iceberg catalog.
        catalog: Opens that catalog.
        open_store: Opens an object store whose paths are relative to the root.
        polars_options: ``storage_options`` for Polars.
        delta_options: ``storage_options`` for delta-rs.
    """

    uri: str
    identifier: tuple[str, ...]
    catalog: Callable[[], Catalog]
    open_store: Callable[[], ObjectStore]
    polars_options: dict[str, str] | None = None
    delta_options: dict[str, str] | None = None

    @cached_property
    def store(self) -> ObjectStore:
        """The object store of the table's root, opened once."""
        return self.open_store()


@dataclass(frozen=True)
class SiteStorage:
    """A site's storage within one namespace.

    Attributes:
        site: The site's name.
        namespace: Runs of another namespace use other folders and other catalog names.
        open_table: Maps a table key (``("global", "products")``) to its storage.
        open_adopted: Maps the URI and catalog name of another tool's table to its storage.
    """

    site: str
    namespace: str
    open_table: Callable[[tuple[str, ...]], TableStorage]
    open_adopted: Callable[[str, tuple[str, ...]], TableStorage]

    def table(self, key: tuple[str, ...]) -> TableStorage:
        """The storage of the table with this key."""
        return self.open_table(key)

    def adopted(self, uri: str, identifier: tuple[str, ...]) -> TableStorage:
        """The storage of a table that another tool owns, with the site's credentials."""
        return self.open_adopted(uri, identifier)


def open_site(site: Site, namespace: str, env: Mapping[str, str]) -> SiteStorage:
    """The storage of a site.

    Args:
        site: From the platform file.
        namespace: Resolved namespace of the platform.
        env: Environment that the site's references are resolved from.

    Raises:
        BadInput: A reference is missing, or the storage is not of a kind built yet.
    """
    from mcai_pipelines.providers import local

    root = site.storage.resolve(env)
    scheme, separator, _ = root.partition("://")
    if not separator or scheme == "file":
        return local.open_local(site, root.removeprefix("file://"), namespace, env)
    raise BadInput.at(
        f"site {site.name}",
        f"storage with the scheme {scheme}:// is not available in this version",
        "use a folder (see platforms/local.yaml)",
    )
