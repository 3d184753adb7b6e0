"""Rolling back: an earlier version's rows become visible again, as a new version."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse import flight
from mcai_pipelines.lakehouse.commit import COMMIT_SECONDS, refuse_replica
from mcai_pipelines.lakehouse.errors import CommitConflict, CommitContention, StaleWrite
from mcai_pipelines.lakehouse.versions import (
    BATCH,
    RESTORED,
    Change,
    Head,
    Version,
    find_batch,
)
from mcai_pipelines.lakehouse.write import Commit, WriteRequest, Writing

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.table import Table


def restore(table: Table, version: int, properties: Mapping[str, str]) -> Commit:
    """Carry a rollback through; see `Table.rollback`.

    Where Delta is one of the formats and a type was widened since, the rows are written
    anew, because a Delta table's files must all hold the table's types; otherwise the old
    files are listed again.
    """
    recorded = {**properties, RESTORED: str(version)}
    deadline = time.monotonic() + COMMIT_SECONDS
    while time.monotonic() < deadline:
        head, target = table.head(), table.primary.at(version)
        refuse_replica(table, head)
        try:
            if table.has_delta and _needs_rewriting(table, target, head):
                return _rewrite(table, head, target, recorded)
            restored = _list_again(table, head, target, recorded)
        except (CommitConflict, StaleWrite):
            time.sleep(random.uniform(0, 0.1))
            continue
        mirrored = table.repair_mirror()
        table.sweep()
        return Commit(restored, mirrored)
    raise CommitContention(f"table {table.key}: others kept committing first; run again")


def _rewrite(table: Table, head: Head, target: Head, recorded: Mapping[str, str]) -> Commit:
    as_it_is = table.as_head(head)
    request = WriteRequest(mode="overwrite", properties=recorded)
    return Writing(as_it_is, request, head).run(table.primary.scan(target))


def _list_again(table: Table, head: Head, target: Head, recorded: Mapping[str, str]) -> Version:
    batch = flight.new_batch_id()
    change = Change(
        operation="rollback",
        schema=head.schema,
        partition_by=head.partition_by,
        added=[f for path, f in target.files.items() if path not in head.files],
        removed=[f for path, f in head.files.items() if path not in target.files],
        properties={**recorded, BATCH: batch},
    )
    try:
        return table.primary.commit(head, change)
    except CommitConflict:
        raise
    except Exception:
        # It failed, or it succeeded and its answer was lost: the log knows.
        landed = find_batch(table.primary, head, batch)
        if landed is not None:
            return landed
        raise


def _needs_rewriting(table: Table, target: Head, head: Head) -> bool:
    read_as_head = replace(target, schema=head.schema)
    return _widened_since(target, head) or bool(table.primary.not_by_name(read_as_head))


def _widened_since(old: Head, new: Head) -> bool:
    types = {field.name: str(field.field_type) for field in new.schema.fields}
    return any(
        field.field_type.is_primitive and types.get(field.name) != str(field.field_type)
        for field in old.schema.fields
    )
