"""Every malformed contract is refused with its line, what is wrong and what to do."""

from pathlib import Path

import pytest

from mcai_pipelines.contracts import load_contract
from tests.config.corpus import check_expectations

ROOT = Path(__file__).parents[2]
FILES = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_malformed_contract_names_line_problem_and_fix(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    check_expectations(path, load_contract)


def test_the_corpus_is_large() -> None:
    assert len(FILES) >= 45
