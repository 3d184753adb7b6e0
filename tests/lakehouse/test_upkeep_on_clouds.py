"""Merge and compaction over the clouds' own protocols: partition names that URLs would escape."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl
import pytest

from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.iceberg import IcebergLog
from mcai_pipelines.lakehouse.lake import Lake
from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse.faults.readers import ours, rows

PLACES = ["a", "b c/ü%", "=&?#+", "[x]*"]


@pytest.mark.parametrize("site", ["aws-us-east-1", "azure-westeurope", "gcp-asia-southeast1"])
def test_merging_and_compacting(emulated: Mapping[str, str], site: str) -> None:
    lake = Lake.open(emulated)
    storage = lake.site_storage(site).table(("shop", "sales"))
    logs = (DeltaLog(storage), IcebergLog(storage))
    table = Table("shop/sales", storage, *logs, partition_by=["place"], primary_key=["item"])
    old = pl.DataFrame({"place": PLACES * 2, "item": range(8), "sales": [1.0] * 8})
    for half in (old.head(4), old.tail(4)):
        table.write(half)
    new = pl.DataFrame({"place": PLACES, "item": [2, 3, 5, 9], "sales": [2.0] * 4})

    merged = table.write(new.lazy(), "merge").merged
    compacted = table.compact(sort_by=["item"])

    assert merged is not None
    assert (merged.inserted, merged.updated) == (1, 3)
    assert compacted.partitions == 4
    expected = rows(pl.concat([old.join(new, on="item", how="anti"), new]))
    assert ours(table, "delta") == ours(table, "iceberg") == expected
    assert table.compact(sort_by=["item"]).version is None
