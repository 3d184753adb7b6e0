"""Real tables in a temporary site: a folder, and a SQLite catalog beside it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.schema import Schema, assign_fresh_schema_ids
from pyiceberg.types import IcebergType, NestedField

from mcai_pipelines.lakehouse import flight
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.iceberg import IcebergLog
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import Log
from mcai_pipelines.providers.local import open_folder
from mcai_pipelines.providers.storage import TableStorage

FORMATS = [("iceberg", None), ("delta", None), ("iceberg", "delta"), ("delta", "iceberg")]
"""Every combination of primary and mirror."""


MIRRORED = [(primary, mirror) for primary, mirror in FORMATS if mirror]
"""Those with a mirror."""


@pytest.fixture(autouse=True)
def sweep_failed_sinks_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The marker of a failed sink goes after a moment, not after a minute."""
    monkeypatch.setattr(flight, "LATE", dt.timedelta(seconds=0.5))


def schema_of(columns: Mapping[str, IcebergType], required: Collection[str] = ()) -> Schema:
    """A schema as a contract with these columns asks for it."""
    fields = [
        NestedField(number, name, kind, required=name in required)
        for number, (name, kind) in enumerate(columns.items(), start=1)
    ]
    return assign_fresh_schema_ids(Schema(*fields))


def open_log(format: str, storage: TableStorage) -> Log:
    return IcebergLog(storage) if format == "iceberg" else DeltaLog(storage)


def open_table(root: Path, name: str, primary: str, mirror: str | None, **options: Any) -> Table:
    """A table at ``root``; a second call in another process opens the same one."""
    catalog = f"sqlite:///{root}/catalog.db"
    storage = open_folder("site", root, "test", catalog).table((name,))
    mirror_log = open_log(mirror, storage) if mirror else None
    return Table(name, storage, open_log(primary, storage), mirror_log, **options)


@pytest.fixture
def make_table(tmp_path: Path) -> Callable[..., Table]:
    def make(
        primary: str = "iceberg", mirror: str | None = None, name: str = "t", **options: Any
    ) -> Table:
        return open_table(tmp_path, name, primary, mirror, **options)

    return make
