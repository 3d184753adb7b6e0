"""Which versions of a history are kept, and which may expire."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from mcai_pipelines.contracts import Retention
from mcai_pipelines.lakehouse.fence import EXPIRY
from mcai_pipelines.lakehouse.versions import OPERATION, SOURCE, Version

if TYPE_CHECKING:
    from mcai_pipelines.contracts import Contract

KEEP = 10
"""Versions that are kept however old they are, unless the caller says otherwise."""

OLDER_THAN = dt.timedelta(days=7)
"""A version that was current within this time is kept, unless the caller says otherwise.

Nothing tells which versions the readers of other processes are at: this is the longest that a
run may read one version.
"""


def policy(contract: Contract | None) -> tuple[int, dt.timedelta]:
    """``keep`` and ``older_than`` as a table's contract asks for, or else the defaults."""
    history = contract.history if contract is not None else Retention()
    days = history.days
    return history.keep_versions or KEEP, OLDER_THAN if days is None else dt.timedelta(days=days)


def retained(
    versions: Sequence[Version], keep: int, floor: dt.datetime, named: Collection[int], gaps: bool
) -> set[int]:
    """The newest end of a history that is kept, and what is named.

    Args:
        versions: Newest first.
        keep: So many, not counting those that expiries made.
        floor: Also those that were current at this time or later.
        named: Kept whatever their age.
        gaps: Whether the log can forget a version between two that it keeps.
    """
    counted, ended, length = 0, None, 0
    for version in versions:
        if counted >= keep and ended is not None and ended < floor:
            break
        length += 1
        counted += version.properties.get(OPERATION) != EXPIRY
        ended = version.committed_at
    return _with_named(versions, length, named, gaps)


def following(
    versions: Sequence[Version], primary: Collection[int], named: Collection[int], gaps: bool
) -> set[int]:
    """The mirror's versions that show a kept version of the primary, the newest, and between."""
    wanted = {str(id) for id in primary}
    showing = (n for n, v in enumerate(versions) if v.properties.get(SOURCE) in wanted)
    return _with_named(versions, max(showing, default=0) + 1, named, gaps)


def _with_named(
    versions: Sequence[Version], length: int, named: Collection[int], gaps: bool
) -> set[int]:
    places = [n for n, version in enumerate(versions) if n < length or version.id in named]
    if not gaps:
        places = list(range(max(places) + 1))
    return {versions[n].id for n in places}
