"""Checksums of objects: computed here, or told by the service that holds them.

S3 and its likes mark an object with the MD5 of its bytes, unless it was uploaded in parts (then
with the MD5 of the parts' MD5s, and their number) or encrypted with a key of its own (then with
something else).
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK = 8 << 20

_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


def told_by(e_tag: str | None) -> str | None:
    """The checksum that an object's mark may be: ``md5:…``; None where it has another form.

    That it is one is certain only if two services, or we and a service, come to the same.
    """
    found = _MD5.fullmatch(e_tag) if e_tag is not None else None
    return f"md5:{found[1]}" if found else None


def checksum_of(store: ObjectStore, path: str, algorithm: str) -> str:
    """The checksum of an object, read anew.

    Args:
        store: Where it is.
        path: Its path there.
        algorithm: ``sha256`` or ``md5``.
    """
    import obstore

    digest = hashlib.new(algorithm, usedforsecurity=False)
    for chunk in obstore.get(store, path).stream(min_chunk_size=CHUNK):
        digest.update(memoryview(chunk))
    return f"{algorithm}:{digest.hexdigest()}"


class Digest:
    """Hashes bytes that pass by.

    Attributes:
        size: How many have passed.

    Args:
        md5: Make the marks too that S3 gives to an object with these bytes.
        part: Bytes of a part of its upload; None where it is uploaded in one request.
    """

    def __init__(self, *, md5: bool, part: int | None) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._makes_md5 = md5
        self._part = part
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._done: list[bytes] = []
        self._room = part or 0

    def update(self, data: memoryview) -> None:
        """Take the next bytes."""
        self.size += len(data)
        self._sha256.update(data)
        if self._makes_md5:
            self._update_md5(data)

    def _update_md5(self, data: memoryview) -> None:
        while self._part is not None and len(data) >= self._room:
            self._md5.update(data[: self._room])
            self._done.append(self._md5.digest())
            self._md5 = hashlib.md5(usedforsecurity=False)
            data, self._room = data[self._room :], self._part
        self._md5.update(data)
        self._room -= len(data)

    @property
    def checksum(self) -> str:
        """The SHA-256 of the bytes."""
        return f"sha256:{self._sha256.hexdigest()}"

    def is_mark(self, e_tag: str | None) -> bool:
        """Whether an object with this mark certainly holds these bytes."""
        return self._makes_md5 and e_tag is not None and e_tag.strip('"') == self._mark()

    def _mark(self) -> str:
        """The MD5 of the bytes; of an upload in parts, that of the parts' MD5s and their number."""
        if self._part is None:
            return self._md5.hexdigest()
        parts = [*self._done, *([self._md5.digest()] if self._room < self._part else [])]
        return f"{hashlib.md5(b''.join(parts), usedforsecurity=False).hexdigest()}-{len(parts)}"
