"""``mcai table``: list, show, history and rollback, from the tables' logs alone."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from mcai_pipelines.cli.output import Json, moment, print_json, print_table, say, size
from mcai_pipelines.cli.project import find_table, open_lake
from mcai_pipelines.errors import BadInput, McaiError

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.lakehouse.versions import Version
    from mcai_pipelines.state import TableRecord

app = typer.Typer(help="Look at lake tables, read them, take them back.", no_args_is_help=True)

Key = Annotated[
    str, typer.Argument(metavar="KEY", help="The table, such as aws_us_east_1/transactions.")
]


@app.command("list")
def list_tables(json: Json = False) -> None:
    """Every table of the namespace, with its newest version."""
    lake = open_lake()
    rows = [_row(lake, record) for record in lake.records()]
    if json:
        print_json(rows)
    elif not rows:
        say(f"No table has been written in the namespace {lake.namespace} yet: mcai demo")
    else:
        print_table(
            ["key", "site", "format", "version", "rows", "files", "size", "updated"],
            [_cells(row) for row in rows],
            right=("version", "rows", "files", "size"),
        )
    broken = [row for row in rows if row["error"]]
    for row in broken:
        say(row["error"])
    if broken:
        raise typer.Exit(1)


def _row(lake: "Lake", record: "TableRecord") -> dict[str, Any]:
    row: dict[str, Any] = {
        "key": record.key,
        "site": record.site,
        "format": record.format,
        "formats": [record.format, *([record.mirror] if record.mirror else [])],
        **dict.fromkeys(("version", "rows", "files", "bytes", "updated", "error")),
    }
    try:
        info = lake.table(record.key).info()
    except McaiError as error:  # one broken table does not hide the others
        return row | {"error": str(error)}
    return row | {
        "version": info.version,
        "rows": info.rows,
        "files": info.files,
        "bytes": info.bytes,
        "updated": info.committed_at,
    }


def _cells(row: dict[str, Any]) -> list[Any]:
    known = row["version"] is not None
    return [
        row["key"],
        row["site"],
        " + ".join(row["formats"]),
        row["version"],
        f"{row['rows']:,}" if known else None,
        f"{row['files']:,}" if known else None,
        size(row["bytes"]) if known else None,
        moment(row["updated"]) if known else None,
    ]


@app.command()
def show(key: Key, json: Json = False) -> None:
    """One table: where it is, in which formats, how large, and its columns."""
    lake = open_lake()
    table, record = find_table(lake, key)
    description = describe(table, record)
    if json:
        print_json(description)
    else:
        _print_description(lake, table, record, description)


def describe(table: "Table", record: "TableRecord") -> dict[str, Any]:
    """What ``mcai table show --json`` prints."""
    if not table.read_only:
        try:
            table.repair_mirror()  # so that the two formats that are named here are equal
        except McaiError as error:
            say(str(error))
    info, head = table.info(), table.head()
    return {
        "key": table.key,
        "site": record.site,
        "format": table.formats[0],
        "formats": list(table.formats),
        "uri": table.storage.uri,
        "metadata_location": info.metadata_location,
        "version": info.version,
        "rows": info.rows,
        "files": info.files,
        "bytes": info.bytes,
        "partitions": info.partitions,
        "schema": [
            {"name": field.name, "type": str(field.field_type), "required": field.required}
            for field in head.schema.fields
        ],
    }


def _print_description(
    lake: "Lake", table: "Table", record: "TableRecord", description: dict[str, Any]
) -> None:
    contract = lake.contracts.get(record.contract) if record.contract else None
    by = ", ".join(table.head().partition_by)
    commit = table.primary.version(description["version"])
    run = commit.properties.get("mcai.run")
    facts = {
        "site": record.site,
        "format": " + ".join(table.formats) + (" (adopted, read only)" if record.external else ""),
        "contract": record.contract,
        "owners": ", ".join(contract.owners) if contract else None,
        "uri": description["uri"],
        "metadata": description["metadata_location"],
        "partitions": f"{description['partitions']:,} by {by}" if by else None,
        "rows": f"{description['rows']:,}",
        "files": f"{description['files']:,}, {size(description['bytes'])}",
        "version": description["version"],
        "committed": f"{moment(commit.committed_at)}, {commit.operation}"
        + (f", run {run}" if run else ""),
    }
    known = {name: value for name, value in facts.items() if value not in (None, "")}
    print_table([table.key, ""], [(f"  {name}", value) for name, value in known.items()])
    typer.echo()
    described = {column.name: column.description for column in contract.columns} if contract else {}
    print_table(
        ["column", "type", "required", "description"],
        [
            (c["name"], c["type"], "yes" if c["required"] else "", described.get(c["name"]) or "")
            for c in description["schema"]
        ],
        wrap=True,
    )


@app.command()
def history(
    key: Key,
    limit: Annotated[int, typer.Option(min=1, help="At most so many versions.")] = 20,
    json: Json = False,
) -> None:
    """The versions of a table, newest first, with the run and inputs that made each."""
    lake = open_lake()
    table, _ = find_table(lake, key)
    versions = table.history()
    rows = [_version_row(table, version) for version in versions[:limit]]
    if json:
        print_json(rows)
        return
    print_table(
        ["version", "time", "operation", "rows", "files", "run", "inputs"],
        [
            (
                row["version"],
                moment(row["committed_at"]),
                row["operation"],
                None if row["rows"] is None else f"{row['rows']:,}",
                None if row["files"] is None else f"{row['files']:,}",
                row["run"],
                ", ".join(f"{name} {version}" for name, version in row["inputs"].items()) or None,
            )
            for row in rows
        ],
        right=("version", "rows", "files"),
    )
    if len(versions) > limit:
        say(f"{len(versions) - limit} older versions: --limit {len(versions)}")


def _version_row(table: "Table", version: "Version") -> dict[str, Any]:
    from json import loads

    from mcai_pipelines.lakehouse.versions import INPUTS, OPERATION, RESTORED

    rows = files = None
    try:
        found = table.primary.at(version.id).files.values()
        rows, files = sum(file.rows for file in found), len(found)
    except McaiError:
        pass  # expired: its description is kept, its files are not
    restored = version.properties.get(RESTORED)
    done = version.properties.get(OPERATION, version.operation)
    return {
        "version": version.id,
        "committed_at": version.committed_at,
        "operation": f"rollback to {restored}" if restored else done,
        "rows": rows,
        "files": files,
        "run": version.properties.get("mcai.run"),
        "inputs": loads(version.properties.get(INPUTS, "{}")),
    }


@app.command()
def rollback(
    key: Key,
    to: Annotated[int, typer.Option(help="The version whose rows to show again.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Make an earlier version's rows visible again, as a new version; history keeps both."""
    from mcai_pipelines.lakehouse.errors import VersionErased, VersionNotFound

    lake = open_lake()
    table, _ = find_table(lake, key)
    current = table.head().version
    if current == to:
        raise BadInput.at("--to", f"{to} is the current version of {key}", "name an earlier one")
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Show version {to} of {key} instead of {current}?", abort=True, err=True)
    try:
        commit = table.rollback(to)
    except VersionErased as error:
        raise BadInput.at("--to", str(error), f"see mcai table history {key}") from None
    except VersionNotFound:
        raise unknown_version("--to", key, to) from None
    info = table.info()
    if json:
        answer = {"key": key, "version": commit.version.id, "restored": to, "undone": current}
        print_json(answer | {"rows": info.rows, "files": info.files})
        return
    say(f"{key} shows version {to} again ({info.rows:,} rows), as version {commit.version.id}.")


