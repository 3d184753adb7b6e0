"""In CI a skipped test fails the run, however it was skipped and however many workers ran."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPED = """
import pytest
def test_runs(): pass
def test_skips(): pytest.skip("no reason at all")
"""
NOT_IMPORTED = """
import pytest
pytest.importorskip("not_a_module")
"""


def run(folder: Path, workers: int, ci: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-n", str(workers), "-p", "no:cacheprovider"],
        cwd=folder,
        env=os.environ | {"MCAI_CI": ci},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(Path(__file__).with_name("conftest.py"), tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "test_fine.py").write_text("def test_runs(): pass\n")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 2])
def test_skips_fail_the_run_in_ci_only(project: Path, workers: int) -> None:
    (project / "test_skipped.py").write_text(SKIPPED)
    (project / "test_not_imported.py").write_text(NOT_IMPORTED)

    assert run(project, workers, ci="").returncode == 0
    in_ci = run(project, workers, ci="1")

    assert in_ci.returncode == 1
    assert "test_skipped.py::test_skips: Skipped: no reason at all" in in_ci.stdout
    assert "test_not_imported.py: Skipped: could not import" in in_ci.stdout


def test_a_run_without_skips_passes_in_ci(project: Path) -> None:
    finished = run(project, workers=0, ci="1")

    assert finished.returncode == 0, finished.stdout
