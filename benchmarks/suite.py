"""The cases, the ratios made of them, and the bar that each ratio has to clear."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks import sources
from benchmarks.measure import Case, Summary
from benchmarks.results import Line, Row

RAW_DELTA = Case("raw_delta", "baselines/raw_delta.py", "Polars sink_delta, scan_delta")
RAW_ICEBERG = Case("raw_iceberg", "baselines/raw_iceberg.py", "Polars sink_iceberg, scan_iceberg")
OURS_DELTA = Case("ours_delta", "cases/ours.py", "ours, Delta", options={"contract": "delta"})
OURS_ICEBERG = Case(
    "ours_iceberg", "cases/ours.py", "ours, Iceberg", options={"contract": "iceberg"}
)
OURS_MIRROR = Case(
    "ours_iceberg_mirror",
    "cases/ours.py",
    "ours, Iceberg mirrored as Delta",
    options={"contract": "iceberg_mirror"},
)
THEIRS_DELTA = Case(
    "dagster_deltalake",
    "baselines/dagster_deltalake_frames.py",
    "dagster-deltalake-polars, DataFrame assets",
    environment="dagster-deltalake",
)
THEIRS_DELTA_LAZY = Case(
    "dagster_deltalake_lazy",
    "baselines/dagster_deltalake_frames.py",
    "dagster-deltalake-polars, LazyFrame assets",
    environment="dagster-deltalake",
    options={"frame": "LazyFrame"},
)
THEIRS_ICEBERG = Case(
    "dagster_iceberg",
    "baselines/dagster_iceberg_frames.py",
    "dagster-iceberg, DataFrame assets",
    environment="dagster-iceberg",
)
THEIRS_ICEBERG_LAZY = Case(
    "dagster_iceberg_lazy",
    "baselines/dagster_iceberg_frames.py",
    "dagster-iceberg, LazyFrame assets",
    environment="dagster-iceberg",
    options={"frame": "LazyFrame"},
)


MERGE_DELTA_RS = Case(
    "delta_rs_merge",
    "baselines/delta_rs_merge.py",
    "delta-rs DeltaTable.merge, 1 % of the keys",
    source=sources.fifth,
)
COMPACT_DELTA_RS = Case(
    "delta_rs_compact",
    "baselines/delta_rs_compact.py",
    "delta-rs optimize.compact, 200 files",
    source=sources.fifth_to_compact,
)


def upkeep(work: str, format: str, other: Case) -> Case:
    """Our merge or compaction of the same rows."""
    return Case(
        f"ours_{format}_{work}",
        "cases/ours_upkeep.py",
        f"our {work} of the same, {format.capitalize()}",
        source=other.source,
        options={"work": work, "format": format},
    )


MERGE_DELTA, MERGE_ICEBERG = (upkeep("merge", f, MERGE_DELTA_RS) for f in ("delta", "iceberg"))
COMPACT_DELTA, COMPACT_ICEBERG = (
    upkeep("compact", f, COMPACT_DELTA_RS) for f in ("delta", "iceberg")
)


def tenth(case: Case) -> Case:
    """The same case over a tenth of the rows."""
    return Case(
        f"{case.name}_tenth",
        case.script,
        f"{case.about}, a tenth of the rows",
        case.environment,
        sources.tenth,
        case.options,
    )


# The order of a round: the two sides of each comparison stand next to each other.
CASES = [
    RAW_DELTA,
    OURS_DELTA,
    THEIRS_DELTA,
    THEIRS_DELTA_LAZY,
    RAW_ICEBERG,
    OURS_ICEBERG,
    OURS_MIRROR,
    THEIRS_ICEBERG,
    THEIRS_ICEBERG_LAZY,
    tenth(RAW_DELTA),
    tenth(OURS_DELTA),
    tenth(RAW_ICEBERG),
    tenth(OURS_ICEBERG),
    MERGE_DELTA_RS,
    MERGE_DELTA,
    MERGE_ICEBERG,
    COMPACT_DELTA_RS,
    COMPACT_DELTA,
    COMPACT_ICEBERG,
]

Summaries = Mapping[str, Summary]

UNITS = {"cpu": "s CPU", "wall": "s", "rss": "MB", "bytes": "bytes"}


@dataclass(frozen=True)
class Quantity:
    """One figure of one side: a measure of a case, or how it grows with ten times the rows.

    Attributes:
        case: Whose.
        measure: A field of ``Summary``.
        growth: Divide by the same measure over a tenth of the rows.
    """

    case: Case
    measure: str
    growth: bool = False

    def cases(self) -> list[Case]:
        """What has to run."""
        return [self.case, tenth(self.case)] if self.growth else [self.case]

    def value(self, summaries: Summaries) -> float:
        """The figure, in the unit of the measure; growth has none."""
        values = [float(getattr(summaries[case.name], self.measure)) for case in self.cases()]
        return values[0] / values[1] if self.growth else values[0]


@dataclass(frozen=True)
class Pair:
    """The same quantity of two cases.

    Attributes:
        label: Tells the pairs of one ratio apart.
    """

    label: str
    ours: Quantity
    other: Quantity

    def ratio(self, summaries: Summaries) -> float:
        """Ours to theirs: below 1 where ours takes less."""
        return self.ours.value(summaries) / self.other.value(summaries)

    def line(self, name: str, bar: float | None) -> Line:
        """How the pair is shown."""
        return Line(name, "×" if self.ours.growth else UNITS[self.ours.measure], bar)


@dataclass(frozen=True)
class Ratio:
    """A named figure and its bar.

    Attributes:
        name: As in the results.
        bar: The most that it may be; None where it is only shown.
        pairs: The figure is the largest of their ratios, so that a bar over both formats is
            cleared only by both.
    """

    name: str
    bar: float | None
    pairs: tuple[Pair, ...]

    def cases(self) -> set[Case]:
        """What has to run."""
        sides = (side for pair in self.pairs for side in (pair.ours, pair.other))
        return {case for side in sides for case in side.cases()}

    def lines(self) -> list[Line]:
        """How it is shown: the figure, then each pair where there are several."""
        each = [pair.line(f"{self.name}.{pair.label}", None) for pair in self.pairs]
        return [self.pairs[0].line(self.name, self.bar), *(each if len(each) > 1 else [])]

    def rows(self, summaries: Summaries) -> list[Row]:
        """The lines with their figures."""
        worst = max(self.pairs, key=lambda pair: pair.ratio(summaries))
        return [
            Row(line, pair.ours.value(summaries), pair.other.value(summaries))
            for line, pair in zip(self.lines(), (worst, *self.pairs), strict=False)
        ]


def against(label: str, ours: Case, other: Case, measure: str, *, growth: bool = False) -> Pair:
    """The same measure of two cases."""
    return Pair(label, Quantity(ours, measure, growth), Quantity(other, measure, growth))


def raw(measure: str, *, growth: bool = False) -> tuple[Pair, Pair]:
    """Ours to raw Polars, for both formats."""
    return (
        against("delta", OURS_DELTA, RAW_DELTA, measure, growth=growth),
        against("iceberg", OURS_ICEBERG, RAW_ICEBERG, measure, growth=growth),
    )


def cpu(name: str, bar: float | None, ours: Case, other: Case) -> Ratio:
    """A ratio of CPU seconds."""
    return Ratio(name, bar, (against("cpu", ours, other, "cpu"),))


def to_delta_rs(work: str, delta: Case, iceberg: Case, other: Case) -> list[Ratio]:
    """Our Delta table to delta-rs, with a bar on CPU; our Iceberg table beside it."""
    name = f"{work}_vs_delta_rs"
    return [
        Ratio(f"lakehouse.{name}_cpu", 1.0, (against("delta", delta, other, "cpu"),)),
        Ratio(f"lakehouse.{name}_wall", None, (against("delta", delta, other, "wall"),)),
        Ratio(f"lakehouse.{name}_rss", None, (against("delta", delta, other, "rss"),)),
        Ratio(f"lakehouse.iceberg.{name}_cpu", None, (against("iceberg", iceberg, other, "cpu"),)),
    ]


RATIOS = [
    cpu("lakehouse.delta.write_cpu_ratio", 1.25, OURS_DELTA, RAW_DELTA),
    cpu("lakehouse.iceberg.write_cpu_ratio", 1.25, OURS_ICEBERG, RAW_ICEBERG),
    cpu("lakehouse.vs_dagster_deltalake_cpu", 0.5, OURS_DELTA, THEIRS_DELTA),
    cpu("lakehouse.vs_dagster_deltalake_lazy_cpu", None, OURS_DELTA, THEIRS_DELTA_LAZY),
    cpu("lakehouse.vs_dagster_iceberg_cpu", 0.6, OURS_ICEBERG, THEIRS_ICEBERG),
    cpu("lakehouse.vs_dagster_iceberg_lazy_cpu", None, OURS_ICEBERG, THEIRS_ICEBERG_LAZY),
    Ratio("lakehouse.bytes_ratio", 1.2, raw("bytes")),
    cpu("lakehouse.mirror_cpu_ratio", 1.1, OURS_MIRROR, OURS_ICEBERG),
    Ratio("lakehouse.rss_ratio", 1.1, raw("rss")),
    Ratio("lakehouse.rss_growth_ratio", 1.15, raw("rss", growth=True)),
    *to_delta_rs("merge", MERGE_DELTA, MERGE_ICEBERG, MERGE_DELTA_RS),
    *to_delta_rs("compact", COMPACT_DELTA, COMPACT_ICEBERG, COMPACT_DELTA_RS),
]
