"""Whatever a contract holds, loading it returns or says what is wrong."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcai_pipelines.contracts import load_contract
from tests.config.mutations import (
    any_bytes,
    loads_or_says_why,
    mutated_data,
    mutated_text,
    yaml_like,
)

GOOD = sorted((Path(__file__).parent / "good").rglob("*.yaml"))


@given(
    st.one_of(any_bytes(), yaml_like(), mutated_text(GOOD), mutated_text(GOOD), mutated_data(GOOD))
)
def test_any_contract_loads_or_says_why(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    loads_or_says_why(load_contract, tmp_path_factory.getbasetemp() / "fuzz.yaml", content)
