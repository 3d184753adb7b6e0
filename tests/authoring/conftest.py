"""Fixtures of tests that need a project folder of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from tests.project import PLATFORM, Project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    for folder in ("platforms", "contracts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "platforms" / "local.yaml").write_text(PLATFORM)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MCAI_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MCAI_PLATFORM", raising=False)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Project(tmp_path, instance)


@pytest.fixture
def range_tags() -> Callable[[str, str], dict[str, str]]:
    """Run tags of a backfill over a range of partitions in one run."""
    return lambda first, last: {
        "dagster/asset_partition_range_start": first,
        "dagster/asset_partition_range_end": last,
    }
