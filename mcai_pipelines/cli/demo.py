"""``mcai demo``: a year of retail tables on four sites, and data that arrives week by week."""

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mcai_pipelines.cli.output import Json, print_json, print_table, say
from mcai_pipelines.cli.project import load_definitions, open_lake
from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    import dagster as dg

    from mcai_pipelines.cli.demo_run import Outcome
    from mcai_pipelines.lakehouse.lake import Lake

app = typer.Typer(
    help="Make the demo's tables, or let the next week of its data arrive.",
    invoke_without_command=True,
)

Fresh = Annotated[bool, typer.Option("--fresh", help="Compute also what is up to date.")]


@dataclass(frozen=True)
class _Made:
    """What a command did, for its report."""

    lake: "Lake"
    through: int
    specs: "list[dg.AssetSpec]" = field(default_factory=list)
    outcome: "Outcome | None" = None
    seconds: float = 0.0


@app.callback()
def demo(
    context: typer.Context,
    through: Annotated[
        int | None,
        typer.Option(min=2, max=52, help="The last week that has arrived; all unless given."),
    ] = None,
    fresh: Fresh = False,
    json: Json = False,
) -> None:
    """Let the data arrive through a week (all 51 unless given), and compute what is missing.

    Makes real Dagster runs, which the UI shows: mcai ui.
    """
    if context.invoked_subcommand is not None:
        if through is not None or fresh:
            raise BadInput.at("mcai demo", "options stand before advance", "write them after it")
        return
    lake = open_lake()
    _require_source()
    arrived = _arrived(lake)
    week = through if through is not None else _last_week()
    if arrived is not None and week < arrived:
        what = f"week {arrived} has arrived already, and data does not go away again"
        fix = f"use --through {arrived} or later, or start anew in another MCAI_HOME"
        raise BadInput.at("--through", what, fix)
    _arrive(lake, week)
    _report(_compute(lake, week, fresh=fresh), json=json)


@app.command()
def advance(
    weeks: Annotated[int, typer.Argument(min=1, help="How many weeks arrive.")] = 1,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Compute the tables, or leave it to the sensor.")
    ] = True,
    json: Json = False,
) -> None:
    """Let the next week of data arrive, or several, and compute what follows from it."""
    from assets.retail.weeks import FIRST_WEEK

    lake = open_lake()
    _require_source()
    arrived = _arrived(lake) or FIRST_WEEK - 1
    week = min(arrived + weeks, _last_week())
    if week == arrived:
        say(f"Nothing more arrives: week {week} is the last one of the data.")
    elif week < arrived + weeks:
        say(f"The data ends with week {week}: {week - arrived} of {weeks} weeks arrive.")
    _arrive(lake, week)
    if run:
        _report(_compute(lake, week), json=json)
    elif json:
        print_json({"through": week, "arrived": week - arrived})
    else:
        say(f"Available through week {week}. The sensor retail_arrivals requests it: see mcai ui.")


def _last_week() -> int:
    from assets.retail.weeks import LAST_WEEK

    return LAST_WEEK


def _require_source() -> None:
    """Find out that the data is not installed before anything is changed."""
    from assets.retail import source

    source.products()


def _arrived(lake: "Lake") -> int | None:
    from sensors.arrivals import SOURCE

    return lake.state.arrived_through(lake.namespace, SOURCE)


def _arrive(lake: "Lake", week: int) -> None:
    from sensors.arrivals import SOURCE

    if _arrived(lake) != week:
        lake.state.set_arrived_through(lake.namespace, SOURCE, week)


def _compute(lake: "Lake", through: int, *, fresh: bool = False) -> _Made:
    from mcai_pipelines.cli.demo_plan import demo_specs, plan
    from mcai_pipelines.cli.demo_run import run
    from mcai_pipelines.cli.instance import ensure_instance, open_instance

    began = time.monotonic()
    home = ensure_instance(lake.platform)
    defs = load_definitions()
    specs = demo_specs(defs)
    with open_instance(home) as instance:
        works = plan(specs, instance, lake, through, fresh=fresh)
        try:
            outcome = run(defs, instance, works) if works else None
        except KeyboardInterrupt:
            say("Interrupted. Run mcai demo again: it goes on with what is missing.")
            raise
    return _Made(lake, through, specs, outcome, time.monotonic() - began)


def _report(made: _Made, *, json: bool) -> None:
    tables = [_row(made, key) for key in sorted(spec.key.to_user_string() for spec in made.specs)]
    if json:
        answer = {
            "through": made.through,
            "namespace": made.lake.namespace,
            "seconds": round(made.seconds, 2),
            "run_ids": made.outcome.run_ids if made.outcome else [],
            "tables": tables,
        }
        print_json(answer)
        return
    print_table(
        ["table", "site", "format", "rows", "files", "seconds"],
        [
            (
                row["key"],
                row["site"],
                " + ".join(row["formats"]),
                f"{row['rows']:,}",
                f"{row['files']:,}",
                None if row["seconds"] is None else f"{row['seconds']:.1f}",
            )
            for row in tables
        ],
        right=("rows", "files", "seconds"),
    )
    _say_what_next(made)


def _row(made: _Made, key: str) -> dict[str, Any]:
    table, record = made.lake.table(key), made.lake.record(key)
    info = table.info()
    seconds = made.outcome.seconds.get(key) if made.outcome else None
    return {
        "key": key,
        "site": record.site,
        "format": record.format,
        "formats": list(table.formats),
        "rows": info.rows,
        "files": info.files,
        "seconds": None if seconds is None else round(seconds, 2),
    }


def _say_what_next(made: _Made) -> None:
    say()
    if made.outcome is None:
        say(f"Nothing to do: every table is up to date through week {made.through}.")
    else:
        say(f"Up to date through week {made.through}, in {made.seconds:.0f} s.")
    say()
    say("  mcai ui                                   the same in the Dagster UI (or: make ui)")
    say("  mcai table read global/weekly_sales       rows of a table; see also list, show, history")
    if made.through < _last_week():
        say("  mcai demo advance                         the next week arrives")
