"""``mcai replicate``: bring a table's replica at another site to the table's newest version."""

import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import typer

from mcai_pipelines.cli.output import Json, print_json, say, size
from mcai_pipelines.cli.project import find_table, open_lake

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.replicate import Replication
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.lakehouse.transfer import Progress

Format = Literal["iceberg", "delta"]


def replicate(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The table to copy, such as global/products.")
    ],
    to: Annotated[str, typer.Option("--to", metavar="SITE", help="Where the replica is kept.")],
    replica: Annotated[
        str | None,
        typer.Option("--as", metavar="KEY", help="The replica's key; SITE/NAME unless given."),
    ] = None,
    format: Annotated[
        Format | None,
        typer.Option(help="The replica's format of record; the site's unless given."),
    ] = None,
    mirror: Annotated[
        Format | None, typer.Option(help="Publish the replica in this format too.")
    ] = None,
    streams: Annotated[int, typer.Option(min=1, max=64, help="Files copied at once.")] = 8,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read the whole replica again and compare checksums.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Undo what others wrote to the replica.")
    ] = False,
    json: Json = False,
) -> None:
    """Copy a table to another site, or bring its replica there up to date.

    Only new files are copied, byte for byte, and verified. Run it again after a failure: what
    was copied is not copied again.
    """
    from mcai_pipelines.lakehouse.replicas import replica_key, replicate_table
    from mcai_pipelines.lakehouse.replicate import ReplicaRequest

    lake = open_lake()
    find_table(lake, key)
    with Meter(f"{key} → {replica or replica_key(key, to)}", quiet=json) as meter:
        request = ReplicaRequest(
            streams=streams, force=force, verify=verify, on_progress=meter.show
        )
        table, done = replicate_table(
            lake, key, to, replica=replica, format=format, mirror=mirror, request=request
        )
    if json:
        print_json(describe(key, to, table, done))
    else:
        say(_sentence(key, to, table, done))


def describe(key: str, site: str, table: "Table", done: "Replication") -> dict[str, Any]:
    """What ``mcai replicate --json`` prints."""
    return {
        "key": key,
        "replica": table.key,
        "site": site,
        "formats": list(table.formats),
        "uri": table.storage.uri,
        "source_version": done.source_version,
        "version": done.version.id,
        "unchanged": done.unchanged,
        "files_copied": done.files_copied,
        "bytes_copied": done.bytes_copied,
        "files_reused": done.files_reused,
        "bytes_reused": done.bytes_reused,
        "files_removed": done.files_removed,
        "files_repaired": done.files_repaired,
        "seconds": done.seconds,
        "mb_per_second": _speed(done),
    }


def _speed(done: "Replication") -> float:
    return done.bytes_copied / 1e6 / done.seconds if done.seconds else 0.0


def _sentence(key: str, site: str, table: "Table", done: "Replication") -> str:
    repaired = f"; {done.files_repaired} damaged files repaired" if done.files_repaired else ""
    if done.unchanged:
        return (
            f"{table.key} at {site} shows version {done.source_version} of {key} already{repaired}."
        )
    speed = f" ({_speed(done):.1f} MB/s)" if done.files_copied else ""
    return (
        f"{table.key} at {site} shows version {done.source_version} of {key}:"
        f" {done.files_copied:,} files copied, {size(done.bytes_copied)}{speed},"
        f" {done.files_reused:,} reused, {done.files_removed:,} removed{repaired}."
    )


class Meter:
    """A progress bar on a terminal; elsewhere a line every few seconds.

    Args:
        what: Named beside the bar.
        quiet: Show nothing but a terminal's bar.
    """

    SECONDS = 5.0

    def __init__(self, what: str, *, quiet: bool) -> None:
        self._what = what
        self._quiet = quiet
        self._stream = os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8")
        self._bar: Any = None
        self._task: Any = None
        self._said = time.monotonic()

    def __enter__(self) -> Self:
        if self._stream.isatty():
            from rich import progress as rich
            from rich.console import Console

            self._bar = rich.Progress(
                rich.TextColumn("{task.description}"),
                rich.BarColumn(),
                rich.DownloadColumn(),
                rich.TransferSpeedColumn(),
                rich.TextColumn("{task.fields[files]}"),
                rich.TimeRemainingColumn(),
                console=Console(file=self._stream, highlight=False),
                transient=True,
            )
            self._task = self._bar.add_task(self._what, total=None, files="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._stream.close()

    def show(self, progress: "Progress") -> None:
        """Where the replication is; called from its threads, one at a time."""
        files = f"{progress.files_done:,}/{progress.files:,} files"
        if self._bar is not None:
            self._bar.update(
                self._task, total=progress.bytes, completed=progress.bytes_done, files=files
            )
        elif not self._quiet and time.monotonic() - self._said > self.SECONDS:
            self._said = time.monotonic()
            done = f"{size(max(progress.bytes_done, 0))} of {size(progress.bytes)}"
            typer.echo(f"{self._what}: {files}, {done}", file=self._stream)
