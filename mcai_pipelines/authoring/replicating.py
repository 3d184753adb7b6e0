"""What happens inside the step of a `replica` asset: copy what is new, commit, report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dagster as dg

from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.replicas import replicate_table
from mcai_pipelines.lakehouse.replicate import ReplicaRequest, Replication
from mcai_pipelines.lakehouse.write import Commit
from resources import commits

if TYPE_CHECKING:
    from mcai_pipelines.authoring.replica import ReplicaDefinition
    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.table import Table


def run_replica(
    context: dg.AssetExecutionContext, definition: ReplicaDefinition
) -> dg.MaterializeResult[Any]:
    """Bring the replica to the newest version of its source.

    Raises:
        Failure: It could not be brought there; the message says why and what to do.
    """
    lake: Lake = context.resources.lake.lake
    source = definition.source.to_user_string()
    request = ReplicaRequest(
        streams=definition.streams, properties=commits.run_properties(context.run, None)
    )
    try:
        table, done = replicate_table(
            lake,
            source,
            definition.site,
            replica=definition.key.to_user_string(),
            format=definition.format,
            mirror=definition.mirror,
            request=request,
        )
    except McaiError as error:
        raise dg.Failure(description=str(error), allow_retries=error.exit_code == 1) from error
    context.log.info(
        f"{table.key} shows version {done.source_version} of {source}: {done.files_copied} files"
        f" copied, {done.files_reused} reused"
    )
    return dg.MaterializeResult(metadata=_metadata(lake, definition, table, done))


def _metadata(
    lake: Lake, definition: ReplicaDefinition, table: Table, done: Replication
) -> dict[str, Any]:
    contract = lake.contracts.get(definition.contract_name)
    inputs = {definition.source.to_user_string(): done.source_version}
    shown = Commit(done.version, done.mirror_version)
    metadata = commits.table_metadata(table, table.info(), shown, inputs, contract)
    del metadata["mcai/rows_written"]  # a replica writes files
    return metadata | {
        "mcai/source_version": str(done.source_version),
        "mcai/files_copied": done.files_copied,
        "mcai/bytes_copied": done.bytes_copied,
        "mcai/files_reused": done.files_reused,
        "mcai/bytes_reused": done.bytes_reused,
        "mcai/files_removed": done.files_removed,
        "mcai/seconds": round(done.seconds, 3),
    }
