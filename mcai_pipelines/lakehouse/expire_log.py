"""What expiring asks of one format's log: what it refers to, and to forget old versions."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from mcai_pipelines.lakehouse.errors import UnsupportedTable

if TYPE_CHECKING:
    from mcai_pipelines.providers import TableStorage


@dataclass
class References:
    """What the retained versions of a log refer to, by paths below the table's root.

    Attributes:
        data: Data files.
        metadata: Objects of the log itself that it cannot be read without.
    """

    data: set[str] = field(default_factory=set)
    metadata: set[str] = field(default_factory=set)

    def __or__(self, other: References) -> References:
        return References(self.data | other.data, self.metadata | other.metadata)


class ExpiringLog(Protocol):
    """One format's log, to be shortened.

    Attributes:
        format: ``iceberg`` or ``delta``.
        gaps: Whether it can forget a version between two that it keeps.
    """

    format: str
    gaps: bool

    def protected(self) -> set[int]:
        """Versions that the log itself must keep: those that a branch or a tag names."""
        ...

    def references(self, without: Collection[int] = ()) -> References:
        """What the log refers to, freshly read.

        Args:
            without: Leave these versions out, as if they had expired.
        """
        ...

    def superseded(self, without: Collection[int]) -> set[str]:
        """Objects of the log that `forget` deletes, because a newer one stands for them."""
        ...

    def forget(self, versions: Collection[int]) -> None:
        """Make the log forget old versions; a reader of a newer one never sees a difference.

        Raises:
            CommitConflict: The newest version changed meanwhile: look again.
        """
        ...


def below(location: str, storage: TableStorage) -> str:
    """The path of a location relative to the table's root.

    Raises:
        UnsupportedTable: It is elsewhere, so what is listed below the root cannot be compared.
    """
    root = f"{storage.uri}/"
    if not location.startswith(root):
        raise UnsupportedTable(
            f"{storage.uri}: the log refers to {location}, which is not below the table's root;"
            " expire this table with the tool that wrote it"
        )
    return location[len(root) :]
