"""What the benchmarks found: rows of two sides and a ratio, kept as flat JSON and as Markdown."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.measure import Summary

FOLDER = Path(__file__).parent / "results"
CASE = "case."


@dataclass(frozen=True)
class Line:
    """What a row is about.

    Attributes:
        name: The figure's name.
        unit: Of both sides; the ratio has none.
        bar: The most that the ratio may be; None where it is only shown.
        at_least: The bar is the least that it may be.
    """

    name: str
    unit: str
    bar: float | None
    at_least: bool = False


@dataclass(frozen=True)
class Row:
    """A line with what was measured on both sides."""

    line: Line
    ours: float
    other: float

    @property
    def ratio(self) -> float:
        """Ours to the other."""
        return self.ours / self.other

    @property
    def missed(self) -> bool:
        """Whether there is a bar and the ratio is on the wrong side of it."""
        if self.line.bar is None:
            return False
        return self.ratio < self.line.bar if self.line.at_least else self.ratio > self.line.bar

    def cells(self) -> tuple[str, ...]:
        """As text, in the order of ``ROW_HEADER``."""
        bar = self.line.bar
        shown = "" if bar is None else f"{'≥' if self.line.at_least else '≤'} {bar:g}"
        verdict = "" if bar is None else "✗" if self.missed else "✓"
        sides = (f"{self.ours:,.4g}", f"{self.other:,.4g}")
        if self.line.unit == "bytes":
            sides = (f"{self.ours:,.0f}", f"{self.other:,.0f}")
        return (self.line.name, *sides, self.line.unit, f"{self.ratio:.3f}", shown, verdict)


ROW_HEADER = ("ratio", "ours", "other", "of", "ratio", "bar", "")
CASE_HEADER = (
    "case",
    "CPU s",
    "wall s",
    "peak RSS MB",
    "less what was there",
    "first run, CPU s",
    "bytes",
    "Parquet files",
)


def case_cells(name: str, case: Summary) -> tuple[str, ...]:
    """As text, in the order of ``CASE_HEADER``."""
    times = (f"{case.cpu:.2f}", f"{case.wall:.2f}")
    memory = (f"{case.rss_peak:,.0f}", f"{case.rss:,.0f}")
    disk = (f"{case.bytes:,.0f}", f"{case.files:.0f}")
    return (name, *times, *memory, f"{case.first_cpu:.2f}", *disk)


def flatten(rows: Iterable[Row], cases: Mapping[str, Summary]) -> dict[str, float]:
    """All figures by name: the ratio under its own, both sides and the cases beside."""
    flat: dict[str, float] = {}
    for row in rows:
        flat[row.line.name] = round(row.ratio, 4)
        flat[f"{row.line.name}.ours"] = round(row.ours, 4)
        flat[f"{row.line.name}.other"] = round(row.other, 4)
    for name, case in cases.items():
        flat |= {f"{CASE}{name}.{key}": round(value, 4) for key, value in asdict(case).items()}
    return flat


def unflatten(
    flat: Mapping[str, float], lines: Iterable[Line], cases: Iterable[str]
) -> tuple[list[Row], dict[str, Summary]]:
    """The rows and cases, of those given, that ``flatten`` left in a file."""
    rows = [
        Row(line, flat[f"{line.name}.ours"], flat[f"{line.name}.other"])
        for line in lines
        if line.name in flat
    ]
    fields = Summary.__dataclass_fields__
    found = {
        name: Summary(**{key: flat[f"{CASE}{name}.{key}"] for key in fields})
        for name in cases
        if f"{CASE}{name}.cpu" in flat
    }
    return rows, found


def merge(flat: Mapping[str, float]) -> dict[str, float]:
    """Writes figures over those of earlier runs in ``results/latest.json``; gives all of them."""
    path = FOLDER / "latest.json"
    FOLDER.mkdir(exist_ok=True)
    earlier: dict[str, float] = json.loads(path.read_text()) if path.exists() else {}
    merged = {**earlier, **flat}
    path.write_text(json.dumps(merged, indent=2, sort_keys=True) + "\n")
    return merged


def write_markdown(rows: Iterable[Row], cases: Mapping[str, Summary]) -> None:
    """Writes ``results/latest.md``."""
    tables = [
        "# Latest results",
        "Made by `python -m benchmarks`; [the README](../README.md) says what each is.",
        table(ROW_HEADER, [row.cells() for row in rows]),
        table(CASE_HEADER, [case_cells(name, case) for name, case in cases.items()]),
    ]
    (FOLDER / "latest.md").write_text("\n\n".join(tables) + "\n")


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table: the first column to the left, the others to the right."""
    lines = [header, (":--", *["--:"] * (len(header) - 1)), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
