"""PyIceberg's files on the same object stores, with the same credentials, as everything else.

PyIceberg finds its ``FileIO`` by a property that names a class, and hands it properties that
end up in many places. So they hold no secret: only a handle, which means something in this
process alone, and leads to the site's connection.
"""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import obstore
from obstore.exceptions import AlreadyExistsError
from pyiceberg.io import FileIO, InputFile, InputStream, OutputFile, OutputStream

from mcai_pipelines.errors import McaiError
from mcai_pipelines.providers.exclusive import create

if TYPE_CHECKING:
    from types import TracebackType

    from obstore.store import ObjectStore

HANDLE = "mcai.connection"


class Stores(Protocol):
    """Opens object stores: a site's connection."""

    @property
    def site(self) -> str:
        """The site's name."""

    def root_store(self, scheme_and_host: str) -> ObjectStore:
        """The object store of a whole bucket."""


_handles: dict[Stores, str] = {}
_stores: dict[str, Stores] = {}


def properties_for(stores: Stores) -> dict[str, str]:
    """The PyIceberg properties that lead to these stores; the same for equal ones."""
    handle = _handles.setdefault(stores, f"{stores.site}-{len(_handles)}")
    _stores[handle] = stores
    return {"py-io-impl": f"{__name__}.{StoreFileIO.__name__}", HANDLE: handle}


class StoreFileIO(FileIO):
    """Files by URL, in any bucket that the site's credentials open."""

    def new_input(self, location: str) -> StoreInput:
        """A file to read."""
        return StoreInput(location, *self._locate(location))

    def new_output(self, location: str) -> StoreOutput:
        """A file to write."""
        return StoreOutput(location, *self._locate(location))

    def delete(self, location: str | InputFile | OutputFile) -> None:
        """Delete a file; one that is gone already is fine, as object stores have it."""
        name = location if isinstance(location, str) else location.location
        store, path = self._locate(name)
        with suppress(FileNotFoundError):
            obstore.delete(store, path)

    def _locate(self, location: str) -> tuple[ObjectStore, str]:
        handle = self.properties.get(HANDLE, "")
        stores = _stores.get(handle)
        if stores is None:
            raise McaiError(
                f"{location}: the connection {handle!r} belongs to another process; open the"
                " table anew in this one"
            )
        scheme, _, rest = location.partition("://")
        host, _, path = rest.partition("/")
        return stores.root_store(f"{scheme}://{host}"), path


class StoreInput(InputFile):
    """An object to read: whole where it is read from start to end, in ranges otherwise."""

    def __init__(self, location: str, store: ObjectStore, path: str) -> None:
        super().__init__(location)
        self._store = store
        self._path = path

    def __len__(self) -> int:
        return int(obstore.head(self._store, self._path)["size"])

    def exists(self) -> bool:
        """Whether the object exists."""
        try:
            obstore.head(self._store, self._path)
        except FileNotFoundError:
            return False
        return True

    def open(self, seekable: bool = True) -> InputStream:
        """The object's bytes: metadata and manifests are small, and read whole in one request."""
        return io.BytesIO(bytes(obstore.get(self._store, self._path).bytes()))


class StoreOutput(OutputFile):
    """An object to write."""

    def __init__(self, location: str, store: ObjectStore, path: str) -> None:
        super().__init__(location)
        self._store = store
        self._path = path

    def __len__(self) -> int:
        return len(self.to_input_file())

    def exists(self) -> bool:
        """Whether the object exists."""
        return self.to_input_file().exists()

    def to_input_file(self) -> StoreInput:
        """The same object, to read."""
        return StoreInput(self.location, self._store, self._path)

    def create(self, overwrite: bool = False) -> OutputStream:
        """A stream whose bytes appear as the object, all at once, when it is closed."""
        return _Upload(self._store, self._path, self.location, overwrite)


class _Upload(io.BytesIO):
    def __init__(self, store: ObjectStore, path: str, location: str, overwrite: bool) -> None:
        super().__init__()
        self._store = store
        self._path = path
        self._location = location
        self._overwrite = overwrite

    def close(self) -> None:
        if not self.closed:
            data = self.getvalue()
            super().close()
            self._put(data)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:  # half an object must not appear
            super().close()
        self.close()

    def _put(self, data: bytes) -> None:
        if self._overwrite:
            obstore.put(self._store, self._path, data)
            return
        try:
            create(self._store, self._path, data)
        except AlreadyExistsError as error:
            raise FileExistsError(f"{self._location} exists already") from error
