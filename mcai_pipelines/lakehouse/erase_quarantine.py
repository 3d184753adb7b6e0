"""Quarantined batches that hold a subject: files that were refused, outside of any table.

They are below ``_quarantine/`` in a site's storage, beside the namespace's tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mcai_pipelines.lakehouse import flight

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.subject import Subject
    from mcai_pipelines.providers import TableStorage

FOLDER = "_quarantine"
_PROBE = ("probe",)
"""Key of a table that need not be there: its root tells where the namespace's tables are."""


def find(lake: Lake, site: str, subjects: Sequence[Subject]) -> list[str]:
    """Paths below the site's quarantine of files that hold the subject.

    Args:
        lake: The lake.
        site: The site's name.
        subjects: The subject under each column that may have its key.
    """
    import obstore

    storage = _storage(lake, site)
    if storage is None:
        return []
    return [
        item["path"]
        for page in obstore.list(storage.store)
        for item in page
        if _holds(storage, item["path"], subjects)
    ]


def delete(lake: Lake, site: str, paths: Sequence[str]) -> int:
    """Delete quarantined files; returns how many."""
    storage = _storage(lake, site)
    if storage is None:
        return 0
    flight.delete(storage, paths)
    return len(paths)


def _storage(lake: Lake, site: str) -> TableStorage | None:
    place = lake.site_storage(site)
    root = place.table(_PROBE).uri.removesuffix("/".join(_PROBE)) + FOLDER
    if "://" not in root and not Path(root).is_dir():
        return None
    return place.adopted(root, ())


def _holds(storage: TableStorage, path: str, subjects: Sequence[Subject]) -> bool:
    import obstore

    if any(subject.named_in(path) for subject in subjects):
        return True
    if path.endswith(".parquet"):
        return _parquet_holds(storage, path, subjects)
    text = bytes(obstore.get(storage.store, path).bytes()).decode(errors="replace")
    return any(subject.hidden(text) != text for subject in subjects)


def _parquet_holds(storage: TableStorage, path: str, subjects: Sequence[Subject]) -> bool:
    """Whether a row of the file is the subject's; a file that cannot be read may have one."""
    import polars as pl

    frame = pl.scan_parquet(
        f"{storage.uri}/{path}",
        glob=False,
        hive_partitioning=False,
        storage_options=storage.polars_options,
    )
    try:
        schema: Any = frame.collect_schema()
        wanted = [
            pl.col(s.column).cast(pl.String).eq_missing(pl.lit(s.text))
            for s in subjects
            if s.column in schema and not schema[s.column].is_nested()
        ]
        found = frame.select(pl.any_horizontal(wanted).any()) if wanted else None
        return found is not None and bool(found.collect(engine="streaming").item())
    except pl.exceptions.ComputeError:
        return True
