"""Tables that another tool owns: read here, never written."""

from __future__ import annotations

import dagster as dg

from mcai_pipelines.authoring.platform import current_contracts
from mcai_pipelines.authoring.schema import KINDS, asset_owners, asset_tags
from mcai_pipelines.errors import BadInput
from resources.columns import contract_columns
from resources.commits import COLUMN_SCHEMA
from resources.lake import CONTRACT, SITE


def external_table(contract: str, *, group: str | None = None) -> dg.AssetSpec:
    """An asset spec for a table that already exists, as its contract describes it.

    Other tables take it as an input by its key, which is the contract's name.

    Args:
        contract: Such as ``partners/rates``; its custom property ``external`` names the
            site, the format, and a URI or a catalog table.
        group: Asset group; the domain unless given.

    Raises:
        BadInput: There is no such contract, or it does not say where the table is.
    """
    found = current_contracts().get(contract)
    if found.external is None:
        raise BadInput.at(
            str(found.source),
            "the contract does not say where the table is",
            "add the custom property external: {site: …, format: …, uri: …}",
        )
    return dg.AssetSpec(
        contract.split("/"),
        description=found.description or None,
        group_name=group or contract.split("/", maxsplit=1)[0],
        kinds={KINDS[found.external.format]},
        owners=asset_owners(found),
        tags=asset_tags(found),
        metadata={
            SITE: found.external.site,
            CONTRACT: contract,
            COLUMN_SCHEMA: contract_columns(found),
        },
    ).with_io_manager_key("io_manager")
