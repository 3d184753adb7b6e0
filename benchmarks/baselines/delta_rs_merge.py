"""delta-rs: a table of promotions in eight files, and a merge of one percent of its keys.

Needs ``polars`` and ``deltalake`` and nothing of this project. What is measured is the merge and
one aggregation of all rows afterwards.
"""

from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable, write_deltalake

FILES = 8


def rows(source: str) -> pl.LazyFrame:
    """The promotions, with a key."""
    return pl.scan_parquet(source).with_row_index("id").with_columns(pl.col("id").cast(pl.Int64))


def changes(source: str) -> pl.DataFrame:
    """Every hundredth row with another week, and a thousand rows with new keys."""
    frame = rows(source)
    some = frame.filter(pl.col("id") % 100 == 37)
    new = frame.head(1000).with_columns(pl.col("id") + 1_000_000_000)
    return pl.concat([some, new]).with_columns(pl.col("week") + 1).collect()


def answer(table: str) -> Any:
    """All rows, summed up."""
    columns = ["id", "product_id", "store_id", "week"]
    return pl.scan_delta(table).select(pl.len(), pl.sum(*columns)).collect().rows()


def build(source: str, target: str) -> None:
    """Writes the table, and the rows to merge."""
    frame = rows(source).collect()
    step = -(-frame.height // FILES)
    for start in range(0, frame.height, step):
        part = frame.slice(start, step).to_arrow()
        write_deltalake(str(Path(target) / "promotions"), part, mode="append")
    changes(source).write_parquet(Path(target) / "changes.parquet")


def run(source: str, target: str) -> dict[str, Any]:
    """Merges them."""
    table = str(Path(target) / "promotions")
    new = pl.read_parquet(Path(target) / "changes.parquet").to_arrow()
    (
        DeltaTable(table)
        .merge(new, "old.id = new.id", source_alias="new", target_alias="old")
        .when_matched_update_all()
        .when_not_matched_insert_all()
        .execute()
    )
    return {"answer": answer(table), "table": table}
