"""``mcai table expire``: forget old versions of a table, and delete the files of theirs."""

import datetime as dt
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mcai_pipelines.cli.output import Json, print_json, print_table, say, size
from mcai_pipelines.cli.project import find_table, open_lake
from mcai_pipelines.cli.tables import Key
from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.expire import Expiry

_AGE = re.compile(r"(\d+)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def expire(
    key: Key,
    keep: Annotated[
        int | None,
        typer.Option(min=1, help="Versions to keep, however old (default: the contract's, or 10)."),
    ] = None,
    older_than: Annotated[
        str | None,
        typer.Option(
            help="Keep versions that were current within this time, such as 12h (default: the"
            " contract's, or 7d). No reader may be at an older one."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")] = False,
    json: Json = False,
) -> None:
    """Forget old versions in both formats, and delete the files that only they showed."""
    from mcai_pipelines.lakehouse.retention import policy

    age = _age(older_than) if older_than is not None else None
    lake = open_lake()
    table, record = find_table(lake, key)
    usual, young = policy(lake.contracts.get(record.contract) if record.contract else None)
    done = table.expire(
        keep=usual if keep is None else keep,
        older_than=young if age is None else age,
        dry_run=dry_run,
    )
    if json:
        print_json({"key": key, **asdict(done), "reclaimed": done.reclaimed})
    else:
        _show(key, done)


def _age(text: str) -> dt.timedelta:
    match = _AGE.fullmatch(text.strip())
    try:
        if match:
            return dt.timedelta(seconds=int(match[1]) * _SECONDS[match[2]])
    except OverflowError:
        pass
    raise BadInput.at("--older-than", f"{text!r} is not an age", "write 12h, 7d or 2w")


def _show(key: str, done: "Expiry") -> None:
    expired = ", ".join(f"{n:,} of {format}" for format, n in done.expired.items())
    would = "would expire" if done.dry_run else "expired"
    say(f"{key}: {would} {expired}; kept {max(done.retained.values()):,} versions.")
    if done.files:
        print_table(
            ["kind", "files", "size"],
            [(kind, f"{n:,}", size(done.bytes[kind])) for kind, n in done.files.items()],
            right=("files", "size"),
        )
    say(f"{'To be reclaimed' if done.dry_run else 'Reclaimed'}: {size(done.reclaimed)}.")
    for reason, count in done.kept.items():
        say(f"Kept {count:,} files that no version refers to: {reason}.")
