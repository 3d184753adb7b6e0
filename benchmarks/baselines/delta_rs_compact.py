"""delta-rs: a table of promotions in two hundred files, and ``optimize.compact``.

Needs ``polars`` and ``deltalake`` and nothing of this project. What is measured is the compaction
and one aggregation of all rows afterwards.
"""

from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable, write_deltalake

FILES = 200
TARGET_BYTES = 256 << 20


def answer(table: str) -> Any:
    """All rows, summed up."""
    columns = ["product_id", "store_id", "week"]
    return pl.scan_delta(table).select(pl.len(), pl.sum(*columns)).collect().rows()


def build(source: str, target: str) -> None:
    """Writes the table."""
    frame = pl.read_parquet(source)
    step = -(-frame.height // FILES)
    for start in range(0, frame.height, step):
        part = frame.slice(start, step).to_arrow()
        write_deltalake(str(Path(target) / "promotions"), part, mode="append")


def run(source: str, target: str) -> dict[str, Any]:
    """Compacts it."""
    table = str(Path(target) / "promotions")
    metrics = DeltaTable(table).optimize.compact(target_size=TARGET_BYTES)
    assert metrics["numFilesAdded"] == 1, metrics
    return {"answer": answer(table), "table": table}
