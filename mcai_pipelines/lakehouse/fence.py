"""A fence: a version that changes nothing, before which no commit that was prepared can land."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse.commit import COMMIT_SECONDS
from mcai_pipelines.lakehouse.errors import CommitConflict, CommitContention, VersionNotFound
from mcai_pipelines.lakehouse.versions import OPERATION, Change, Version

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.table import Table

EXPIRY = "expire"
"""`OPERATION` of the version that an expiry commits."""


def fence(table: Table, operation: str, properties: Mapping[str, str] | None = None) -> Version:
    """Commit a version that changes nothing, so that whoever was about to commit conflicts.

    The mirror follows it, which is its own fence.

    Raises:
        CommitContention: Others kept committing first for two minutes.
    """
    deadline = time.monotonic() + COMMIT_SECONDS
    while time.monotonic() < deadline:
        head = table.head()
        assert head.version is not None
        try:
            carried = table.primary.version(head.version).carried
            change = Change(
                operation="expire",
                schema=head.schema,
                partition_by=head.partition_by,
                properties={**carried, OPERATION: operation, **(properties or {})},
            )
            version = table.primary.commit(head, change)
        except (CommitConflict, VersionNotFound):  # others committed, or expired it even
            time.sleep(random.uniform(0, 0.1))
            continue
        table.repair_mirror()
        return version
    raise CommitContention(contended(table.key))


def contended(key: str) -> str:
    """What a `CommitContention` says."""
    return (
        f"table {key}: others kept committing first for {COMMIT_SECONDS:.0f} s; run again when"
        " fewer write at once"
    )
