"""Turning what the libraries raise into errors a user can act on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcai_pipelines.lakehouse.errors import LakeError

_ADVICE = (
    ("No space left", "the disk is full: free some space"),
    ("Disk quota exceeded", "the quota is used up: free some space"),
    ("Read-only file system", "the storage is read-only: choose another, or remount it"),
    ("readonly database", "the storage is read-only: choose another, or change its permissions"),
    ("unable to open database file", "the catalog's folder cannot be written"),
    ("disk is full", "the disk is full: free some space"),
    ("Permission denied", "the storage may not be written: check its permissions"),
    ("File name too long", "the key or a partition value is too long for a file name"),
    ("File too large", "this process may not write a file so large: raise its limit (ulimit -f)"),
    ("disk I/O error", "the catalog's disk fails or is full"),
    ("database is locked", "the catalog stayed locked: stop what holds it"),
    ("No such file", "the file is gone: restore it, or roll back to a version without it"),
)


class StorageFailed(LakeError):
    """The storage or the catalog failed; what was committed before is as it was."""


@contextmanager
def as_storage_error(table: str) -> Iterator[None]:
    """Raise `StorageFailed`, naming the table and the cause, for a failure of the storage.

    Args:
        table: What the error names.
    """
    import polars as pl
    from deltalake.exceptions import DeltaError
    from obstore.exceptions import BaseError
    from pyiceberg.exceptions import ValidationError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (OSError, BaseError, DeltaError, SQLAlchemyError, ValidationError) as error:
        raise StorageFailed(_explain(table, error)) from error
    except pl.exceptions.ComputeError as error:
        if _advice(str(error)) is None and "os error" not in str(error):
            raise
        raise StorageFailed(_explain(table, error)) from error


def _advice(text: str) -> str | None:
    return next((advice for sign, advice in _ADVICE if sign.lower() in text.lower()), None)


def _explain(table: str, error: Exception) -> str:
    cause = str(getattr(error, "orig", None) or error).strip()
    first = cause.splitlines()[0] if cause else type(error).__name__
    advice = _advice(cause) or "see the cause above, then run again"
    return f"table {table}: {first}; {advice}"
