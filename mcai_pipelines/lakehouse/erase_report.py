"""An erasure's plan and report as plain data and as Markdown; the subject's key is in neither."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.erase_plan import Plan, Report

NOT_OURS = "adopted and only read here: its owner has to erase it"
RECOMPUTE = "run it again and expire its old versions where its rows must not tell of the subject"


def plan_data(plan: Plan) -> dict[str, Any]:
    """A plan as JSON has it."""
    return {
        "column": plan.column,
        "found": plan.found,
        "searched": list(plan.searched),
        "tables": [asdict(holding) for holding in plan.holdings],
        "external": [asdict(foreign) for foreign in plan.foreign],
        "quarantined": {site: len(files) for site, files in plan.quarantined.items()},
        "aggregates": [asdict(aggregate) for aggregate in plan.aggregates],
        "failed": dict(plan.failed),
    }


def report_data(report: Report) -> dict[str, Any]:
    """A report as JSON has it."""
    return {
        "id": report.id,
        "began": report.began,
        "ended": report.ended,
        "reason": report.reason,
        "complete": report.complete,
        "plan": plan_data(report.plan),
        "removed": {table: asdict(removal) for table, removal in report.removed.items()},
        "quarantined": dict(report.quarantined),
        "failed": dict(report.failed),
    }


def markdown(report: Report) -> str:
    """A report for people to keep."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# Erasure {report.id}"
    yield ""
    yield f"- Column: `{report.plan.column}` (the subject's key is not kept)"
    yield f"- Began: {report.began:%Y-%m-%d %H:%M:%S} UTC"
    yield f"- Ended: {report.ended:%Y-%m-%d %H:%M:%S} UTC"
    yield f"- Reason: {report.reason or 'not given'}"
    yield f"- Result: {'complete' if report.complete else 'not complete: run it again'}"
    yield f"- Tables searched: {', '.join(report.plan.searched) or 'none'}"
    sites = {holding.table: holding.site for holding in report.plan.holdings}
    yield from _section(
        "Removed",
        ["table", "site", "rows", "files rewritten", "versions expired", "files deleted", "bytes"],
        (
            (
                table,
                sites[table],
                removal.rows,
                removal.files_rewritten,
                ", ".join(f"{format} {n}" for format, n in removal.versions.items()),
                sum(removal.files.values()),
                sum(removal.bytes.values()),
            )
            for table, removal in report.removed.items()
        ),
    )
    yield from _section(
        "Quarantined batches", ["site", "files deleted"], report.quarantined.items()
    )
    yield from _section("Not erased", ["table or site", "why"], report.failed.items())
    yield from _section(
        "Not ours to erase",
        ["table", "site", "place", "rows", "what to do"],
        ((f.table, f.site, f.uri, f.rows, NOT_OURS) for f in report.plan.foreign),
    )
    yield from _section(
        "What remains in aggregates",
        ["table", "version", "rows", "made from", "what to do"],
        (
            (
                a.table,
                a.version,
                a.rows,
                "; ".join(f"{key} versions {_ids(ids)}" for key, ids in a.inputs.items()),
                RECOMPUTE,
            )
            for a in report.plan.aggregates
        ),
    )


def _ids(ids: Iterable[int]) -> str:
    return ", ".join(map(str, ids))


def _section(title: str, columns: list[str], rows: Iterable[Iterable[Any]]) -> Iterator[str]:
    body = [" | ".join(_cell(cell) for cell in row) for row in rows]
    if not body:
        return
    yield ""
    yield f"## {title}"
    yield ""
    yield f"| {' | '.join(columns)} |"
    yield f"|{' --- |' * len(columns)}"
    yield from (f"| {row} |" for row in body)


def _cell(value: Any) -> str:
    text = f"{value:,}" if isinstance(value, int) and abs(value) < 10**15 else str(value)
    return text.replace("|", "\\|").replace("\n", " ")
