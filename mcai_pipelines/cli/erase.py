"""``mcai erase``: remove one subject's rows everywhere, after showing what would be removed."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mcai_pipelines.cli.output import Json, console, print_json, print_table, say, size
from mcai_pipelines.cli.project import open_lake
from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.erase_plan import Plan, Report


def erase(
    subject: Annotated[
        str, typer.Option(help="Whom: COLUMN=VALUE, such as customer_id=4711.", show_default=False)
    ],
    table: Annotated[
        list[str] | None,
        typer.Option(
            help="Begin at this table and follow its key (may be repeated); every table with the"
            " column unless given."
        ),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Kept with the erasure, such as a ticket; without the key.")
    ] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    continued: Annotated[
        str | None, typer.Option("--continue", metavar="ID", help="Complete an earlier erasure.")
    ] = None,
    json: Json = False,
) -> None:
    """Remove one subject's rows from tables, mirrors, replicas, history and quarantine.

    History before it is gone: time travel there says that the version was erased. What remains in
    tables made from the rows is listed.
    """
    from mcai_pipelines.lakehouse.erase import Erasure, check_reason
    from mcai_pipelines.lakehouse.subject import Subject

    whom = Subject.parse(subject)
    check_reason(reason, whom)
    lake = open_lake()
    erasure = Erasure(lake, whom, table or ())
    with console(stderr=True).status("looking for the subject"):
        plan = erasure.plan()
    if dry_run or not plan.found:
        _show_plan(plan, json=json)
        if plan.failed:
            raise typer.Exit(1)
        return
    if not json:
        _show_plan(plan, json=False)
    _confirm(yes=yes)
    with console(stderr=True).status("erasing") as status:
        report = erasure.execute(
            plan,
            reason=reason,
            id=continued,
            on_table=lambda key: status.update(f"erasing from {key}"),
        )
    _show_report(report, _keep(report), json=json)
    if not report.complete:
        raise typer.Exit(1)


def _confirm(*, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise BadInput.at("mcai erase", "nobody is there to confirm the plan", "add --yes")
    typer.confirm("Erase this? It cannot be undone.", abort=True, err=True)


def _keep(report: "Report") -> Path:
    """Write the report below ``MCAI_HOME``, and where."""
    from mcai_pipelines.config import home
    from mcai_pipelines.lakehouse.erase_report import markdown

    path = home() / "erasures" / f"{report.id}.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(markdown(report), encoding="utf-8")
    return path


def _show_plan(plan: "Plan", *, json: bool) -> None:
    from mcai_pipelines.lakehouse.erase_report import NOT_OURS, plan_data

    if json:
        print_json(plan_data(plan))
        return
    if plan.holdings:
        print_table(
            ["table", "site", "column", "rows", "files", "old files", "log objects"],
            [
                (h.table, h.site, h.column, h.rows, h.files, h.old_files, h.log_objects)
                for h in plan.holdings
            ],
            right=("rows", "files", "old files", "log objects"),
        )
    for site, files in plan.quarantined.items():
        say(f"{site}: {len(files)} quarantined files hold the subject.")
    for foreign in plan.foreign:
        say(f"{foreign.table}: {foreign.rows:,} rows, {NOT_OURS} ({foreign.uri}).")
    _say_aggregates(plan)
    for what, why in plan.failed.items():
        say(f"{what} was not searched: {why}")
    if not plan.found:
        say(f"Nothing of ours holds the subject ({len(plan.searched)} tables searched).")


def _say_aggregates(plan: "Plan") -> None:
    from mcai_pipelines.lakehouse.erase_report import RECOMPUTE

    for aggregate in plan.aggregates:
        inputs = ", ".join(f"{k} ({len(v)} versions)" for k, v in aggregate.inputs.items())
        say(f"{aggregate.table}: {aggregate.rows:,} rows made from {inputs}; {RECOMPUTE}.")


def _show_report(report: "Report", path: Path, *, json: bool) -> None:
    from mcai_pipelines.lakehouse.erase_report import report_data

    if json:
        print_json(report_data(report) | {"file": str(path)})
        return
    print_table(
        ["table", "rows", "files rewritten", "versions expired", "files deleted", "reclaimed"],
        [
            (
                table,
                removal.rows,
                removal.files_rewritten,
                " + ".join(f"{format} {n}" for format, n in removal.versions.items()),
                sum(removal.files.values()),
                size(sum(removal.bytes.values())),
            )
            for table, removal in report.removed.items()
        ],
        right=("rows", "files rewritten", "files deleted", "reclaimed"),
    )
    for site, count in report.quarantined.items():
        say(f"{site}: {count} quarantined files deleted.")
    for what, why in report.failed.items():
        say(f"{what}: not erased: {why}")
    done = "Erased" if report.complete else f"Not complete (mcai erase … --continue {report.id})"
    say(f"{done}; the report is {path}.")
