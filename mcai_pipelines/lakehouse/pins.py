"""Who is at work on a table now: running writes, and readers that pinned a version.

A pin is a marker like a batch's (see `flight`), with the version that its owner reads; a killed
reader's is removed by the next writer's `sweep`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mcai_pipelines.lakehouse import flight

if TYPE_CHECKING:
    from mcai_pipelines.providers import TableStorage

_PINS = "pins"


@contextmanager
def pinned(storage: TableStorage, version: int) -> Iterator[None]:
    """Keep a version from expiring while the block runs; load the version inside of it.

    Args:
        storage: The table's root.
        version: Of the primary or of the mirror.
    """
    with flight.in_flight(storage, flight.new_batch_id(), _harmless, {_PINS: version}):
        yield


def _harmless() -> flight.Fate:
    return flight.Fate(landed=True)  # a reader stages no file


def versions(storage: TableStorage) -> set[int]:
    """The versions that somebody who is alive has pinned."""
    return {m[_PINS] for m in _alive(storage).values() if _PINS in m}


def oldest_writer(storage: TableStorage) -> dt.datetime | None:
    """When the oldest running write began, which reads what was current then."""
    began = [m["started"] for m in _alive(storage).values() if _PINS not in m]
    return min(map(dt.datetime.fromisoformat, began), default=None)


def batches(storage: TableStorage, *, fenced: bool) -> set[str]:
    """The batches whose files may still be committed.

    Args:
        storage: The table's root.
        fenced: A version was committed since, so no dead writer's commit can still land.
    """
    marked = _alive(storage) if fenced else flight.markers(storage)
    found = [(marker["batch"], *marker.get("batches", ())) for marker in marked.values()]
    return {batch for batches in found for batch in batches}  # a replication brings others'


def clear(storage: TableStorage) -> None:
    """Remove the markers of the dead, after a fence, when their files are gone."""
    gone = {
        path
        for path, marker in flight.markers(storage).items()
        if flight.is_abandoned(marker) and not flight.may_be_late(marker)
    }
    flight.delete(storage, sorted(gone))


def _alive(storage: TableStorage) -> dict[str, dict[str, Any]]:
    found = flight.markers(storage)
    return {path: marker for path, marker in found.items() if not flight.is_abandoned(marker)}
