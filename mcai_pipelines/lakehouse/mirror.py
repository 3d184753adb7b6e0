"""The other format: derived from the primary, by the difference of two sets of files.

A mirror records which primary version it shows, and never moves backwards: its commit is
based on a mirror version loaded *before* the primary's head, so whoever was overtaken in
between conflicts and looks again.
"""

from __future__ import annotations

import random
import time

from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.errors import CommitConflict, MirrorLagging
from mcai_pipelines.lakehouse.evolve import plan_evolution
from mcai_pipelines.lakehouse.failures import as_storage_error
from mcai_pipelines.lakehouse.versions import SOURCE, Change, Head, Log, Version

MIRROR_SECONDS = 120.0


def follow(primary: Log, mirror: Log, *, table: str) -> Version | None:
    """Bring the mirror to the primary's newest version.

    Args:
        primary: The log of record.
        mirror: The log that follows.
        table: What an error names.

    Returns:
        The mirror's version, or None where the primary has none.

    Raises:
        MirrorLagging: It cannot follow (the reason is in the message), or others kept
            committing to the mirror for two minutes.
    """
    deadline = time.monotonic() + MIRROR_SECONDS
    reason = f"others kept committing to it for {MIRROR_SECONDS:.0f} s"
    failed = False
    while time.monotonic() < deadline:
        try:
            with as_storage_error(table):
                return _step(primary, mirror, table)
        except CommitConflict:
            pass
        except McaiError as error:
            if failed:
                raise MirrorLagging(_lagging(primary, mirror, table, str(error))) from error
            failed = True  # its answer may have been lost: look again, once
        time.sleep(random.uniform(0.01, 0.1))
    raise MirrorLagging(_lagging(primary, mirror, table, reason))


def _step(primary: Log, mirror: Log, table: str) -> Version | None:
    shown = mirror.head()
    truth = primary.head()
    if truth is None or truth.version is None:
        return None
    current = _shows(mirror, shown, truth)
    if current is not None:
        return current
    return mirror.commit(shown, _difference(primary, shown, truth, table))


def _lagging(primary: Log, mirror: Log, table: str, reason: str) -> str:
    reason = reason.removeprefix(f"table {table}: ").rstrip(".")
    return (
        f"table {table}: the {mirror.format} mirror cannot follow the {primary.format} primary:"
        f" {reason}. What was committed is visible in the primary, and once the cause is gone"
        " the next read or write repairs the mirror."
    )


def _shows(mirror: Log, shown: Head | None, truth: Head) -> Version | None:
    if shown is None or shown.version is None:
        return None
    version = mirror.version(shown.version)
    return version if version.properties.get(SOURCE) == str(truth.version) else None


def _difference(primary: Log, shown: Head | None, truth: Head, table: str) -> Change:
    assert truth.version is not None
    before = shown.files if shown is not None else {}
    return Change(
        operation="mirror",
        schema=truth.schema,
        partition_by=truth.partition_by,
        evolution=plan_evolution(shown.schema, truth.schema, where=table) if shown else None,
        added=[file for path, file in truth.files.items() if path not in before],
        removed=[file for path, file in before.items() if path not in truth.files],
        properties={
            **primary.version(truth.version).properties,
            SOURCE: str(truth.version),
        },
    )
