"""What a write makes invisible, and whether it may still do so after others committed.

Compactions change files and no row: a write that they overtook is not stale because of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mcai_pipelines.lakehouse.errors import VersionNotFound

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.files import DataFile, Partition
    from mcai_pipelines.lakehouse.versions import Head, Log, Version


class Scope(Protocol):
    """What one write replaces."""

    def replaced(self, head: Head | None) -> list[DataFile]:
        """The live files that the write makes invisible."""
        ...

    def is_stale(self, log: Log, base: Head | None, head: Head) -> bool:
        """Whether others changed, between two heads, what the write was computed from."""
        ...


@dataclass(frozen=True)
class Everything:
    """The scope of an overwrite: all files, or those of some partitions."""

    partitions: frozenset[Partition] | None = None

    def replaced(self, head: Head | None) -> list[DataFile]:
        """See `Scope.replaced`."""
        files = head.files.values() if head is not None else ()
        wanted = self.partitions
        return [file for file in files if wanted is None or file.partition in wanted]

    def is_stale(self, log: Log, base: Head | None, head: Head) -> bool:
        """See `Scope.is_stale`."""
        if self._paths(base) == self._paths(head):
            return False
        steps = steps_between(log, base, head)
        return steps is None or any(
            self._paths(step.before) != self._paths(step.after)
            for step in steps
            if not step.version.is_compaction
        )

    def _paths(self, head: Head | None) -> set[str]:
        return {file.path for file in self.replaced(head)}


class Nothing:
    """The scope of an append."""

    def replaced(self, head: Head | None) -> list[DataFile]:
        """See `Scope.replaced`."""
        return []

    def is_stale(self, log: Log, base: Head | None, head: Head) -> bool:
        """See `Scope.is_stale`."""
        return False


@dataclass(frozen=True)
class Step:
    """One version, and the table before and after it."""

    version: Version
    before: Head
    after: Head

    @property
    def added(self) -> list[DataFile]:
        """Files that it made visible."""
        return [f for path, f in self.after.files.items() if path not in self.before.files]

    @property
    def removed(self) -> set[str]:
        """Paths of files that it made invisible."""
        return self.before.files.keys() - self.after.files.keys()


def steps_between(log: Log, base: Head | None, head: Head) -> list[Step] | None:
    """What led from one head to a later one, oldest first, if a compaction is part of it.

    Returns:
        None where no compaction is, or where the way is not known: the base is no ancestor
        (another tool rolled back), or versions in between have expired.
    """
    if base is None or base.version is None:
        return None
    versions: list[Version] = []
    number = head.version
    try:
        while number != base.version:
            if number is None:
                return None
            versions.append(log.version(number))
            number = versions[-1].parent
        if not any(version.is_compaction for version in versions):
            return None
        heads = [base, *(log.at(version.id) for version in reversed(versions[1:])), head]
    except VersionNotFound:
        return None
    return [
        Step(version, before, after)
        for version, before, after in zip(reversed(versions), heads, heads[1:], strict=False)
    ]
