"""Moving a set of files to a replica: several at once, resumed after a kill."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse.checksums import checksum_of
from mcai_pipelines.lakehouse.copying import Place, copy_file
from mcai_pipelines.lakehouse.receipts import Receipt, Receipts

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.files import DataFile


@dataclass(frozen=True)
class Progress:
    """How far a replication is.

    Attributes:
        files: Files to bring to the replica.
        bytes: Their size.
        files_done: Files that are there.
        bytes_done: Bytes that are there.
        files_reused: Files, of those, that an earlier replication had copied.
    """

    files: int
    bytes: int
    files_done: int = 0
    bytes_done: int = 0
    files_reused: int = 0


class Transfer:
    """The files of one replication.

    Args:
        source: Where from.
        target: Where to.
        files: Path at the target to the file at the source.
        streams: How many are copied at once.
        on_progress: Called after each piece, from several threads, one at a time.
        verify: Read what is there already again, and bring it anew where it is damaged.
    """

    def __init__(
        self,
        source: Place,
        target: Place,
        files: Mapping[str, DataFile],
        streams: int,
        on_progress: Callable[[Progress], None],
        *,
        verify: bool = False,
    ) -> None:
        self._source = source
        self._target = target
        self._files = files
        self._streams = streams
        self._on_progress = on_progress
        self._verify = verify
        self._receipts = Receipts(target.storage)
        self._progress = Progress(len(files), sum(file.size for file in files.values()))
        self._lock = threading.Lock()
        self._copied: dict[str, DataFile] = {}

    def run(self) -> dict[str, DataFile]:
        """Bring every file; returns those whose bytes were copied now.

        Raises:
            FileNotFoundError: The source lacks one.
            CopyFailed: One is damaged.
            StorageFailed: The source or the target failed.
        """
        if not self._files:
            return {}
        known = self._receipts.load()
        self._advance()
        with ThreadPoolExecutor(self._streams, thread_name_prefix="replicate") as pool:
            try:
                self._drain(
                    {pool.submit(self._bring, path, known.get(path)) for path in self._files}
                )
            finally:
                pool.shutdown(wait=True, cancel_futures=True)
                self._receipts.flush()
        return self._copied

    def _drain(self, running: set[Future[None]]) -> None:
        done, _ = wait(running, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()

    def _bring(self, path: str, receipt: Receipt | None) -> None:
        file = self._files[path]
        if receipt is not None and self._is_there(path, file, receipt):
            self._advance(files=1, bytes=file.size, reused=1)
            return
        receipt = copy_file(
            self._source, self._target, file, path, lambda size: self._advance(bytes=size)
        )
        self._receipts.add(receipt)
        with self._lock:
            self._copied[path] = file
        self._advance(files=1)

    def _is_there(self, path: str, file: DataFile, receipt: Receipt) -> bool:
        """Whether the storage still holds the copy that was verified."""
        import obstore

        with suppress(FileNotFoundError):
            found = obstore.head(self._target.storage.store, path)
            if not found["size"] == file.size == receipt.size:
                return False
            if self._verify or receipt.e_tag is None:
                algorithm = receipt.checksum.partition(":")[0]
                store = self._target.storage.store
                return checksum_of(store, path, algorithm) == receipt.checksum
            return found["e_tag"] == receipt.e_tag
        return False

    def _advance(self, files: int = 0, bytes: int = 0, reused: int = 0) -> None:
        with self._lock:
            self._progress = replace(
                self._progress,
                files_done=self._progress.files_done + files,
                bytes_done=self._progress.bytes_done + bytes,
                files_reused=self._progress.files_reused + reused,
            )
            self._on_progress(self._progress)
