"""The measuring process, on real scripts and a small file."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Five rows with the columns of the promotions table."""
    path = tmp_path / "source.parquet"
    pl.DataFrame(
        {
            "product_id": [1, 2, 3, 4, 5],
            "store_id": [10, 10, 20, 20, 30],
            "display_location": ["0", "A", "0", "A", "9"],
            "mailer_location": ["0", None, "A", "C", "0"],
            "week": [1, 1, 2, 2, 3],
        }
    ).write_parquet(path)
    return path


def measured(script: Path, source: Path, target: Path, *more: str) -> dict[str, Any]:
    command = [sys.executable, str(BENCHMARKS / "child.py"), str(script)]
    command += ["--source", str(source), "--target", str(target), *more]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=target.parent)
    found: dict[str, Any] = json.loads(printed.stdout)
    return found


@pytest.mark.parametrize("format", ["delta", "iceberg"])
def test_a_baseline_answers_and_is_measured(format: str, source: Path, tmp_path: Path) -> None:
    script = BENCHMARKS / "baselines" / f"raw_{format}.py"
    found = measured(script, source, tmp_path / "lake", "--first", str(source))
    assert found["answers"] == {
        "run": [["0", 2, 2, 4, 30, 3], ["9", 1, 1, 5, 30, 3], ["A", 2, 1, 6, 30, 3]]
    }
    assert found["files"] == 1
    assert found["bytes"] > 1000
    assert 0 < found["cpu"] < found["first_cpu"]  # the first run imports what is left to import
    assert 0 < found["rss_before"] <= found["rss_peak"]


def test_imports_and_preparation_are_not_measured(source: Path, tmp_path: Path) -> None:
    script = tmp_path / "case.py"
    script.write_text(
        """
import time

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end: pass

burn(0.5)
held = bytearray(60_000_000)

def prepare(target):
    burn(0.5)

def run(source, target, extra="0"):
    burn(0.2 + float(extra))
    more = bytearray(80_000_000)
    more[::4096] = b"x" * len(more[::4096])
    return {"answer": [], "table": target}
"""
    )
    found = measured(script, source, tmp_path / "out", "--option", "extra=0.1")
    assert 0.3 <= found["cpu"] < 0.5
    assert found["rss_peak"] - found["rss_before"] == pytest.approx(80, abs=15)
    assert found["first_cpu"] == 0
