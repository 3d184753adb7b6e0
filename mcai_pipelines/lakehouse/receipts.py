"""What was copied to a replica: size and checksum of every file, kept beside its data.

The receipts are lines of JSON below ``_replica/``. They say which files a killed replication
had copied already, and what the bytes of a replica ought to be.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse import flight

if TYPE_CHECKING:
    from mcai_pipelines.providers import TableStorage

FOLDER = "_replica"

SECONDS = 1.0
"""At most so much copying is done again after a kill."""

_PER_OBJECT = 200
_MERGE_FROM = 20


@dataclass(frozen=True)
class Receipt:
    """One copied file.

    Attributes:
        path: Below the replica's root.
        size: Bytes.
        checksum: Of its bytes, with the name of the algorithm: ``sha256:…`` or ``md5:…``.
        e_tag: The storage's own mark of the copy, where it makes one: as long as it is the
            same, so are the bytes that were verified.
    """

    path: str
    size: int
    checksum: str
    e_tag: str | None


class Receipts:
    """The receipts of one replica; safe from any thread.

    Args:
        storage: The replica's root.
    """

    def __init__(self, storage: TableStorage) -> None:
        self._storage = storage
        self._lock = threading.Lock()
        self._waiting: list[Receipt] = []
        self._written_at = time.monotonic()

    def load(self) -> dict[str, Receipt]:
        """Every receipt by path; many small objects are merged into one."""
        import obstore

        found: dict[str, Receipt] = {}
        read: list[str] = []
        store = self._storage.store
        for page in obstore.list(store, prefix=f"{FOLDER}/"):
            for item in sorted(page, key=lambda item: item["last_modified"]):
                with suppress(FileNotFoundError):  # somebody else merged it
                    body = bytes(obstore.get(store, item["path"]).bytes())
                    read.append(item["path"])
                    for receipt in map(_parse, body.splitlines()):
                        if receipt is not None:
                            found[receipt.path] = receipt
        if len(read) >= _MERGE_FROM:
            self._write(list(found.values()))
            flight.delete(self._storage, read)
        return found

    def add(self, receipt: Receipt) -> None:
        """Keep a receipt; it is written within a second, or by `flush`."""
        with self._lock:
            self._waiting.append(receipt)
            late = time.monotonic() - self._written_at > SECONDS
            if not late and len(self._waiting) < _PER_OBJECT:
                return
            batch = self._take()
        self._write(batch)

    def flush(self) -> None:
        """Write what waits."""
        with self._lock:
            batch = self._take()
        self._write(batch)

    def _take(self) -> list[Receipt]:
        batch, self._waiting = self._waiting, []
        self._written_at = time.monotonic()
        return batch

    def _write(self, batch: list[Receipt]) -> None:
        import obstore

        if batch:
            body = "".join(f"{json.dumps(asdict(receipt))}\n" for receipt in batch)
            path = f"{FOLDER}/{flight.new_batch_id()[:15]}-{uuid.uuid4().hex[:12]}.jsonl"
            obstore.put(self._storage.store, path, body.encode())


def _parse(line: bytes) -> Receipt | None:
    with suppress(ValueError, TypeError):
        return Receipt(**json.loads(line))
    return None
