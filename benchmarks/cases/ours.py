"""Our side: two assets in one Dagster run, as a project that uses mcai_pipelines has them.

The first returns the source's LazyFrame and is kept by ``@table``; the second is handed the table
and queries it. The folder of this script is the project: its platform, its contracts.
"""

import os
from functools import cache
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).parent
# What a shell would do before `dagster` starts; definitions read it as they are made.
os.chdir(PROJECT)
os.environ["MCAI_PLATFORM"] = "bench"

import dagster as dg  # noqa: E402
import polars as pl  # noqa: E402

from mcai_pipelines.authoring import table  # noqa: E402
from mcai_pipelines.lakehouse.lake import Lake  # noqa: E402
from resources.lake import LakeIOManager, LakeResource  # noqa: E402

QUERY = (PROJECT.parent / "query.sql").read_text()
KEY = "bench/promotions"


@cache
def instance(target: str) -> dg.DagsterInstance:
    """The persistent Dagster instance below ``target``, open as long as this process lives."""
    home = Path(target, "dagster").absolute()
    home.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


def prepare(target: str) -> None:
    """Opens the instance, the state database and the catalog: they exist before any run."""
    os.environ["MCAI_HOME"] = str(Path(target).absolute())
    instance(target).get_runs_count()
    lake = Lake.open()
    lake.records()
    lake.declare(("bench", "nothing")).primary.head()


def assets(source: str, contract: str) -> list[dg.AssetsDefinition]:
    """The table, and the answer as metadata of a second asset that is handed the table."""

    @table(f"bench/{contract}", key_prefix="bench", name="promotions")
    def promotions() -> pl.LazyFrame:
        return pl.scan_parquet(source)

    @dg.asset(ins={"promotions": dg.AssetIn(key=KEY.split("/"), dagster_type=pl.LazyFrame)})
    def summary(promotions: Any) -> Any:
        answer = promotions.sql(QUERY, table_name="promotions").collect()
        return dg.MaterializeResult(metadata={"answer": dg.JsonMetadataValue(answer.rows())})

    return [promotions, summary]


def run(source: str, target: str, contract: str) -> dict[str, Any]:
    """Materializes both assets in this process."""
    lake = LakeResource()
    resources = {"lake": lake, "io_manager": LakeIOManager(lake=lake)}
    result = dg.materialize(
        assets(source, contract), resources=resources, instance=instance(target)
    )
    (event,) = result.asset_materializations_for_node("summary")
    return {"answer": event.metadata["answer"].value, "table": Lake.open().record(KEY).uri}


def verify(target: str) -> dict[str, Any]:
    """The same answer from each format through plain Polars, without our code."""
    written = Lake.open().table(KEY)
    location = written.info().metadata_location
    frames = {}
    if "iceberg" in written.formats:
        frames["plain Iceberg"] = pl.scan_iceberg(str(location))
    if "delta" in written.formats:
        frames["plain Delta"] = pl.scan_delta(written.storage.uri)
    return {
        how: frame.sql(QUERY, table_name="promotions").collect().rows()
        for how, frame in frames.items()
    }