@app.command()
def mirror(
    key: Key,
    format: Annotated[
        Literal["iceberg", "delta"] | None,
        typer.Option(help="The format to add; the one it is not kept in unless given."),
    ] = None,
    json: Json = False,
) -> None:
    """Publish an existing table in its other format too, and keep it so from then on.

    The same files are listed in a second log; no data is copied, and none is read.
    """
    from time import monotonic

    lake = open_lake()
    table, _ = find_table(lake, key)
    begun = monotonic()
    wanted = format or ("delta" if table.primary.format == "iceberg" else "iceberg")
    version = lake.mirror(key, wanted)
    seconds = monotonic() - begun
    mirrored = lake.table(key)
    if json:
        answer = {"key": key, "formats": mirrored.formats, "uri": mirrored.storage.uri}
        done = {"version": version.id if version else None, "seconds": seconds}
        print_json(answer | done | {"metadata_location": mirrored.info().metadata_location})
        return
    formats, files = " and ".join(mirrored.formats), len(mirrored.head().files)
    say(f"{key} is published as {formats}: {files:,} files, {seconds:.1f} s.")


def unknown_version(option: str, key: str, version: int) -> BadInput:
    """The error for a version that the table does not have."""
    what = f"the table {key} has no version {version}"
    return BadInput.at(option, what, f"see mcai table history {key}")
