"""The lake as a Dagster resource, and as the IO manager of plain assets.

``@table`` assets write through the resource, inside their own step, so that an audit can
refuse a batch before any reader sees it. The IO manager reads every lake table, and writes
the tables of plain ``@dg.asset`` functions.
"""

# No `from __future__ import annotations`: Dagster reads ResourceDependency as an object.

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import PrivateAttr

from mcai_pipelines.errors import BadInput
from resources import commits
from resources.partition_values import only_partitions, partition_values

if TYPE_CHECKING:
    import polars as pl

    from mcai_pipelines.contracts import Contract
    from mcai_pipelines.lakehouse.lake import Lake
    from mcai_pipelines.lakehouse.table import Table
    from mcai_pipelines.lakehouse.write import Commit

SITE = "mcai/site"
CONTRACT = "mcai/contract"
PARTITION_BY = "partition_by"


class LakeResource(dg.ConfigurableResource[None]):
    """Opens the lake of the platform in force (``MCAI_PLATFORM``) once per process."""

    _lake: Any = PrivateAttr(default=None)

    @property
    def lake(self) -> "Lake":
        """The lake; opened when first used, so loading definitions stays cheap."""
        from mcai_pipelines.lakehouse.lake import Lake

        if self._lake is None:
            self._lake = Lake.open()
        opened: Lake = self._lake
        return opened


class LakeIOManager(dg.ConfigurableIOManager):
    """Keeps what plain assets return as lake tables, and loads any lake table.

    A downstream parameter annotated ``pl.LazyFrame`` (or not annotated) gets a LazyFrame,
    ``pl.DataFrame`` a collected frame and ``pyarrow.Table`` an Arrow table; a partitioned
    upstream arrives filtered to the partitions that the run needs.

    A returned ``LazyFrame``, ``DataFrame`` or ``pyarrow.Table`` replaces the table, or the
    run's partitions. Asset metadata says more: ``mcai/site``, ``mcai/contract`` and, for a
    partitioned asset without a contract, ``partition_by`` (one column, or one per dimension).
    """

    lake: dg.ResourceDependency[LakeResource]

    def load_input(self, context: dg.InputContext) -> Any:
        """Read the upstream table at its newest version, and note which one that was."""
        key = context.asset_key.to_user_string()
        table = self.lake.lake.table(key)
        head = table.head()
        frame = table.scan_head(head)
        if context.has_asset_partitions:
            frame = only_partitions(
                frame, head, context.asset_partitions_def, context.asset_partition_keys, where=key
            )
        context.add_input_metadata({commits.VERSION: str(head.version)})
        return _as_type(frame, context.dagster_type.typing_type)

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Write the returned frame as the asset's table.

        Raises:
            BadInput: It is not a frame, or the asset's partitions have no column.
            RetryRequested: Someone changed the same partitions meanwhile: compute it again.
        """
        from mcai_pipelines.lakehouse.errors import StaleWrite

        key = context.asset_key.to_user_string()
        frame = _as_lazy(obj, where=key)
        metadata = context.definition_metadata
        contract = self._contract(metadata)
        site = str(metadata[SITE]) if SITE in metadata else None
        columns = contract.partition_by if contract else _partition_by(metadata, context)
        lake = self.lake.lake
        table = lake.declare(context.asset_key.path, site, contract, columns)
        try:
            commit = self._write(context, table, frame)
        except StaleWrite as error:
            raise dg.RetryRequested(max_retries=3) from error
        lake.register(table, site, metadata.get(CONTRACT))
        context.add_output_metadata(
            commits.table_metadata(table, table.info(), commit, {}, contract)
        )

    def _contract(self, metadata: Mapping[str, Any]) -> "Contract | None":
        name = metadata.get(CONTRACT)
        return self.lake.lake.contracts.get(str(name)) if name else None

    def _write(self, context: dg.OutputContext, table: "Table", frame: "pl.LazyFrame") -> "Commit":
        properties = commits.run_properties(context.step_context.dagster_run, None)
        if not context.has_asset_partitions:
            return table.write(frame, "overwrite", properties=properties)
        from mcai_pipelines.lakehouse.schema import from_polars

        schema = table.schema or from_polars(frame.collect_schema(), where=table.key)
        partitions = partition_values(
            context.asset_partitions_def,
            context.asset_partition_keys,
            schema,
            table.partition_by,
            where=table.key,
        )
        return table.write(
            frame, "overwrite_partitions", partitions=partitions, properties=properties
        )


def _partition_by(metadata: Mapping[str, Any], context: dg.OutputContext) -> Sequence[str]:
    if not context.has_asset_partitions:
        return ()
    named = metadata.get(PARTITION_BY)
    if isinstance(named, str):
        return (named,)
    if isinstance(named, Sequence):
        return tuple(str(name) for name in named)
    raise BadInput.at(
        context.asset_key.to_user_string(),
        "the asset is partitioned and nothing says which column holds the partition",
        f"add metadata={{{PARTITION_BY!r}: 'COLUMN'}} to the asset, or give it a contract",
    )


def _as_lazy(obj: Any, *, where: str) -> "pl.LazyFrame":
    import polars as pl
    import pyarrow as pa

    match obj:
        case pl.LazyFrame() | pl.DataFrame():
            return obj.lazy()
        case pa.Table() | pa.RecordBatch():
            frame = pl.from_arrow(obj)
            assert isinstance(frame, pl.DataFrame)
            return frame.lazy()
    if type(obj).__module__.startswith("pandas.") and hasattr(obj, "columns"):
        converted: pl.DataFrame = pl.from_pandas(obj)
        return converted.lazy()
    raise BadInput.at(
        where,
        f"the lake keeps frames, and the asset returned {type(obj).__name__}",
        "return a Polars LazyFrame or DataFrame, a PyArrow table or a pandas DataFrame, or"
        " choose another io_manager_key",
    )


def _as_type(frame: "pl.LazyFrame", wanted: Any) -> Any:
    import polars as pl

    name = getattr(wanted, "__name__", str(wanted))
    if wanted is pl.LazyFrame or name in ("Any", "object", "LazyFrame"):
        return frame
    collected = frame.collect(engine="streaming")
    if wanted is pl.DataFrame:
        return collected
    module = getattr(wanted, "__module__", "")
    if module.startswith("pyarrow") and name == "Table":
        return collected.to_arrow()
    if module.startswith("pandas") and name == "DataFrame":
        return collected.to_pandas()
    raise BadInput.at(
        name,
        "the lake cannot load a table as this type",
        "annotate the parameter as pl.LazyFrame, pl.DataFrame, pyarrow.Table or pandas.DataFrame",
    )
