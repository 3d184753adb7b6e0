"""A home for processes that a test starts: tables, state database and Dagster instance."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.e2e.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("MCAI_HOME", str(tmp_path))
    return Home(tmp_path)
