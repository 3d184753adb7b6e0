"""What can go wrong with a lake table, in the words of whoever has to act on it."""

from mcai_pipelines.errors import BadInput, McaiError


class LakeError(McaiError):
    """Base of the lakehouse's errors."""


class TableNotFound(LakeError):
    """The table has not been written yet, or not in this namespace."""


class VersionNotFound(LakeError):
    """The version asked for does not exist, or has expired."""


class HistoryExpired(LakeError):
    """Whether an append was made before cannot be told any more; nothing was written."""


class VersionErased(VersionNotFound):
    """The version was erased, with one subject's rows; the message says when and why."""


class SchemaMismatch(BadInput):
    """A frame or a contract does not fit the table (exit code 2)."""


class UnusableKeys(BadInput):
    """Rows of a merge have no key, or share one (exit code 2)."""


class CompactionFailed(LakeError):
    """Rewritten files do not hold the rows of those they should replace; nothing was changed."""


class RowsOutsidePartitions(LakeError):
    """The frame holds rows outside the partitions that the write was to replace."""


class StaleWrite(LakeError):
    """Someone changed what this write was computed from: compute it again and write again."""


class CommitConflict(LakeError):
    """Another commit took the version first. Internal: the commit loop tries again."""


class CommitContention(LakeError):
    """The commit loop ran out of time because others kept committing first."""


class MirrorLagging(LakeError):
    """The commit is visible in the primary, but its mirror could not follow."""


class UnsupportedTable(LakeError):
    """The table uses a feature that this writer would break; nothing was changed."""


class ReadOnlyTable(LakeError):
    """The table is adopted from elsewhere, or a replica, and only read."""


class ReplicaDiverged(LakeError):
    """The target is no replica of the source, or somebody else wrote to it."""


class CopyFailed(LakeError):
    """A file could not be copied whole; no version shows what was copied."""
