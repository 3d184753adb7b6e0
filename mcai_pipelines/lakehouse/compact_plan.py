"""Which files a compaction rewrites: those too small, or not sorted, put together in bins."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse import partitions
from mcai_pipelines.lakehouse.errors import SchemaMismatch
from mcai_pipelines.lakehouse.files import DataFile, Partition, read_footer

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.lakehouse.versions import Head
    from mcai_pipelines.providers import TableStorage

TARGET_BYTES = 256 << 20
"""Size of a compacted file, in bytes of Parquet."""

MIN_FILES = 2
"""Files that a bin needs to be worth rewriting."""

GOOD = 0.75
"""Part of the target size from which a file is left as it is."""

_FOOTERS_AT_ONCE = 8

SORTED = "mcai.sorted-by"
"""Parquet metadata of a file that a compaction sorted: JSON list of the columns."""


@dataclass(frozen=True)
class Request:
    """The arguments of `Table.compact`."""

    target_size: int = TARGET_BYTES
    sort_by: tuple[str, ...] = ()
    partitions: frozenset[Partition] | None = None
    min_files: int = MIN_FILES
    properties: Mapping[str, str] = field(default_factory=dict)
    on_step: Callable[[str], None] = lambda _name: None
    on_bin: Callable[[int, int], None] = lambda _done, _of: None


@dataclass(frozen=True)
class Bin:
    """Files of one partition that become ``outputs`` files."""

    files: tuple[DataFile, ...]
    outputs: int = 1

    @property
    def rows(self) -> int:
        """Rows of all its files."""
        return sum(file.rows for file in self.files)

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(file.size for file in self.files)

    @property
    def partition(self) -> Partition:
        """Where its files are."""
        return self.files[0].partition

    def is_live(self, head: Head) -> bool:
        """Whether all its files are visible at a head."""
        return all(file.path in head.files for file in self.files)


def plan(table: Table, head: Head, request: Request) -> list[Bin]:
    """The bins that a compaction of a head rewrites; none where its files are good already.

    Raises:
        SchemaMismatch: A column to sort by, or a partition, is none of the table.
    """
    _check(table, head, request)
    groups: dict[Partition, list[DataFile]] = {}
    for file in sorted(head.files.values(), key=lambda file: file.path.rpartition("/")[2]):
        if request.partitions is None or file.partition in request.partitions:
            groups.setdefault(file.partition, []).append(file)
    bins = []
    for files in groups.values():
        small = [file for file in files if file.size < GOOD * request.target_size]
        unsorted = _unsorted(files, request.sort_by, table.storage)
        if unsorted:
            needed = {file.path: file for file in (*unsorted, *small)}
            size = sum(file.size for file in needed.values())
            bins.append(Bin(tuple(needed.values()), max(1, round(size / request.target_size))))
        else:
            bins += _pack(small, request)
    return bins


def _check(table: Table, head: Head, request: Request) -> None:
    if request.target_size < 1 or request.min_files < 1:
        raise ValueError("target_size and min_files must be positive")
    kinds = {field.name: field.field_type for field in head.schema.fields}
    for name in request.sort_by:
        if name not in kinds or not kinds[name].is_primitive:
            what = f"the table cannot be sorted by {name!r}"
            some = ", ".join(n for n, kind in kinds.items() if kind.is_primitive)
            raise SchemaMismatch.at(table.source, what, f"use columns among: {some}")
    wanted = request.partitions or ()
    partitions.check_wanted(head.schema, head.partition_by, wanted, where=table.source)


def _pack(files: Iterable[DataFile], request: Request) -> list[Bin]:
    """Neighbors together, up to the target size: what was written together stays so."""
    bins: list[list[DataFile]] = []
    size = math.inf
    for file in files:
        if size + file.size > request.target_size:
            bins.append([])
            size = 0
        bins[-1].append(file)
        size += file.size
    return [Bin(tuple(some)) for some in bins if len(some) >= max(request.min_files, 2)]


def _unsorted(
    files: Sequence[DataFile], sort_by: Sequence[str], storage: TableStorage
) -> list[DataFile]:
    """The files that no earlier compaction sorted in this way, by their footers."""
    if not sort_by:
        return []
    wanted = json.dumps(list(sort_by)).encode()

    def is_sorted(file: DataFile) -> bool:
        metadata = read_footer(file.path, file.size, storage).metadata or {}
        return bool(metadata.get(SORTED.encode()) == wanted)

    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as pool:
        return [f for f, known in zip(files, pool.map(is_sorted, files), strict=True) if not known]
