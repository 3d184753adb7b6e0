"""``python -m benchmarks [NAME …]``: measures, shows, records."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from rich.console import Console
from rich.table import Table

from benchmarks import load, moving, pruned, results
from benchmarks.measure import Case, CaseFailed, Summary, interleave
from benchmarks.results import Line, Row
from benchmarks.suite import CASES, RATIOS, Ratio


class Apart(Protocol):
    """What is not made of cases."""

    @property
    def LINES(self) -> list[Line]: ...

    @property
    def rows(self) -> Callable[[], list[Row]]: ...


DEFINITIONS = "definitions.load_ratio"
APART: dict[str, Apart] = {DEFINITIONS: load, pruned.NAME: pruned, **moving.MEASURES}
"""What is not made of cases: modules with ``rows()``, which measures, and ``LINES``."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", help="ratios or their beginnings, or cases; all ratios by default"
    )
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--json", action="store_true", help="print the figures as flat JSON")
    parser.add_argument("--enforce", action="store_true", help="exit 1 if a bar is missed")
    parser.add_argument(
        "--cold", action="store_true", help="count imports on first use as work; not recorded"
    )
    parser.add_argument("--list", action="store_true", help="print the names and stop")
    parsed = parser.parse_args(arguments)
    unknown = [name for name in parsed.names if not selected(name)]
    if unknown:
        parser.error(f"no ratio and no case is called {', '.join(unknown)}; see --list")
    if parsed.repeat < 1:
        parser.error("--repeat must be at least 1")
    return parsed


def every_name() -> list[str]:
    """Names of ratios and of cases."""
    return [*(ratio.name for ratio in RATIOS), *APART, *(case.name for case in CASES)]


def selected(name: str) -> set[str]:
    """The ratios that begin with ``name`` up to a dot, or the case of that very name."""
    ratios = {one for one in every_name() if f"{one}.".startswith(f"{name}.")}
    return ratios | ({name} & {case.name for case in CASES})


def to_run(wanted: Iterable[str], ratios: Iterable[Ratio]) -> list[Case]:
    """The cases that were asked for or that a ratio needs, in the order of a round."""
    names = set(wanted) | {case.name for ratio in ratios for case in ratio.cases()}
    return [case for case in CASES if case.name in names]


def tell(line: str) -> None:
    """Progress, apart from the results."""
    print(line, file=sys.stderr, flush=True)


def show(rows: Sequence[Row], cases: dict[str, Summary]) -> None:
    """Prints both tables."""
    console = Console() if sys.stdout.isatty() else Console(width=160)
    for header, lines in (
        (results.CASE_HEADER, [results.case_cells(name, case) for name, case in cases.items()]),
        (results.ROW_HEADER, [row.cells() for row in rows]),
    ):
        if lines:
            table = Table(*header)
            for column in table.columns[1:]:
                column.justify = "right"
            for cells in lines:
                table.add_row(*cells)
            console.print(table)


def record(rows: Sequence[Row], cases: dict[str, Summary]) -> None:
    """Writes what was found over what earlier runs found."""
    flat = results.merge(results.flatten(rows, cases))
    lines = [line for ratio in RATIOS for line in ratio.lines()]
    lines += [line for module in APART.values() for line in module.LINES]
    results.write_markdown(*results.unflatten(flat, lines, [case.name for case in CASES]))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs what was asked for; gives the exit code: 1 for a failure or an enforced bar missed."""
    parsed = parse(arguments)
    if parsed.list:
        print("\n".join(every_name()))
        return 0
    names = {found for name in parsed.names or every_name() for found in selected(name)}
    ratios = [ratio for ratio in RATIOS if ratio.name in names]
    try:
        samples = interleave(to_run(names, ratios), parsed.repeat, tell, cold=parsed.cold)
        cases = {name: Summary.of(taken) for name, taken in samples.items()}
        rows = [row for ratio in ratios for row in ratio.rows(cases)]
        rows += [row for name in APART if name in names for row in APART[name].rows()]
    except CaseFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    if rows and not parsed.cold:
        record(rows, cases)
    if parsed.json:
        print(json.dumps(results.flatten(rows, cases), indent=2))
    else:
        show(rows, cases)
    return int(parsed.enforce and any(row.missed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
