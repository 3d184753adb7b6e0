"""``mcai table compact``, in short ``mcai compact``: few files of a good size, the same rows."""

import dataclasses
import re
from typing import TYPE_CHECKING, Annotated

import typer

from mcai_pipelines.cli.output import Json, print_json, print_table, say, size
from mcai_pipelines.cli.progress import Progress
from mcai_pipelines.cli.project import find_table, open_lake
from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.compact import Compaction

_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kMGT]?)(i?)B?", re.IGNORECASE)


def compact(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The table, such as aws_us_east_1/transactions.")
    ],
    target_size: Annotated[
        str, typer.Option(metavar="SIZE", help="Size of a file, such as 256MB.")
    ] = "256MiB",
    sort: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Sort the rows of each partition; may be repeated."),
    ] = None,
    min_files: Annotated[
        int, typer.Option(min=1, help="Fewest small files that are worth rewriting as one.")
    ] = 2,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; tell what would be rewritten.")
    ] = False,
    json: Json = False,
) -> None:
    """Rewrite a table's small files as few large ones, as one version that changes no row.

    Files of a good size are left alone. Older versions stay readable until they expire.
    """
    target = parse_size(target_size, "--target-size")
    table, _ = find_table(open_lake(), key)
    before = table.info()
    with Progress(1, "files") as progress:

        def on_bin(done: int, total: int) -> None:
            progress.say(f"{key}: {done:,} of {total:,} groups of files rewritten")

        done = table.compact(
            target_size=target,
            sort_by=tuple(sort or ()),
            min_files=min_files,
            dry_run=dry_run,
            on_bin=on_bin,
        )
    if json:
        answer = dataclasses.asdict(done) | {
            "key": key,
            "dry_run": dry_run,
            "version": done.version.id if done.version else None,
            "mirror_version": done.mirror_version.id if done.mirror_version else None,
        }
        print_json(answer)
        return
    _print(key, done, before.files, dry_run=dry_run)


def _print(key: str, done: "Compaction", files: int, *, dry_run: bool) -> None:
    if done.left:
        say(f"{done.left:,} files were left, because others replaced some of them meanwhile.")
    if not done.files_before:
        say(f"{key}: nothing to compact in {files:,} files.")
        return
    print_table(
        [key, "files", "size"],
        [
            (
                "rewritten" if not dry_run else "to rewrite",
                f"{done.files_before:,}",
                size(done.bytes_before),
            ),
            ("as", f"{done.files_after:,}", size(done.bytes_after)),
        ],
        right=("files", "size"),
    )
    parts = f"{done.partitions:,} partition{'s' * (done.partitions != 1)}"
    where = f"{done.rows:,} rows in {parts}, {done.seconds:.1f} s"
    say(f"{where}: a dry run, nothing was changed." if dry_run else f"{where}.")


def parse_size(text: str, option: str) -> int:
    """Bytes: ``256MB`` is 256,000,000 of them, ``256MiB`` 268,435,456.

    Raises:
        BadInput: It is no size, or zero.
    """
    found = _SIZE.fullmatch(text.strip())
    power = "kmgt".find(found[2].lower()) + 1 if found and found[2] else 0
    count = int(float(found[1]) * (1024 if found[3] else 1000) ** power) if found else 0
    if not count:
        raise BadInput.at(option, f"{text!r} is no size", "write one such as 256MB or 1GiB")
    return count
