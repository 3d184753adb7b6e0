"""Copying a table's files to another storage: byte for byte, verified, in bounded memory.

A copy is verified by its size and checksum. Where both storages mark an object with the MD5 of
its bytes, as S3 does, equal marks prove the copy. Otherwise the bytes are hashed on their way;
then either the mark says that the object holds the same, or it is read again.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, cast

from mcai_pipelines.lakehouse.checksums import Digest, checksum_of, told_by
from mcai_pipelines.lakehouse.errors import CopyFailed
from mcai_pipelines.lakehouse.failures import as_storage_error
from mcai_pipelines.lakehouse.receipts import Receipt
from mcai_pipelines.lakehouse.same_store import within_one_store

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore

    from mcai_pipelines.lakehouse.files import DataFile
    from mcai_pipelines.providers import TableStorage

ATTEMPTS = 4
"""How often one file is tried, where its storage fails or a copy turns out damaged."""

PART = 8 << 20
"""Bytes of a part of a multipart upload; smaller files are uploaded in one request."""

_PARTS_AT_ONCE = 2


@dataclass(frozen=True)
class Place:
    """One end of a copy.

    Attributes:
        storage: The table's root.
        label: What errors name: the table's key.
    """

    storage: TableStorage
    label: str

    @cached_property
    def makes_md5(self) -> bool:
        """Whether the mark of an object may be an MD5 of its bytes."""
        from obstore.store import S3Store

        return isinstance(self.storage.store, S3Store)


def copy_file(
    source: Place, target: Place, file: DataFile, path: str, on_bytes: Callable[[int], None]
) -> Receipt:
    """Copy one file, and verify the copy.

    Args:
        source: Where from.
        target: Where to.
        file: The file at the source.
        path: Its path at the target.
        on_bytes: Called with the bytes that arrived; negative where they are copied again.

    Raises:
        FileNotFoundError: The source has no such file.
        CopyFailed: The copy, or the source, is damaged, time and again.
        StorageFailed: The source or the target failed, time and again.
    """
    attempt = 0
    while True:
        attempt += 1
        copy = _Copy(source, target, file, path, on_bytes)
        try:
            return copy.run()
        except (CopyFailed, _Failed) as error:
            on_bytes(-copy.counted)
            if attempt == ATTEMPTS:
                if isinstance(error, _Failed):
                    error.raise_cause()
                raise
        time.sleep(random.uniform(0, 0.1 * 2**attempt))


class _Failed(Exception):
    """A storage failed; perhaps it does not fail again."""

    def __init__(self, place: Place, cause: Exception) -> None:
        super().__init__(str(cause))
        self.place = place
        self.cause = cause

    def raise_cause(self) -> None:
        with as_storage_error(self.place.label, self.place.storage.site, "copying"):
            raise self.cause


@contextmanager
def _failing(place: Place, *, is_source: bool = False) -> Iterator[None]:
    """Tell the failures of the two storages apart; a source may have expired a file."""
    from obstore.exceptions import BaseError

    try:
        yield
    except (OSError, BaseError) as error:
        if is_source and isinstance(error, FileNotFoundError):
            raise
        raise _Failed(place, error) from error


class _Copy:
    """One attempt at one file."""

    def __init__(
        self,
        source: Place,
        target: Place,
        file: DataFile,
        path: str,
        on_bytes: Callable[[int], None],
    ) -> None:
        self._source = source
        self._target = target
        self._file = file
        self._path = path
        self._on_bytes = on_bytes
        self._digest = Digest(md5=target.makes_md5, part=PART if file.size > PART else None)
        self.counted = 0

    def run(self) -> Receipt:
        import obstore

        inside = within_one_store(self._source.storage.store, self._target.storage.store)
        if inside is not None:
            with suppress(_Failed):  # it may have to pass through here
                if (receipt := self._copy_inside(*inside)) is not None:
                    return receipt
        found = self._open()
        if self._file.size > PART:
            e_tag = asyncio.run(self._stream(found))
        else:
            whole = self._read(found)
            with _failing(self._target):
                store = self._target.storage.store
                e_tag = obstore.put(store, self._path, whole, use_multipart=False)["e_tag"]
            told = told_by(e_tag)
            if told is not None and told == told_by(found.meta["e_tag"]):
                return Receipt(self._path, self._file.size, told, e_tag)
            self._digest.update(memoryview(whole))
        return self._verified(e_tag)

    def _open(self) -> GetResult:
        import obstore

        with _failing(self._source, is_source=True):
            found = obstore.get(self._source.storage.store, self._file.path)
        if found.meta["size"] != self._file.size:
            raise CopyFailed(
                f"table {self._source.label}: {self._file.path} has {found.meta['size']:,} bytes,"
                f" and its log says {self._file.size:,}: the file is damaged; restore it, or roll"
                " back to a version without it"
            )
        return found

    def _read(self, found: GetResult) -> bytes:
        """A small file as a whole."""
        with _failing(self._source, is_source=True):
            whole = cast("bytes", found.bytes())
        self._count(len(whole))
        self._check_length()
        return whole

    def _copy_inside(self, store: ObjectStore, source: str, target: str) -> Receipt | None:
        """Let the service copy the object; None where its marks cannot prove the copy right."""
        import obstore

        with _failing(self._source, is_source=True):
            original = obstore.head(store, f"{source}/{self._file.path}")
        told = told_by(original["e_tag"])
        if original["size"] != self._file.size or told is None:
            return None
        with _failing(self._target):
            obstore.copy(store, f"{source}/{self._file.path}", f"{target}/{self._path}")
            copied = obstore.head(self._target.storage.store, self._path)
        if copied["size"] != self._file.size or told != told_by(copied["e_tag"]):
            return None
        self._count(self._file.size)
        return Receipt(self._path, self._file.size, told, copied["e_tag"])

    async def _stream(self, found: GetResult) -> str | None:
        """Pass a large file on in parts, a few of which are in memory at once."""
        import obstore

        failed: list[Exception] = []

        async def parts() -> AsyncIterator[bytes]:
            try:
                with _failing(self._source, is_source=True):
                    async for part in found.stream(min_chunk_size=PART):
                        self._digest.update(memoryview(part))
                        self._count(len(part))
                        yield part
                    self._check_length()
            except (_Failed, CopyFailed, FileNotFoundError) as error:
                failed.append(error)
                raise

        try:
            with _failing(self._target):
                result = await obstore.put_async(
                    self._target.storage.store,
                    self._path,
                    parts(),
                    use_multipart=True,
                    chunk_size=PART,
                    max_concurrency=_PARTS_AT_ONCE,
                )
        except Exception:
            if failed:  # obstore tells it in words of its own
                raise failed[0] from None
            raise
        return result["e_tag"]

    def _count(self, size: int) -> None:
        self.counted += size
        self._on_bytes(size)

    def _check_length(self) -> None:
        """Refuse bytes of another length than the log says: the connection was cut."""
        if self.counted != self._file.size:
            raise CopyFailed(
                f"table {self._source.label}: {self._file.path} ended after"
                f" {self.counted:,} of {self._file.size:,} bytes"
            )

    def _verified(self, e_tag: str | None) -> Receipt:
        """Compare the copy with the bytes that were hashed: by its mark, or else read again."""
        import obstore

        store, checksum = self._target.storage.store, self._digest.checksum
        if not self._digest.is_mark(e_tag):
            with _failing(self._target):
                found = checksum_of(store, self._path, "sha256")
            if found != checksum:
                raise CopyFailed(
                    f"table {self._target.label}: the copy of {self._path} is damaged: it has the"
                    f" checksum {found} and the original {checksum}; check the storage and the"
                    " network, then run again"
                )
        if e_tag is None:
            with _failing(self._target):
                e_tag = obstore.head(store, self._path)["e_tag"]
        return Receipt(self._path, self._file.size, checksum, e_tag)
