"""Looks for one value in every object of a site, decoded as far as its format goes.

Knows nothing of us: Parquet's pages are walked by its own page headers, Avro is read by
fastavro, databases by SQLite. What is found is told by file and place.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

Finding = tuple[str, str]
"""The file, relative to the folder searched, and the place in it."""


class Needle:
    """A value, in every way that a file may spell it."""

    def __init__(self, value: int | str) -> None:
        self.value = value
        self.text = str(value)
        self.spelled = {self.text.encode()}
        if isinstance(value, int):
            sizes = (8,) if value >= 1 << 31 else (4, 8)
            self.spelled |= {value.to_bytes(size, "little", signed=True) for size in sizes}

    def in_bytes(self, data: bytes) -> bool:
        return any(spelled in data for spelled in self.spelled)

    def in_value(self, value: Any) -> bool:
        """Whether a decoded value is it, or holds it, however deep."""
        match value:
            case bool() | None:
                return False
            case bytes():
                return self.in_bytes(value)
            case str():
                return self.text in value or self.text in unquote(value)
            case dict():
                return any(self.in_value(part) for pair in value.items() for part in pair)
            case list() | tuple():
                return any(self.in_value(part) for part in value)
        return bool(value == self.value)


def find(folder: Path, value: int | str) -> list[Finding]:
    """Every place below a folder that holds the value; names of files and folders count too."""
    needle = Needle(value)
    return [
        (str(path.relative_to(folder)), place)
        for path in sorted(folder.rglob("*"))
        for place in _places(path, folder, needle)
    ]


def _places(path: Path, folder: Path, needle: Needle) -> Iterator[str]:
    if needle.in_value(str(path.relative_to(folder))):
        yield "its path"
    if not path.is_file():
        return
    data = path.read_bytes()
    if needle.in_bytes(data):
        yield "raw bytes"
    if path.suffix == ".parquet":
        yield from _in_parquet(path, data, needle)
    elif path.suffix == ".avro":
        yield from _in_avro(path, needle)
    elif path.suffix == ".db":
        yield from _in_sqlite(path, needle)
    elif path.suffix in (".json", ".jsonl") or path.parent.name == "_delta_log":
        for line in data.splitlines() if path.suffix != ".json" or _is_lines(data) else [data]:
            if line.strip() and needle.in_value(json.loads(line)):
                yield "JSON"


def _is_lines(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return True
    return False


# ---------------------------------------------------------------------- Parquet


def _in_parquet(path: Path, data: bytes, needle: Needle) -> Iterator[str]:
    for name, column in pq.read_table(path, partitioning=None).to_pydict().items():
        if needle.in_value(column):
            yield f"values of {name}"
    metadata = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            statistics = chunk.statistics
            known = statistics is not None and statistics.has_min_max
            if known and needle.in_value([statistics.min, statistics.max]):
                yield f"statistics of {chunk.path_in_schema}"
            for kind, page in _pages(data, chunk):
                if needle.in_bytes(page):
                    yield f"{kind} of {chunk.path_in_schema}"


_KINDS = {0: "data page", 2: "dictionary page", 3: "data page"}


def _pages(data: bytes, chunk: Any) -> Iterator[tuple[str, bytes]]:
    """A column chunk's pages, decompressed (Parquet file format, "Data Pages")."""
    position = chunk.dictionary_page_offset or chunk.data_page_offset
    end = position + chunk.total_compressed_size
    while position < end:
        header, position = _thrift_struct(data, position)
        kind, size, stored = header[1], header[2], header[3]
        page = data[position : position + stored]
        position += stored
        if kind == 3:  # its levels are not compressed (field 8: sizes 5 and 6 in it)
            levels = header[8].get(5, 0) + header[8].get(6, 0)
            page, size = page[levels:], size - levels
        if chunk.compression != "UNCOMPRESSED" and size and page:
            page = pa.Codec(chunk.compression.lower()).decompress(page, size).to_pybytes()
        yield _KINDS[kind], page


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7


def _thrift_struct(data: bytes, position: int) -> tuple[dict[int, Any], int]:
    """A struct of Thrift's compact protocol: field number to value."""
    fields: dict[int, Any] = {}
    number = 0
    while data[position]:
        delta, kind = data[position] >> 4, data[position] & 15
        position += 1
        if delta:
            number += delta
        else:
            raw, position = _varint(data, position)
            number = (raw >> 1) ^ -(raw & 1)
        fields[number], position = _thrift_value(data, position, kind)
    return fields, position + 1


def _thrift_value(data: bytes, position: int, kind: int) -> tuple[Any, int]:
    if kind in (1, 2):
        return kind == 1, position
    if kind == 3:
        return data[position], position + 1
    if kind in (4, 5, 6):
        raw, position = _varint(data, position)
        return (raw >> 1) ^ -(raw & 1), position
    if kind == 8:
        length, position = _varint(data, position)
        return data[position : position + length], position + length
    assert kind == 12, f"no page header has a value of kind {kind}"
    return _thrift_struct(data, position)


# ---------------------------------------------------------------------- Avro and SQLite


def _in_avro(path: Path, needle: Needle) -> Iterator[str]:
    with path.open("rb") as file:
        reader = fastavro.reader(file)
        if needle.in_value(dict(reader.metadata)):
            yield "Avro header"
        if any(needle.in_value(record) for record in reader):
            yield "Avro record"


def _in_sqlite(path: Path, needle: Needle) -> Iterator[str]:
    connection = sqlite3.connect(path)
    names = [
        row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type='table'")
    ]
    for name in names:
        if any(needle.in_value(row) for row in connection.execute(f'SELECT * FROM "{name}"')):
            yield f"rows of {name}"
    connection.close()
