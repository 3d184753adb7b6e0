"""What a commit tells Dagster: metadata of the materialization, per table and partition."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from resources.columns import table_columns

if TYPE_CHECKING:
    from mcai_pipelines.contracts import Contract
    from mcai_pipelines.lakehouse.table import Table, TableInfo
    from mcai_pipelines.lakehouse.write import Commit

COLUMN_SCHEMA = "dagster/column_schema"
ROW_COUNT = "dagster/row_count"
PARTITION_ROW_COUNT = "dagster/partition_row_count"
URI = "dagster/uri"
VERSION = "mcai/version"
INPUT_VERSIONS = "mcai/input_versions"
COMMITTED_AT = "mcai/committed_at"


def run_properties(run: dg.DagsterRun, code_version: str | None) -> dict[str, str]:
    """What a commit records of the run that made it."""
    properties = {"mcai.run": run.run_id}
    if run.root_run_id:
        properties["mcai.root-run"] = run.root_run_id
    if code_version:
        properties["mcai.code-version"] = code_version
    return properties


def table_metadata(
    table: Table,
    info: TableInfo,
    commit: Commit,
    inputs: Mapping[str, int],
    contract: Contract | None,
) -> dict[str, Any]:
    """Metadata of the whole table after a commit.

    Versions are text: a browser would round Iceberg's 63-bit snapshot ids.
    """
    read = {key: str(version) for key, version in inputs.items()}
    metadata: dict[str, Any] = {
        ROW_COUNT: info.rows,
        URI: dg.MetadataValue.url(table.storage.uri)
        if "://" in table.storage.uri
        else dg.MetadataValue.path(table.storage.uri),
        VERSION: str(commit.version.id),
        COMMITTED_AT: dg.MetadataValue.timestamp(commit.version.committed_at),
        **({INPUT_VERSIONS: dg.MetadataValue.json(read)} if read else {}),
        COLUMN_SCHEMA: table_columns(info.schema, contract),
        "mcai/format": " + ".join(table.formats),
        "mcai/files": info.files,
        "mcai/bytes": info.bytes,
        "mcai/rows_written": commit.rows,
    }
    if commit.mirror_version is not None:
        metadata["mcai/mirror_version"] = str(commit.mirror_version.id)
    if commit.merged is not None:
        for name in ("inserted", "updated", "deleted"):
            metadata[f"mcai/rows_{name}"] = getattr(commit.merged, name)
    if commit.repeated:
        metadata["mcai/repeated"] = dg.MetadataValue.text(
            "this run had appended these rows before; nothing was written"
        )
    return metadata
