"""What a table remembers of its erasures: which versions are gone, when and why.

A record, ``_erased/<id>.json`` below the table's root, is written before anything is removed and
completed when all is; one that is not complete tells the next erasure to complete it. It holds
no value of any row.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from mcai_pipelines.lakehouse.errors import VersionErased, VersionNotFound

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.providers import TableStorage

FOLDER = "_erased"


@dataclass(frozen=True)
class Record:
    """One erasure, as the table remembers it.

    Attributes:
        id: Of the erasure, the same in every table that it touched.
        began: When it began here (UTC).
        reason: What the user gave for it.
        versions: By format, the versions that were retained when it began or that it made on
            its way: none of them can be read any more.
        ended: When all was removed; None until then.
    """

    id: str
    began: dt.datetime
    reason: str
    versions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    ended: dt.datetime | None = None


def save(storage: TableStorage, record: Record) -> None:
    """Write a record, or its new state."""
    import obstore

    ended = record.ended.isoformat() if record.ended else None
    body = {**asdict(record), "began": record.began.isoformat(), "ended": ended}
    obstore.put(storage.store, f"{FOLDER}/{record.id}.json", json.dumps(body).encode())


def load(storage: TableStorage) -> list[Record]:
    """Every record of a table, oldest first."""
    import obstore

    found = [
        _parse(bytes(obstore.get(storage.store, item["path"]).bytes()))
        for page in obstore.list(storage.store, prefix=f"{FOLDER}/")
        for item in page
    ]
    return sorted(found, key=lambda record: record.began)


def _parse(body: bytes) -> Record:
    saved = json.loads(body)
    return Record(
        id=saved["id"],
        began=dt.datetime.fromisoformat(saved["began"]),
        reason=saved["reason"],
        versions={name: tuple(ids) for name, ids in saved["versions"].items()},
        ended=dt.datetime.fromisoformat(saved["ended"]) if saved["ended"] else None,
    )


def unfinished(storage: TableStorage) -> list[Record]:
    """Erasures that were begun and not completed."""
    return [record for record in load(storage) if record.ended is None]


def continued(storage: TableStorage, record: Record) -> Record:
    """The record as the table has it already, where the erasure was begun before."""
    return next((known for known in load(storage) if known.id == record.id), record)


def with_versions(record: Record, table: Table) -> Record:
    """The record, with every version that the table's logs retain now."""
    versions = dict(record.versions)
    for log in (table.primary, table.mirror_log):
        if log is not None:
            known = {*versions.get(log.format, ()), *(v.id for v in log.versions())}
            versions[log.format] = tuple(sorted(known))
    return replace(record, versions=versions)


def without_retained(record: Record, table: Table) -> Record:
    """The record, without the versions that the table's logs still retain."""
    versions = dict(record.versions)
    for log in (table.primary, table.mirror_log):
        if log is not None:
            retained = {v.id for v in log.versions()}
            versions[log.format] = tuple(i for i in versions[log.format] if i not in retained)
    return replace(record, versions=versions)


@contextmanager
def explained(
    table: Table, *, version: int | None = None, moment: dt.datetime | None = None
) -> Iterator[None]:
    """Say of a version that is not there that it was erased, if it was.

    Args:
        table: The table.
        version: The version asked for.
        moment: The time that was asked for instead.

    Raises:
        VersionErased: In place of `VersionNotFound`.
    """
    try:
        yield
    except VersionNotFound as error:
        record = _erasure_of(load(table.storage), version, moment)
        if record is None:
            raise
        what = f"version {version}" if version is not None else f"the version at {moment}"
        why = f" ({record.reason})" if record.reason else ""
        raise VersionErased(
            f"table {table.key}: {what} was erased on {record.ended or record.began:%Y-%m-%d}{why};"
            " its history begins anew there"
        ) from error


def _erasure_of(
    records: list[Record], version: int | None, moment: dt.datetime | None
) -> Record | None:
    for record in records:
        if version is not None and any(version in ids for ids in record.versions.values()):
            return record
        if moment is not None and moment.astimezone(dt.UTC) < (record.ended or record.began):
            return record
    return None
