"""``@table``: a contract and a function of LazyFrames become a Dagster asset."""

# No `from __future__ import annotations`: Dagster reads the type of ``context`` as an object.

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import dagster as dg

from mcai_pipelines.authoring.automation import Condition
from mcai_pipelines.authoring.platform import current_contracts, current_platform
from mcai_pipelines.authoring.schema import KINDS, asset_owners, asset_tags
from mcai_pipelines.errors import BadInput
from resources.columns import contract_columns
from resources.commits import COLUMN_SCHEMA
from resources.lake import CONTRACT, SITE
from resources.partition_values import dimensions_of

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.contracts import Contract

TableFunction: TypeAlias = "Callable[..., pl.LazyFrame]"
TableMode: TypeAlias = Literal["append", "overwrite", "merge"]

FUNCTION = "mcai/function"
"""Asset metadata: the author's function, as ``module:name``."""

_CONTEXT = "context"


@dataclass(frozen=True)
class TableDefinition:
    """What `table` was told, with defaults filled in.

    Attributes:
        key: The asset's key.
        contract: The table's contract.
        contract_name: Such as ``retail/weekly_sales``.
        site: Where the table is kept.
        mode: ``overwrite`` replaces the table or the run's partitions; ``append`` adds;
            ``merge`` replaces or adds rows by the contract's primary key.
        partitions: The asset's partitions, if any.
        inputs: Parameter name to the key of the table it receives.
        wants_context: The function has a parameter named ``context``.
        function: The author's function.
        code_version: What the author says of the code's version, if anything.
    """

    key: dg.AssetKey
    contract: "Contract"
    contract_name: str
    site: str
    mode: TableMode
    partitions: dg.PartitionsDefinition[str] | None
    inputs: Mapping[str, dg.AssetKey]
    wants_context: bool
    function: TableFunction
    code_version: str | None

    @property
    def function_name(self) -> str:
        """The function as ``module:name``."""
        function = inspect.unwrap(self.function)
        return f"{function.__module__}:{function.__qualname__}"

    @property
    def where(self) -> str:
        """The function's file and line, for errors."""
        code = inspect.unwrap(self.function).__code__
        return f"{code.co_filename}:{code.co_firstlineno}"


def table(
    contract: str,
    *,
    site: str | None = None,
    key_prefix: str | None = None,
    name: str | None = None,
    partitions: dg.PartitionsDefinition[str] | None = None,
    mode: TableMode = "overwrite",
    ins: Mapping[str, str | dg.AssetKey | dg.AssetIn] | None = None,
    deps: Iterable[dg.AssetKey | dg.AssetSpec | dg.AssetDep | str] = (),
    group: str | None = None,
    tags: Mapping[str, str] | None = None,
    automation_condition: Condition | None = None,
    freshness_policy: dg.FreshnessPolicy | None = None,
    backfill_policy: dg.BackfillPolicy | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = None,
    code_version: str | None = None,
) -> Callable[[TableFunction], dg.AssetsDefinition]:
    """Make a lake table of a function that returns a LazyFrame.

    Each parameter is an input table, read lazily at a version that the commit records: by
    default the table of that name under the same key prefix, or the one that ``ins`` maps it
    to. A partitioned input arrives filtered to the partitions that the run needs. A
    parameter named ``context`` receives a `TableContext`.

    A run of several partitions is one call of the function and one commit.

    Args:
        contract: Name of the contract: ``retail/weekly_sales``.
        site: Where the table is kept; the platform's default site unless given.
        key_prefix: First part of the asset key; the site's name with underscores unless given.
        name: Last part of the asset key; the contract's name unless given.
        partitions: The asset's partitions; the contract says which columns hold them.
        mode: ``overwrite``; ``append`` for a table that only grows; ``merge`` to replace or add
            rows by the contract's primary key.
        ins: Parameter name to another table's key (``"global/products"``), or an ``AssetIn``
            with a partition mapping.
        deps: Assets that have to come first and are not read through a parameter.
        group: Asset group; the key prefix unless given.
        tags: Dagster tags beside the contract's.
        automation_condition: When Dagster should materialize it by itself.
        freshness_policy: As in Dagster.
        backfill_policy: One run for all partitions of a backfill unless given.
        retry_policy: As in Dagster.
        pool: As in Dagster.
        code_version: What makes an append of changed code a new one; a hash of the project's
            files that the function uses unless given.

    Raises:
        BadInput: No such contract or site, a parameter that cannot be an input, partitions
            that do not go with the contract's, or a merge without a primary key.
    """

    def decorate(function: TableFunction) -> dg.AssetsDefinition:
        found = current_contracts().get(contract)
        place = _site(site, function)
        prefix = key_prefix if key_prefix is not None else place.replace("-", "_")
        key = dg.AssetKey([*prefix.split("/"), name or contract.rpartition("/")[2]])
        assets_in = _inputs(function, prefix, ins or {})
        definition = TableDefinition(
            key=key,
            contract=found,
            contract_name=contract,
            site=place,
            mode=mode,
            partitions=partitions,
            inputs={parameter: _key_of(given) for parameter, given in assets_in.items()},
            wants_context=_CONTEXT in inspect.signature(function).parameters,
            function=function,
            code_version=code_version,
        )
        _check(definition)
        return _asset(
            definition,
            assets_in,
            deps=deps,
            group_name=group or prefix.replace("/", "_"),
            tags={**asset_tags(found), SITE: place, **(tags or {})},
            automation_condition=automation_condition,
            freshness_policy=freshness_policy,
            backfill_policy=backfill_policy
            or (dg.BackfillPolicy.single_run() if partitions else None),
            retry_policy=retry_policy,
            pool=pool,
            code_version=code_version,
        )

    return decorate


