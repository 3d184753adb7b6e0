"""Whatever a platform file holds, loading it returns or says what is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcai_pipelines.config import load_platform, unresolved
from tests.config.mutations import (
    any_bytes,
    loads_or_says_why,
    mutated_data,
    mutated_text,
    yaml_like,
)

ROOT = Path(__file__).parents[2]
GOOD = [*sorted((ROOT / "platforms").glob("*.yaml"))]
GOOD += sorted((Path(__file__).parent / "good").glob("*.yaml"))


def load(path: Path) -> None:
    unresolved(load_platform(path), {})


@given(
    st.one_of(any_bytes(), yaml_like(), mutated_text(GOOD), mutated_text(GOOD), mutated_data(GOOD))
)
def test_any_platform_file_loads_or_says_why(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    loads_or_says_why(load, tmp_path_factory.getbasetemp() / "fuzz.yaml", content)
