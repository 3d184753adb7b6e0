"""What happens inside the step of a `table` asset: read, compute, write, report."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mcai_pipelines.authoring.code import code_version_of
from mcai_pipelines.authoring.context import TableContext
from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.errors import StaleWrite
from mcai_pipelines.lakehouse.files import Partition
from mcai_pipelines.lakehouse.write import AppendKey, Commit, Mode
from resources import commits
from resources.partition_values import only_partitions, partition_values

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.authoring.table import TableDefinition
    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.table import Table

COMPUTE_AGAIN = 5
"""How often a step computes its table before it gives up against others' changes."""


CLOCK_SKEW = dt.timedelta(minutes=10)
"""How far the clocks of the machines that create runs and make commits may differ."""


@dataclass(frozen=True)
class _Inputs:
    """The input tables of one computation, each pinned to a version."""

    frames: Mapping[str, pl.LazyFrame]
    versions: Mapping[str, int]


def run_table(
    context: dg.AssetExecutionContext, definition: TableDefinition
) -> dg.MaterializeResult[Any]:
    """Compute a table's rows from pinned inputs, and commit them.

    When somebody else changed what the commit replaces, the function is called again on
    newer inputs.

    Raises:
        Failure: The table could not be written; the message says why and what to do.
    """
    lake: Lake = context.resources.lake.lake
    try:
        return _run(context, definition, lake)
    except McaiError as error:
        raise dg.Failure(description=str(error), allow_retries=error.exit_code == 1) from error


def _run(
    context: dg.AssetExecutionContext, definition: TableDefinition, lake: Lake
) -> dg.MaterializeResult[Any]:
    table = lake.declare(definition.key.path, definition.site, definition.contract)
    partitions = _partitions(context, definition, table)
    mode = _mode(definition)
    for attempt in range(1, COMPUTE_AGAIN + 1):
        base = table.primary.head()
        inputs = _read_inputs(context, definition, lake)
        frame = _call(context, definition, inputs, partitions)
        version = definition.code_version or code_version_of(definition.function)
        try:
            commit = table.write(
                frame,
                mode,
                partitions=list(partitions.values()) if mode == "overwrite_partitions" else None,
                key=_append_key(context, definition, inputs, version),
                base=base,
                inputs=inputs.versions,
                properties=commits.run_properties(context.run, version),
            )
            break
        except StaleWrite as error:
            if attempt == COMPUTE_AGAIN:
                raise
            context.log.warning(f"{error} (attempt {attempt} of {COMPUTE_AGAIN})")
    lake.register(table, definition.site, definition.contract_name)
    context.log.info(
        f"{table.key}: {commit.rows:,} rows in {commit.files} files, version {commit.version.id}"
    )
    return _report(context, definition, table, commit, inputs, partitions)


def _partitions(
    context: dg.AssetExecutionContext, definition: TableDefinition, table: Table
) -> dict[str, Partition]:
    """Each partition key of the run, and the values it stands for."""
    if definition.partitions is None:
        return {}
    assert table.schema is not None
    keys = list(context.partition_keys)
    values = partition_values(
        definition.partitions, keys, table.schema, table.partition_by, where=table.key
    )
    return dict(zip(keys, values, strict=True))


def _mode(definition: TableDefinition) -> Mode:
    if definition.mode == "overwrite" and definition.partitions is not None:
        return "overwrite_partitions"
    return definition.mode


def _read_inputs(
    context: dg.AssetExecutionContext, definition: TableDefinition, lake: Lake
) -> _Inputs:
    frames: dict[str, pl.LazyFrame] = {}
    versions: dict[str, int] = {}
    for parameter, key in definition.inputs.items():
        table = lake.table(key.to_user_string())
        head = table.head()
        assert head.version is not None
        # A compaction of the input is no news: rows computed from it are those of before.
        versions[table.key] = table.primary.version(head.version).content
        frames[parameter] = table.scan_head(head)
        if _is_partitioned(context, key):
            frames[parameter] = only_partitions(
                frames[parameter],
                head,
                context.asset_partitions_def_for_input(parameter),
                context.asset_partition_keys_for_input(parameter),
                where=table.key,
            )
    return _Inputs(frames, versions)


def _is_partitioned(context: dg.AssetExecutionContext, key: dg.AssetKey) -> bool:
    return context.job_def.asset_layer.get(key).partitions_def is not None


def _call(
    context: dg.AssetExecutionContext,
    definition: TableDefinition,
    inputs: _Inputs,
    partitions: Mapping[str, Partition],
) -> pl.LazyFrame:
    arguments: dict[str, Any] = dict(inputs.frames)
    if definition.wants_context:
        values = tuple(v[0] if len(v) == 1 else v for v in partitions.values())
        arguments["context"] = TableContext(
            definition.key.to_user_string(), tuple(partitions), values, context.run.run_id, context
        )
    frame = definition.function(**arguments)
    if not hasattr(frame, "lazy"):
        raise McaiError(
            f"{definition.where}: the function returned {type(frame).__name__};"
            " return a Polars LazyFrame"
        )
    return frame.lazy()


def _append_key(
    context: dg.AssetExecutionContext,
    definition: TableDefinition,
    inputs: _Inputs,
    code_version: str,
) -> AppendKey | None:
    """Run root + partitions + code version + input versions: the same of all is the same append.

    A re-execution after the code was fixed has another code version, and appends anew.
    """
    if definition.mode != "append":
        return None
    root = context.run.root_run_id or context.run.run_id
    record = context.instance.get_run_record_by_id(root)
    parts = [
        root,
        definition.key.to_user_string(),
        sorted(context.partition_keys) if definition.partitions is not None else [],
        code_version,
        dict(inputs.versions),
    ]
    since = record.create_timestamp.astimezone(dt.UTC) - CLOCK_SKEW if record is not None else None
    return AppendKey(json.dumps(parts, sort_keys=True), since)


def _report(
    context: dg.AssetExecutionContext,
    definition: TableDefinition,
    table: Table,
    commit: Commit,
    inputs: _Inputs,
    partitions: Mapping[str, Partition],
) -> dg.MaterializeResult[Any]:
    for key, value in partitions.items():
        rows = commit.rows_by_partition.get(value, 0)
        context.add_asset_metadata({commits.PARTITION_ROW_COUNT: rows}, partition_key=key)
    metadata = commits.table_metadata(
        table, table.info(), commit, inputs.versions, definition.contract
    )
    return dg.MaterializeResult(metadata=metadata)
