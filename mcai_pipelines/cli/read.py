"""``mcai table read``: rows of a table, as it is or as it was, on the screen or into a file."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcai_pipelines.cli.output import Json, console, print_json, print_table, say, size
from mcai_pipelines.cli.project import find_table, open_lake
from mcai_pipelines.cli.tables import Key, unknown_version
from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.lakehouse.table import Table

SHOWN = 20
"""Rows on the screen unless the user asks for another number."""


def read(
    key: Key,
    columns: Annotated[str | None, typer.Option(help="Only these, such as week,sales.")] = None,
    where: Annotated[
        str | None, typer.Option(help="SQL predicate, such as \"week >= '2017-06-05'\".")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=0, help=f"At most so many rows: {SHOWN} on the screen, all in a file."),
    ] = None,
    version: Annotated[int | None, typer.Option(help="As of a version of its history.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="As of a time, such as 2026-01-31T12:00.")
    ] = None,
    format: Annotated[str | None, typer.Option(help="Read the mirror: iceberg or delta.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write FILE.parquet or FILE.csv.")
    ] = None,
    json: Json = False,
) -> None:
    """Rows of a table; columns and predicate are pushed down to its files."""
    lake = open_lake()
    table, _ = find_table(lake, key)
    frame = _scan(table, version, as_of, format)
    if where is not None:
        frame = _filtered(frame, where)
    if columns is not None:
        frame = frame.select(_chosen(frame, columns))
    if output is not None:
        _write(table, frame if limit is None else frame.head(limit), output, json=json)
    else:
        _show(table, frame, SHOWN if limit is None else limit, json=json)


def _scan(
    table: "Table", version: int | None, as_of: str | None, format: str | None
) -> "pl.LazyFrame":
    from mcai_pipelines.config.wording import did_you_mean, quoted
    from mcai_pipelines.lakehouse.errors import VersionErased, VersionNotFound

    if version is not None and as_of is not None:
        raise BadInput.at("--as-of", "--version is given too", "give one of the two")
    if format is not None and format not in table.formats:
        what = f"the table {table.key} is not kept as {quoted(format)}"
        raise BadInput.at("--format", what, did_you_mean(format, table.formats))
    moment = _moment(as_of) if as_of is not None else None
    try:
        return table.scan(version=version, as_of=moment, format=format)
    except VersionErased as error:
        raise BadInput.at(
            "--as-of" if as_of else "--version", str(error), f"see mcai table history {table.key}"
        ) from None
    except VersionNotFound as error:
        if version is not None:
            raise unknown_version("--version", table.key, version) from None
        raise BadInput.at("--as-of", str(error), f"see mcai table history {table.key}") from None


def _moment(text: str) -> dt.datetime:
    from mcai_pipelines.config.wording import quoted

    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        what = f"{quoted(text)} is not a time"
        raise BadInput.at("--as-of", what, "write 2026-01-31T12:00 (UTC), or add +02:00") from None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def _filtered(frame: "pl.LazyFrame", where: str) -> "pl.LazyFrame":
    """The rows that satisfy a predicate, which is tried on no rows at first."""
    import polars as pl

    from mcai_pipelines.config.wording import did_you_mean, quoted

    schema = frame.collect_schema()
    try:
        for name in pl.sql_expr(where).meta.root_names():  # one expression, and nothing after it
            if name not in schema:
                what = f"the table has no column {quoted(name)}"
                raise BadInput.at("--where", what, did_you_mean(name, schema))
        # As a query, text is compared with dates and times as SQL users expect.
        query = f"SELECT * FROM self WHERE (\n{where}\n)"
        pl.LazyFrame(schema=schema).sql(query).collect()
    except pl.exceptions.PolarsError as error:
        said = str(error).strip().splitlines()[0]
        fix = "write an SQL predicate: \"sales > 10 AND week = '2017-01-02'\""
        raise BadInput.at("--where", said, fix) from None
    return frame.sql(query)


def _chosen(frame: "pl.LazyFrame", columns: str) -> list[str]:
    from mcai_pipelines.config.wording import did_you_mean, quoted
    from mcai_pipelines.errors import Problem

    schema = frame.collect_schema()
    names = list(dict.fromkeys(name.strip() for name in columns.split(",") if name.strip()))
    problems = [
        Problem("--columns", f"the table has no column {quoted(name)}", did_you_mean(name, schema))
        for name in names
        if name not in schema
    ]
    if problems:
        raise BadInput(problems)
    if not names:
        raise BadInput.at("--columns", "no column is named", "write --columns week,sales")
    return names


def _show(table: "Table", frame: "pl.LazyFrame", limit: int, *, json: bool) -> None:
    from mcai_pipelines.lakehouse.failures import as_storage_error

    with as_storage_error(table.key, table.storage.site, "reading"):
        found = frame.head(limit + 1).collect(engine="streaming")  # one more tells of others
    shown = found.head(limit)
    if json:
        print_json(shown.to_dicts())
    else:
        numbers = [name for name, kind in shown.schema.items() if kind.is_numeric()]
        print_table(shown.columns, (map(_cell, row) for row in shown.rows()), right=numbers)
    if found.height > limit:
        say(f"There are more rows than these {limit}: --limit N shows N, --output FILE writes all.")


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value


def _write(table: "Table", frame: "pl.LazyFrame", path: Path, *, json: bool) -> None:
    import polars as pl

    from mcai_pipelines.lakehouse.failures import as_storage_error

    if path.suffix not in (".parquet", ".csv"):
        raise BadInput.at("--output", f"{path} is neither .parquet nor .csv", "name a file of one")
    if not path.parent.is_dir():
        raise BadInput.at("--output", f"there is no folder {path.parent}", "create it first")
    part = path.with_name(f".{path.name}.part")
    reading = as_storage_error(table.key, table.storage.site, "reading")
    with console(stderr=True).status(f"writing {path}"), reading:
        try:
            frame.sink_parquet(part) if path.suffix == ".parquet" else frame.sink_csv(part)
            part.replace(path)  # whoever reads the file sees the old or the new one
        finally:
            part.unlink(missing_ok=True)
    scan = pl.scan_parquet if path.suffix == ".parquet" else pl.scan_csv
    rows = scan(path).select(pl.len()).collect().item()
    if json:
        print_json({"file": str(path), "rows": rows, "bytes": path.stat().st_size})
    else:
        say(f"{path}: {rows:,} rows, {size(path.stat().st_size)}")
