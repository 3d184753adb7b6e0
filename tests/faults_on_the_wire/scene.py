"""A table that is reached through a proxy, and what a test knows that it must hold."""

from __future__ import annotations

import datetime as dt
import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import polars as pl
import pytest

from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse import flight
from mcai_pipelines.lakehouse.failures import as_storage_error
from mcai_pipelines.lakehouse.replicate import ReplicaRequest, replicate
from mcai_pipelines.lakehouse.table import Table
from tests.harness.proxy import Proxy

Rows: TypeAlias = list[tuple[int, str, int]]
FIRST: Rows = [(1, "a", 10), (2, "b", 20)]
SECOND: Rows = [(3, "a", 30), (4, "c", 40)]
NEXT = (99, "c", 990)

FILES = r"_data/.*\.parquet"
ANYTHING = ""
COMMITS = r"_delta_log/\d+\.json|_iceberg/[^/]*\.(metadata\.json|avro)"


def frame(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame(rows, {"id": pl.Int64, "p": pl.String, "units": pl.Int64}, orient="row")


def rows_of(table: Table, format: str | None = None) -> Rows:
    return sorted(table.scan(format=format).collect().rows())


def alone(table: Table) -> Table:
    """A table, opened without its mirror."""
    return Table(table.key, table.storage, table.primary, partition_by=table.partition_by)


@dataclass
class Scene:
    """One table of two versions.

    Attributes:
        cloud: Where it is.
        proxy: What stands between us and that cloud.
        table: Through the proxy.
        reader: The same table, past it.
        copy: Its replica, to be made through the proxy.
        copy_reader: The same, past it.
        secrets: What no message may hold.
        rows: What it must hold.
    """

    cloud: str
    proxy: Proxy
    table: Table
    reader: Table
    copy: Table
    copy_reader: Table
    secrets: tuple[str, ...]
    rows: Rows = field(default_factory=lambda: [*FIRST, *SECOND])

    def fill(self, *, mirrored: bool = True) -> None:
        """Write the table's two versions, past the proxy, in both formats or in one."""
        table = self.reader if mirrored else alone(self.reader)
        table.write(frame(FIRST))
        table.write(frame(SECOND))

    def fails(self, operation: Operation) -> str:
        """An operation fails, and says where, in what and why, and no secret."""
        with pytest.raises(McaiError) as caught:
            operation.run(self)
        message = str(caught.value)
        assert message.startswith(f"table {self.table.key}: ") or self.copy.key in message, message
        assert re.search(f"{operation.doing} at site {self.cloud}: ", message), message
        assert "\n" not in message
        shown = "".join(traceback.format_exception(caught.value))
        assert not any(secret in shown for secret in self.secrets)
        return message

    def assert_sound(self) -> None:
        """The rows are there, each once, in both formats, and for readers that come anew."""
        for format in self.reader.formats:
            assert rows_of(self.reader, format) == sorted(self.rows), format

    def assert_next_write_works(self) -> None:
        """What is there is what it was, and the next write lands and tidies up after failures."""
        self.proxy.clear()
        self.proxy.accept()
        assert rows_of(self.reader) == sorted(self.rows)
        with pytest.MonkeyPatch.context() as patch:
            # Whoever failed has ended since, as the process of a failed step does.
            patch.setattr(flight, "_process_start", lambda _pid: "of another process")
            patch.setattr(flight, "LATE", dt.timedelta(0))
            self.table.write(frame([NEXT]))
        self.rows = [*self.rows, NEXT]
        self.assert_sound()
        self.assert_nothing_is_staged()

    def assert_nothing_is_staged(self) -> None:
        """No batch is in flight, and every data file is one that a version shows."""
        store = self.reader.storage.store
        found = [item["path"] for page in store.list(prefix="_staged/") for item in page]
        assert found == []
        shown = {
            path
            for version in self.reader.history()
            for path in self.reader.primary.at(version.id).files
        }
        files = {item["path"] for page in store.list(prefix="_data/") for item in page}
        assert files - shown == set()


@dataclass(frozen=True)
class Operation:
    """Something done to the table of a scene.

    Attributes:
        name: Of the test.
        doing: What errors call it, as a regular expression.
        run: Does it.
        rows: What the table holds afterwards.
        stages: Where a lasting fault may begin: the requests, as regular expressions.
    """

    name: str
    doing: str
    run: Callable[[Scene], object]
    rows: Callable[[Rows], Rows] = lambda rows: rows
    stages: tuple[str, ...] = (COMMITS, FILES, ANYTHING)

    def __str__(self) -> str:
        return self.name


def _mirror(scene: Scene) -> None:
    alone(scene.table).mirror_to(scene.table.formats[1])


def _replicate(scene: Scene) -> None:
    replicate(scene.table, scene.copy, ReplicaRequest(site=scene.cloud, streams=2))


def _scan(scene: Scene) -> None:
    with as_storage_error(scene.table.key, scene.cloud, "reading"):  # as `mcai read` does
        assert rows_of(scene.table) == sorted(scene.rows)


NEW: Rows = [(5, "a", 50), (6, "d", 60)]
MERGED: Rows = [(1, "a", 11), (7, "b", 70)]


def _merged(rows: Rows) -> Rows:
    keys = {row[0] for row in MERGED}
    return [*(row for row in rows if row[0] not in keys), *MERGED]


OPERATIONS: Mapping[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            "append",
            "writing",
            lambda scene: scene.table.write(frame(NEW)),
            lambda rows: [*rows, *NEW],
        ),
        Operation(
            "overwrite_partitions",
            "writing",
            lambda scene: scene.table.write(
                frame(NEW), "overwrite_partitions", partitions=[("a",), ("d",)]
            ),
            lambda rows: [*(row for row in rows if row[1] not in ("a", "d")), *NEW],
        ),
        Operation(
            "merge",
            "writing",
            lambda scene: scene.table.write(frame(MERGED), "merge", on=["id"]),
            _merged,
        ),
        Operation(
            "rollback",
            "rolling back",
            lambda scene: scene.table.rollback(scene.reader.history()[-1].id),
            lambda _rows: FIRST,
            stages=(COMMITS, ANYTHING),
        ),
        Operation(
            "compact",
            "compacting",
            lambda scene: scene.table.compact(min_files=2),
        ),
        Operation(
            "expire",
            "expiring",
            lambda scene: scene.table.expire(keep=1, older_than=dt.timedelta(0)),
            stages=(COMMITS, ANYTHING),
        ),
        Operation("mirror", "mirroring", _mirror, stages=(COMMITS, ANYTHING)),
        Operation("replicate", "(replicating|copying)", _replicate),
        Operation("scan", "reading", _scan, stages=(FILES, ANYTHING)),
    )
}