def _asset(
    definition: TableDefinition, assets_in: Mapping[str, dg.AssetIn], **options: Any
) -> dg.AssetsDefinition:
    contract = definition.contract
    primary = contract.format or current_platform().sites[definition.site].format
    formats = [primary, *([contract.mirror] if contract.mirror not in (None, primary) else [])]

    def compute(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        from mcai_pipelines.authoring.step import run_table

        return run_table(context, definition)

    with warnings.catch_warnings():
        # It would announce for each table, in each process, that backfill policies are in beta.
        warnings.simplefilter("ignore", dg.BetaWarning)
        asset: Callable[..., dg.AssetsDefinition] = dg.asset(
            key=definition.key,
            ins=dict(assets_in),
            description=_description(definition),
            partitions_def=definition.partitions,
            required_resource_keys={"lake"},
            io_manager_key="io_manager",
            kinds={"polars", *(KINDS[str(f)] for f in formats)},
            owners=asset_owners(contract),
            metadata={
                SITE: definition.site,
                CONTRACT: definition.contract_name,
                FUNCTION: definition.function_name,
                COLUMN_SCHEMA: contract_columns(contract),
                "dagster/table_name": ".".join(definition.key.path),
                "mcai/format": " + ".join(str(f) for f in formats),
            },
            **options,
        )
    return asset(compute)


def _description(definition: TableDefinition) -> str:
    documented = inspect.getdoc(definition.function)
    return documented or definition.contract.description


def _site(site: str | None, function: TableFunction) -> str:
    platform = current_platform()
    place = site or platform.default_site
    if place not in platform.sites:
        code = inspect.unwrap(function).__code__
        raise BadInput.at(
            f"{code.co_filename}:{code.co_firstlineno}",
            f"platform {platform.name} has no site {place!r}",
            f"use one of: {', '.join(sorted(platform.sites))}",
        )
    return place


def _inputs(
    function: TableFunction, prefix: str, ins: Mapping[str, str | dg.AssetKey | dg.AssetIn]
) -> dict[str, dg.AssetIn]:
    """The inputs as Dagster's, of a type that it does not load: the step reads them itself."""
    parameters = [p for p in inspect.signature(function).parameters if p != _CONTEXT]
    unknown = sorted(set(ins) - set(parameters))
    if unknown:
        code = inspect.unwrap(function).__code__
        raise BadInput.at(
            f"{code.co_filename}:{code.co_firstlineno}",
            f"ins names {', '.join(unknown)}, which the function has no parameter for",
            f"its parameters are: {', '.join(parameters) or 'none'}",
        )
    result = {}
    for parameter in parameters:
        given = ins.get(parameter, f"{prefix}/{parameter}")
        if isinstance(given, dg.AssetIn):
            key = given.key or dg.AssetKey([*prefix.split("/"), parameter])
            mapping = given.partition_mapping
        else:
            key = given if isinstance(given, dg.AssetKey) else dg.AssetKey(given.split("/"))
            mapping = None
        result[parameter] = dg.AssetIn(key=key, dagster_type=dg.Nothing, partition_mapping=mapping)
    return result


def _key_of(given: dg.AssetIn) -> dg.AssetKey:
    key = given.key
    assert isinstance(key, dg.AssetKey)
    return key


def _check(definition: TableDefinition) -> None:
    contract = definition.contract
    if definition.mode == "merge" and not contract.primary_key:
        raise BadInput.at(
            definition.where,
            f"mode='merge' needs the primary key of {definition.contract_name}, which has none",
            f"mark its key columns with primaryKey in {contract.source}",
        )
    if definition.partitions is not None:
        dimensions_of(definition.partitions, contract.partition_by, where=definition.where)
    format = contract.format or current_platform().sites[definition.site].format
    problems = contract.unsupported(format)
    if problems:
        raise BadInput(problems)
