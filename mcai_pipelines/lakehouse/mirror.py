"""The other format: derived from the primary, by the difference of two sets of files.

A mirror records which primary version it shows, and never moves backwards: its commit is
based on a mirror version loaded *before* the primary's head, so whoever was overtaken in
between conflicts and looks again.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace

from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.errors import CommitConflict, MirrorLagging, UnsupportedTable
from mcai_pipelines.lakehouse.evolve import plan_evolution
from mcai_pipelines.lakehouse.failures import as_storage_error
from mcai_pipelines.lakehouse.versions import CONTENT, SOURCE, Change, Head, Log, Version

MIRROR_SECONDS = 120.0


def follow(primary: Log, mirror: Log, *, table: str, site: str | None = None) -> Version | None:
    """Bring the mirror to the primary's newest version.

    Args:
        primary: The log of record.
        mirror: The log that follows.
        table: What an error names.
        site: Where it is kept; an error names it too.

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
            with as_storage_error(table, site, "mirroring"):
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
    change = _difference(primary, mirror.format, shown, truth, table)
    if not _is_compaction(primary, mirror, shown, truth):
        properties = {n: value for n, value in change.properties.items() if n != CONTENT}
        return mirror.commit(shown, replace(change, properties=properties))
    return mirror.commit(shown, replace(change, operation="compact"))


def _is_compaction(primary: Log, mirror: Log, shown: Head | None, truth: Head) -> bool:
    """Whether the one version that the mirror lacks changed files and no row."""
    if shown is None or shown.version is None or truth.version is None:
        return False
    version = primary.version(truth.version)
    source = mirror.version(shown.version).properties.get(SOURCE)
    return version.is_compaction and source == str(version.parent)


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


def _difference(
    primary: Log, mirror_format: str, shown: Head | None, truth: Head, table: str
) -> Change:
    assert truth.version is not None
    if mirror_format == "delta" and (other := primary.not_by_name(truth)):
        raise UnsupportedTable(
            f"{len(other)} of its files were written before a column was widened or renamed, and"
            f" Delta finds columns by name and type; the next write, or mcai table mirror {table}"
            " --format delta, writes them anew"
        )
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
