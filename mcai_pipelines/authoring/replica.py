"""``replica``: a table that another asset writes, kept at another site too."""

# No `from __future__ import annotations`: Dagster reads the type of ``context`` as an object.

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dagster as dg

from mcai_pipelines.authoring.automation import Condition, keep_current
from mcai_pipelines.authoring.platform import current_contracts, current_platform
from mcai_pipelines.authoring.schema import KINDS, asset_owners, asset_tags
from mcai_pipelines.errors import BadInput
from resources.columns import contract_columns
from resources.commits import COLUMN_SCHEMA
from resources.lake import CONTRACT, SITE

if TYPE_CHECKING:
    from mcai_pipelines.config import TableFormat

REPLICA_OF = "mcai/replica_of"
"""Asset metadata: the key of the table that the replica copies."""


@dataclass(frozen=True)
class ReplicaDefinition:
    """What `replica` was told, with defaults filled in.

    Attributes:
        key: The replica's asset key.
        source: The key of the table that it copies.
        contract_name: The contract of both.
        site: Where the replica is kept.
        format: Its format of record.
        mirror: The format that it is published in too.
        streams: Files copied at once.
    """

    key: dg.AssetKey
    source: dg.AssetKey
    contract_name: str
    site: str
    format: "TableFormat"
    mirror: "TableFormat | None"
    streams: int


def replicas_of(
    source: dg.AssetsDefinition, *, sites: Iterable[str], **options: Any
) -> Sequence[dg.AssetsDefinition]:
    """A `replica` of a table at each of several sites; its own site is passed over.

    Args:
        source: The asset that writes the table.
        sites: Their names.
        **options: See `replica`.
    """
    home = source.metadata_by_key[source.key].get(SITE)
    return [replica(source, site=site, **options) for site in sites if site != home]


def replica(
    source: dg.AssetsDefinition,
    *,
    site: str,
    key_prefix: str | None = None,
    name: str | None = None,
    format: "TableFormat | None" = None,
    mirror: "TableFormat | None" = None,
    streams: int = 8,
    group: str | None = None,
    automation_condition: Condition | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = None,
) -> dg.AssetsDefinition:
    """Keep a copy of a table at another site, as an asset.

    Its step copies the files that the site lacks, byte for byte, and shows them in one commit;
    if nothing changed it copies nothing. The replica is one asset without partitions, whatever
    the table's: it shows one version of the whole table.

    Args:
        source: The asset that writes the table; a `table`.
        site: Where the replica is kept.
        key_prefix: First part of its asset key; the site's name with underscores unless given.
        name: Last part of its asset key; that of the table unless given.
        format: Its format of record; the site's unless given.
        mirror: A format to publish it in too.
        streams: Files copied at once.
        group: Asset group; the key prefix unless given.
        automation_condition: `keep_current` unless given.
        retry_policy: As in Dagster.
        pool: As in Dagster.

    Raises:
        BadInput: No such site, it is the table's own, or the asset is no table.
    """
    definition = _define(source, site, key_prefix, name, format, mirror, streams)
    contract = current_contracts().get(definition.contract_name)
    formats = [str(f) for f in (definition.format, definition.mirror) if f is not None]

    def compute(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from mcai_pipelines.authoring.replicating import run_replica

        return run_replica(context, definition)

    asset = dg.asset(
        key=definition.key,
        deps=[definition.source],
        description=f"Replica of {definition.source.to_user_string()} at {site}."
        f" {contract.description}",
        required_resource_keys={"lake"},
        io_manager_key="io_manager",
        kinds={KINDS[f] for f in formats},
        owners=asset_owners(contract),
        tags={**asset_tags(contract), SITE: site},
        metadata={
            SITE: site,
            CONTRACT: definition.contract_name,
            REPLICA_OF: definition.source.to_user_string(),
            COLUMN_SCHEMA: contract_columns(contract),
            "dagster/table_name": ".".join(definition.key.path),
            "mcai/format": " + ".join(formats),
        },
        group_name=group or "_".join(definition.key.path[:-1]),
        automation_condition=automation_condition or keep_current(),
        retry_policy=retry_policy,
        pool=pool,
    )
    return asset(compute)


def _define(
    source: dg.AssetsDefinition,
    site: str,
    key_prefix: str | None,
    name: str | None,
    format: "TableFormat | None",
    mirror: "TableFormat | None",
    streams: int,
) -> ReplicaDefinition:
    where = f"replica of {source.key.to_user_string()}"
    metadata = source.metadata_by_key[source.key]
    if CONTRACT not in metadata:
        raise BadInput.at(where, "the asset has no contract", "give it one with @table")
    platform = current_platform()
    if site not in platform.sites:
        known = ", ".join(sorted(platform.sites))
        raise BadInput.at(
            where, f"platform {platform.name} has no site {site!r}", f"use one of: {known}"
        )
    if metadata.get(SITE) == site:
        raise BadInput.at(where, f"the table itself is at {site}", "choose another site")
    prefix = key_prefix if key_prefix is not None else site.replace("-", "_")
    primary = format or platform.sites[site].format
    return ReplicaDefinition(
        key=dg.AssetKey([*prefix.split("/"), name or source.key.path[-1]]),
        source=source.key,
        contract_name=str(metadata[CONTRACT]),
        site=site,
        format=primary,
        mirror=mirror if mirror != primary else None,
        streams=streams,
    )
