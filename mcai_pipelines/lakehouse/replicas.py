"""The replicas of a lake's tables: their keys, their formats, and how they are opened."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.errors import UnsupportedTable
from mcai_pipelines.lakehouse.iceberg import IcebergLog
from mcai_pipelines.lakehouse.publish import open_log
from mcai_pipelines.lakehouse.replicate import ReplicaRequest, Replication, replicate
from mcai_pipelines.lakehouse.table import Table

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.state import TableRecord


def replica_key(key: str, site: str) -> str:
    """The key of a table's replica at a site: ``azure_westeurope/products``."""
    return f"{site.replace('-', '_')}/{key.rpartition('/')[2]}"


def replicate_table(
    lake: Lake,
    key: str,
    site: str,
    *,
    replica: str | None = None,
    format: str | None = None,
    mirror: str | None = None,
    request: ReplicaRequest | None = None,
) -> tuple[Table, Replication]:
    """Bring a table's replica at a site to the table's newest version, and remember it.

    Args:
        lake: Where both are found.
        key: The table's.
        site: Where the replica is kept.
        replica: The replica's key; `replica_key` unless given.
        format: Its format of record: that of the replica if there is one, or the site's,
            unless given.
        mirror: The format to publish the replica in too.
        request: How; the source's site is filled in.

    Returns:
        The replica, and what was done.

    Raises:
        BadInput: Unknown site, or the key is that of another table.
        LakeError: See `replicate`.
    """
    from dataclasses import replace

    record = lake.record(key)
    name = replica or replica_key(key, site)
    target = open_replica(lake, key, name, site, format=format, mirror=mirror)
    asked = replace(request or ReplicaRequest(), site=record.site)
    done = replicate(open_original(lake, key), target, asked)
    lake.register(target, site, record.contract)
    return target, done


def open_replica(
    lake: Lake,
    key: str,
    replica: str,
    site: str,
    *,
    format: str | None = None,
    mirror: str | None = None,
) -> Table:
    """A table's replica, whether it is there yet or not."""
    place = lake.site(site)
    known = lake.state.table(lake.namespace, replica)
    _check(key, replica, site, format, known)
    primary = (known.format if known else None) or format or place.format
    other = mirror or (known.mirror if known else None)
    storage = lake.site_storage(site).table(tuple(replica.split("/")))
    if "iceberg" in (primary, other):
        storage.catalog()  # raises where the site has none
    return Table(
        replica,
        storage,
        open_log(primary, storage),
        open_log(other, storage) if other and other != primary else None,
        replica_of=key,
    )


def _check(
    key: str, replica: str, site: str, format: str | None, known: TableRecord | None
) -> None:
    another = "give the replica another key"
    if replica == key:
        raise BadInput.at(f"replica {replica}", "a table cannot be a replica of itself", another)
    if known is None:
        return
    what = f"a replica of {known.replica_of}" if known.replica_of else "a table of its own"
    if known.replica_of != key:
        raise BadInput.at(f"replica {replica}", f"{replica} is {what}, not of {key}", another)
    if known.site != site:
        raise BadInput.at(f"replica {replica}", f"it is kept at {known.site}, not {site}", another)
    if format is not None and known.format != format:
        raise BadInput.at(
            f"replica {replica}",
            f"it is kept as {known.format} and would now be {format}",
            "the format of record cannot change in place: mirror it, or give it another key",
        )


def open_original(lake: Lake, key: str) -> Table:
    """A table to copy from; of an adopted one, with everything refused that files do not tell."""
    table, record = lake.table(key), lake.record(key)
    if not record.external:
        return table
    if record.format == "delta":
        return Table(key, table.storage, DeltaLog(table.storage), read_only=True)
    if not table.storage.identifier:
        raise UnsupportedTable(
            f"table {key}: it is adopted by its metadata file; name its catalog table in the"
            " contract (external: catalogTable) to copy it"
        )
    storage = lake.site_storage(record.site).adopted(_location(table), table.storage.identifier)
    return Table(key, storage, IcebergLog(storage), read_only=True)


def _location(table: Table) -> str:
    """The root of an adopted Iceberg table, as its metadata says."""
    log = table.primary
    assert isinstance(log, IcebergLog)
    return log.location or table.storage.uri
