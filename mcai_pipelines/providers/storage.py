"""Where a table's bytes are, as each library wants to be told.

`open_site` picks the provider by the scheme of the site's storage URL; everything above
sees `SiteStorage` and `TableStorage` only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from pyiceberg.catalog import Catalog

    from mcai_pipelines.config import Site

_SEPARATOR = "__"
"""Joins a key's parts in the catalog, where not every kind has namespaces within namespaces."""
_KEY_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
# delta-rs gives paths with others percent-encoded, and Polars does not decode them; it takes a
# folder's a=b for a partition.
_ODD_IN_ROOT = re.compile(r"[^A-Za-z0-9/._~+@-]")


@dataclass(frozen=True)
class TableStorage:
    """One table's root, and how to reach it.

    Attributes:
        site: The name of its site, for messages.
        uri: The root without a trailing slash: an absolute path, or a URL.
        identifier: The table's name in the site's Iceberg catalog.
        catalog: Opens that catalog.
        open_store: Opens an object store whose paths are relative to the root.
        polars_options: ``storage_options`` for Polars.
        delta_options: ``storage_options`` for delta-rs.
        file_io: Properties of a PyIceberg ``FileIO`` for the site's storage; empty for a folder.
    """

    site: str
    uri: str
    identifier: tuple[str, ...]
    catalog: Callable[[], Catalog] = field(repr=False)
    open_store: Callable[[], ObjectStore] = field(repr=False)
    polars_options: dict[str, Any] | None = field(default=None, repr=False)
    delta_options: dict[str, str] | None = field(default=None, repr=False)
    file_io: Mapping[str, str] = field(default_factory=dict, repr=False)

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
        root: The folder or URL of the namespace, without a trailing slash.
        open_at: Maps a table's root and catalog name to its storage.
    """

    site: str
    namespace: str
    root: str
    open_at: Callable[[str, tuple[str, ...]], TableStorage] = field(repr=False)

    def table(self, key: tuple[str, ...]) -> TableStorage:
        """The storage of the table with this key, ``("global", "products")``.

        Raises:
            BadInput: A part of the key cannot name a folder and a catalog entry.
        """
        for part in key:
            if not _KEY_PART.fullmatch(part) or _SEPARATOR in part:
                raise BadInput.at(
                    f"table {'/'.join(key)}",
                    f"{part!r} cannot name a folder and a catalog entry",
                    "use letters, digits, single _ and -, a letter or digit first",
                )
        identifier = (self.namespace, _SEPARATOR.join(key))
        return self.open_at("/".join((self.root, *key)), identifier)

    def adopted(self, uri: str, identifier: tuple[str, ...]) -> TableStorage:
        """The storage of a table that another tool owns, with the site's credentials."""
        return self.open_at(uri.rstrip("/"), identifier)


def check_root(site: str, path: str, shown: str) -> None:
    """Refuse a root whose path has a character that not every reader can follow.

    Args:
        site: The site's name.
        path: The path, without scheme and host.
        shown: How the message names it.

    Raises:
        BadInput: It has one.
    """
    if odd := sorted(set(_ODD_IN_ROOT.findall(path))):
        raise BadInput.at(
            f"site {site}",
            f"the path of its folder, {shown}, has {' and '.join(map(repr, odd))}, and Polars does"
            " not find a Delta table's files there",
            "use a folder whose path is made of letters, digits and . _ - ~ + @",
        )


def open_site(site: Site, namespace: str, env: Mapping[str, str]) -> SiteStorage:
    """The storage of a site.

    Args:
        site: From the platform file.
        namespace: Resolved namespace of the platform.
        env: Environment that the site's references are resolved from.

    Raises:
        BadInput: A reference is missing, or does not fit the site's provider.
    """
    root = site.storage.resolve(env)
    scheme, separator, _ = root.partition("://")
    if not separator or scheme == "file":
        from mcai_pipelines.providers.local import open_local

        return open_local(site, root.removeprefix("file://"), namespace, env)
    from mcai_pipelines.providers.cloud import open_cloud

    return open_cloud(site, root.rstrip("/"), namespace, env)
