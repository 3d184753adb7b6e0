"""Trying out whether a site's storage and catalog let us do what tables need."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError

from mcai_pipelines.errors import McaiError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from mcai_pipelines.providers.storage import SiteStorage

FOLDER = "_probe"
"""Below the namespace's root; no table's key begins with an underscore."""

EXCLUSIVE = "put an object only where its name is free"
"""What commits rest on, and some S3-compatible stores ignore."""


class ProbeFailed(Exception):
    """One thing that tables need does not work.

    Attributes:
        permission: What is missing: ``write``, ``read``, ``list``, `EXCLUSIVE` or ``delete``.
        error: What the store said.
    """

    def __init__(self, permission: str, error: Exception) -> None:
        super().__init__(f"no permission to {permission}: {error}")
        self.permission = permission
        self.error = error


def probe_storage(storage: SiteStorage) -> list[ProbeFailed]:
    """Write, read, list and delete an object, and write it again, below the namespace's root.

    Args:
        storage: The site's.

    Returns:
        What failed, in that order; nothing where all is well. Where the object cannot be
        written, the rest is not tried.
    """
    store = storage.open_at(storage.root, ()).store
    path, data = f"{FOLDER}/{uuid.uuid4().hex}", b"mcai doctor was here"

    def read() -> object:
        return bytes(obstore.get(store, path).bytes())

    def look() -> object:
        return [item for page in obstore.list(store, prefix=f"{FOLDER}/") for item in page]

    failed = _try("write", lambda: obstore.put(store, path, data, mode="create"))
    if failed:
        return failed
    failed = [
        *_try("read", read),
        *_try("list", look),
        *_try(EXCLUSIVE, lambda: _twice(store, path)),
    ]
    return [*failed, *_try("delete", lambda: obstore.delete(store, path))]


def probe_catalog(storage: SiteStorage) -> int:
    """The number of tables that the site's catalog has in the namespace.

    Raises:
        Exception: Whatever the catalog's client raises when it cannot be asked.
    """
    catalog = storage.open_at(storage.root, ()).catalog()
    if not catalog.namespace_exists((storage.namespace,)):
        return 0
    return len(catalog.list_tables((storage.namespace,)))


def _twice(store: ObjectStore, path: str) -> None:
    try:
        obstore.put(store, path, b"again", mode="create")
    except AlreadyExistsError:
        return
    raise McaiError("it overwrote the object, so of two writers one would lose its commit")


def _try(permission: str, act: Callable[[], object]) -> list[ProbeFailed]:
    try:
        act()
    except Exception as error:  # of obstore, or of the operating system
        return [ProbeFailed(permission, error)]
    return []
