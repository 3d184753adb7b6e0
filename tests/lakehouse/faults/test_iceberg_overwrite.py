"""What PyIceberg 0.12 gets wrong in an overwrite, and this project must not."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from pyiceberg.expressions.visitors import _ManifestEvalVisitor

from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse.faults.crowd import frame
from tests.lakehouse.faults.readers import plain_catalog, rows


def items(table: Table) -> list[int]:
    return sorted(table.scan().collect()["item"].to_list())


def test_an_overwrite_finds_its_files_in_many_manifests(
    make_table: Callable[..., Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    """PyIceberg 0.12 prunes manifests in threads that share one evaluator and its state."""
    original = _ManifestEvalVisitor.visit_equal

    def slow(self: _ManifestEvalVisitor, term: Any, literal: Any) -> bool:
        time.sleep(0.002)
        return original(self, term, literal)

    table = make_table("iceberg", partition_by=["owner"])
    for number in range(12):
        table.write(frame(f"owner {number % 3}", number))
    monkeypatch.setattr(_ManifestEvalVisitor, "visit_equal", slow)

    some = [("owner 0",), ("owner 1",)]
    table.write(frame("owner 0", 100), "overwrite_partitions", partitions=some)
    assert items(table) == [2, 5, 8, 11, 100]
    table.write(frame("owner 3", 200), "overwrite")
    assert items(table) == [200]


def test_lists_of_removed_files_do_not_pile_up(make_table: Callable[..., Table]) -> None:
    """Else a table that is overwritten every hour has thousands of files to open within a year."""
    table = make_table("iceberg", partition_by=["owner"])
    versions = [table.write(frame("owner", number), "overwrite").version for number in range(8)]

    theirs = plain_catalog(table).load_table(table.storage.identifier)
    newest = theirs.current_snapshot()
    assert newest is not None
    assert len(newest.manifests(theirs.io)) == 2  # what it added, and what it removed
    for number, version in enumerate(versions):
        seen = theirs.scan(snapshot_id=version.id).to_arrow()
        assert rows(pl.DataFrame(seen)) == [(number, "owner")]
