"""Every malformed platform file is refused with its line, what is wrong and what to do."""

from pathlib import Path

import pytest

from mcai_pipelines.config import Platform, load_platform, unresolved
from mcai_pipelines.errors import BadInput
from tests.config.corpus import check_expectations

ROOT = Path(__file__).parents[2]
FILES = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def check(path: Path) -> Platform:
    """What ``mcai check`` does: load, then look for what this environment lacks."""
    platform = load_platform(path)
    if problems := unresolved(platform, {}):
        raise BadInput(problems)
    return platform


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_malformed_platform_names_line_problem_and_fix(path: Path) -> None:
    check_expectations(path, check)


def test_the_corpus_is_large() -> None:
    assert len(FILES) >= 45
