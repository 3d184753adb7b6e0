"""Fixtures of tests that start processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)
