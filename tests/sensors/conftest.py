"""A retail project of each test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.retail import Retail


@pytest.fixture
def retail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Retail]:
    monkeypatch.setenv("MCAI_HOME", str(tmp_path))
    monkeypatch.delenv("MCAI_PLATFORM", raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Retail(instance)
