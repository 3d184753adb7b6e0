"""The ratios of the benchmarks: what they are made of, and when a bar is missed."""

import dataclasses
from typing import Any

import pytest

from benchmarks import load, results, suite
from benchmarks.__main__ import every_name, selected, to_run
from benchmarks.measure import CaseFailed, Sample, Summary, check_answers
from benchmarks.suite import OURS_DELTA, OURS_ICEBERG, RATIOS, RAW_DELTA, RAW_ICEBERG, Ratio

UNIT = Summary(cpu=1, wall=1, rss=100, rss_peak=150, first_cpu=1, bytes=1000, files=1)


def summaries(**changed: dict[str, float]) -> dict[str, Summary]:
    cases = {case.name: UNIT for case in suite.CASES}
    return cases | {name: dataclasses.replace(UNIT, **figures) for name, figures in changed.items()}


def ratio(name: str) -> Ratio:
    return next(one for one in RATIOS if one.name == name)


def sample(**figures: Any) -> Sample:
    fields = {"cpu": 1.0, "wall": 1.0, "rss_before": 50.0, "rss_peak": 150.0, "first_cpu": 0.0}
    return Sample.from_child({**fields, "bytes": 1, "files": 1, "answers": {"run": []}, **figures})


def test_a_ratio_is_ours_to_theirs() -> None:
    (row,) = ratio("lakehouse.delta.write_cpu_ratio").rows(
        summaries(ours_delta={"cpu": 3.0}, raw_delta={"cpu": 2.0})
    )
    assert (row.ours, row.other, row.ratio) == (3.0, 2.0, 1.5)
    assert row.missed


def test_a_bar_is_cleared_by_its_own_value() -> None:
    (row,) = ratio("lakehouse.vs_dagster_deltalake_cpu").rows(
        summaries(dagster_deltalake={"cpu": 2.0})
    )
    assert row.ratio == 0.5
    assert not row.missed
    assert row.cells()[-1] == "✓"


def test_a_ratio_over_both_formats_is_the_worse_one() -> None:
    figure, delta, iceberg = ratio("lakehouse.bytes_ratio").rows(
        summaries(ours_delta={"bytes": 900}, ours_iceberg={"bytes": 1300})
    )
    assert figure.ratio == iceberg.ratio == 1.3
    assert delta.ratio == 0.9
    assert figure.missed
    assert not iceberg.missed  # the bar is on the figure alone


def test_growth_is_compared_with_growth() -> None:
    figure, delta, iceberg = ratio("lakehouse.rss_growth_ratio").rows(
        summaries(
            ours_delta={"rss": 900},
            ours_delta_tenth={"rss": 300},
            raw_delta={"rss": 800},
            raw_delta_tenth={"rss": 400},
        )
    )
    assert (delta.ours, delta.other, delta.ratio) == (3.0, 2.0, 1.5)
    assert iceberg.ratio == 1.0
    assert figure.ratio == 1.5


def test_the_least_time_and_the_median_memory_count() -> None:
    taken = [sample(cpu=cpu, rss_peak=peak) for cpu, peak in [(1, 90), (3, 70), (2, 80)]]
    assert Summary.of(taken).cpu == 1
    assert Summary.of(taken).rss == 30  # less the 50 MB that were there before


def test_different_answers_fail() -> None:
    samples = {
        "raw_delta": [sample(answers={"run": [["0", 5]]})],
        "ours_delta": [sample(answers={"run": [["0", 5]], "plain Delta": [["0", 4]]})],
    }
    with pytest.raises(CaseFailed, match=r"ours_delta \(plain Delta\)"):
        check_answers([RAW_DELTA, OURS_DELTA], samples)


def test_answers_over_other_sources_are_not_compared() -> None:
    small = suite.tenth(RAW_ICEBERG)
    samples = {
        RAW_ICEBERG.name: [sample(answers={"run": [["0", 50]]})],
        small.name: [sample(answers={"run": [["0", 5]]})],
    }
    check_answers([RAW_ICEBERG, small], samples)


def test_results_survive_the_file() -> None:
    cases = summaries(ours_iceberg={"cpu": 2.5, "bytes": 21_040_701})
    rows = [row for one in RATIOS for row in one.rows(cases)]
    lines = [line for one in RATIOS for line in one.lines()]
    flat = results.flatten(rows, cases)
    assert results.unflatten(flat, lines, cases) == (rows, cases)
    assert flat["lakehouse.iceberg.write_cpu_ratio"] == 2.5


def test_results_of_other_runs_are_left_alone() -> None:
    rows = ratio("lakehouse.mirror_cpu_ratio").rows(summaries())
    lines = [line for one in RATIOS for line in one.lines()] + load.LINES
    assert results.unflatten(results.flatten(rows, {}), lines, ["raw_delta"]) == (rows, {})


def test_names_select_ratios_by_their_beginning_and_cases_exactly() -> None:
    assert selected("lakehouse.delta") == {"lakehouse.delta.write_cpu_ratio"}
    assert selected("definitions") == {"definitions.load_ratio"}
    assert selected("raw_delta") == {"raw_delta"}
    assert selected("lakehouse.del") == set()
    assert len(every_name()) == len(set(every_name()))


def test_only_the_cases_that_are_needed_run() -> None:
    names = [case.name for case in to_run([], [ratio("lakehouse.iceberg.write_cpu_ratio")])]
    assert names == [RAW_ICEBERG.name, OURS_ICEBERG.name]
