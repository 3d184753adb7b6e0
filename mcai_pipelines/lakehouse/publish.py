"""Publishing an existing table in its other format too."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse import mirror
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.errors import UnsupportedTable
from mcai_pipelines.lakehouse.failures import as_storage_error
from mcai_pipelines.lakehouse.iceberg import IcebergLog
from mcai_pipelines.lakehouse.schema import delta_schema_json
from mcai_pipelines.lakehouse.write import WriteRequest, Writing

if TYPE_CHECKING:
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.lakehouse.versions import Log, Version
    from mcai_pipelines.providers import TableStorage


def open_log(format: str, storage: TableStorage) -> Log:
    """The log of a table of ours in a format."""
    return IcebergLog(storage) if format == "iceberg" else DeltaLog(storage)


def publish(table: Table, format: str) -> Version | None:
    """Give a table its other format; see `Table.mirror_to`."""
    if format == table.primary.format:
        raise BadInput.at(
            f"table {table.key}",
            f"it is kept as {format}: that is its format of record",
            f"mirror it to {'delta' if format == 'iceberg' else 'iceberg'}",
        )
    with as_storage_error(table.key, table.storage.site, "mirroring"):
        if format == "iceberg":
            table.storage.catalog()  # raises where the site has none
        if format == "delta":
            _refuse_metadata_in_the_open(table)
            _make_readable_by_name(table)
        log = open_log(format, table.storage)
        version = mirror.follow(table.primary, log, table=table.key, site=table.storage.site)
        table.mirror_log = log
        return version


def _refuse_metadata_in_the_open(table: Table) -> None:
    """Refuse an Iceberg table that keeps its metadata where a Delta ``VACUUM`` deletes it.

    That spares only folders whose names begin with an underscore.
    """
    location = getattr(table.primary, "metadata_location", None)
    if location is not None and not location.startswith(f"{table.storage.uri}/_"):
        raise UnsupportedTable(
            f"table {table.key}: its Iceberg metadata is at {location}, where a VACUUM of the Delta"
            f" table would delete it; replicate it (mcai replicate {table.key} --to SITE), or write"
            " its rows into a new table, and mirror that"
        )


def _make_readable_by_name(table: Table) -> None:
    """Write the rows anew where Delta would misread the files that hold them."""
    head = table.primary.head()
    if head is None or head.version is None:
        return
    delta_schema_json(head.schema)  # raises before anything is written
    if table.primary.not_by_name(head):
        request = WriteRequest(
            mode="overwrite", properties={"mcai.reason": "written anew to be mirrored as Delta"}
        )
        Writing(table.as_head(head), request, head).run(table.scan_head(head))
