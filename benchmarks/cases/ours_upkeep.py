"""Our side of ``delta_rs_merge.py`` and ``delta_rs_compact.py``: the same work on our tables."""

from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.baselines import delta_rs_compact as compacting
from benchmarks.baselines import delta_rs_merge as merging
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.iceberg import IcebergLog
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import Log
from mcai_pipelines.providers.local import open_folder

MERGE, COMPACT = "merge", "compact"


def open_table(target: str, format: str) -> Table:
    """The table below ``target``."""
    root = Path(target).absolute()
    storage = open_folder("bench", root, "bench", f"sqlite:///{root}/catalog.db").table(("t",))
    log: Log = DeltaLog(storage) if format == "delta" else IcebergLog(storage)
    return Table("t", storage, log)


def build(source: str, target: str, work: str, format: str) -> None:
    """Writes the table in as many files as the other side's, and the rows to merge."""
    table = open_table(target, format)
    files = merging.FILES if work == MERGE else compacting.FILES
    frame = merging.rows(source).collect() if work == MERGE else pl.read_parquet(source)
    step = -(-frame.height // files)
    for start in range(0, frame.height, step):
        table.write(frame.slice(start, step))
    if work == MERGE:
        merging.changes(source).write_parquet(Path(target) / "changes.parquet")


def run(source: str, target: str, work: str, format: str) -> dict[str, Any]:
    """Merges, or compacts."""
    table = open_table(target, format)
    if work == MERGE:
        table.write(pl.scan_parquet(Path(target) / "changes.parquet"), "merge", on=["id"])
        columns = ["id", "product_id", "store_id", "week"]
    else:
        done = table.compact(target_size=compacting.TARGET_BYTES)
        assert done.files_after == 1, done
        columns = ["product_id", "store_id", "week"]
    answer = table.scan().select(pl.len(), pl.sum(*columns)).collect().rows()
    return {"answer": answer, "table": table.storage.uri}
