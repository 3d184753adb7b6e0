"""What the user sees: the answer on standard output, everything else on standard error.

With ``--json`` the answer is one JSON document and standard output holds nothing else.
"""

import datetime as dt
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]

_UNITS = ("kB", "MB", "GB", "TB", "PB")
_UNLIMITED = 10_000


def console(*, stderr: bool = False, width: int | None = None) -> "Console":
    """A Rich console, as wide as the terminal unless a width is given."""
    from rich.console import Console

    return Console(stderr=stderr, width=width, highlight=False)


def say(message: str = "") -> None:
    """One line for the user on standard error."""
    typer.echo(message, err=True)


def print_json(value: Any) -> None:
    """The answer as JSON: times in ISO 8601, decimals as text, NaN and infinity as null."""
    typer.echo(json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """The value in JSON's terms."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else None
        case dt.date() | dt.time():
            return value.isoformat()
        case dt.timedelta():
            return value.total_seconds()
        case bytes():
            return value.hex()
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case Iterable():
            return [plain(item) for item in value]
    return str(value)


def print_table(
    columns: Sequence[str],
    rows: Iterable[Iterable[Any]],
    *,
    right: Collection[str] = (),
    wrap: bool = False,
) -> None:
    """Rows under headings.

    Args:
        columns: The headings.
        rows: Cells; None is shown as a dash.
        right: Headings of the columns of numbers.
        wrap: Fit prose into the width of a terminal; without it a row stays one line.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in right else "left")
    for row in rows:
        table.add_row(*(Text("–", "dim") if cell is None else Text(str(cell)) for cell in row))
    output = console(width=None if wrap and sys.stdout.isatty() else _UNLIMITED)
    with output.capture() as captured:
        output.print(table)
    typer.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def size(count: int) -> str:
    """Bytes as people read them: ``12.3 MB`` is 12,300,000 bytes."""
    if count < 1000:
        return f"{count} B"
    power = min((len(str(count)) - 1) // 3, len(_UNITS))
    return f"{count / 1000**power:.1f} {_UNITS[power - 1]}"


def moment(value: dt.datetime) -> str:
    """A time in UTC, to the second."""
    return f"{value.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
