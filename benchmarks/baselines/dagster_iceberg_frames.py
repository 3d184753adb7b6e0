"""The same table through the Polars IO manager of dagster-iceberg, in one Dagster run.

One asset writes it, another is handed it and queries it. ``--frame DataFrame`` is the use that
the package documents; ``--frame LazyFrame`` is its other one. Needs the packages of
``requirements-dagster-iceberg.txt`` and nothing of this project::

    python benchmarks/baselines/dagster_iceberg_frames.py --source FILE --target /tmp/lake
"""

import argparse
import os
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from dagster_iceberg.config import IcebergCatalogConfig
from dagster_iceberg.io_manager.polars import (
    PolarsIcebergIOManager,
)
from pyiceberg.catalog import load_catalog

QUERY = (Path(__file__).parents[1] / "query.sql").read_text()


def catalog(target: str) -> dict[str, str]:
    """Properties of the SQLite catalog in the folder ``target``, which holds its tables too."""
    folder = Path(target).absolute()
    return {"type": "sql", "uri": f"sqlite:///{folder}/catalog.db", "warehouse": f"file://{folder}"}


@cache
def instance(target: str) -> dg.DagsterInstance:
    """The persistent Dagster instance below ``target``, open as long as this process lives."""
    home = Path(target, "dagster_home").absolute()
    home.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


def prepare(target: str) -> None:
    """Opens the instance and makes the catalog with a namespace: they exist before any run."""
    instance(target).get_runs_count()
    load_catalog("lake", **catalog(target)).create_namespace("retail")


def assets(source: str, frame: str) -> list[dg.AssetsDefinition]:
    """The table, and the answer as metadata of a second asset that is handed the table."""
    kind = getattr(pl, frame)

    @dg.asset(dagster_type=kind)
    def promotions() -> Any:
        scan = pl.scan_parquet(source)
        return scan if kind is pl.LazyFrame else scan.collect()

    @dg.asset(ins={"promotions": dg.AssetIn(dagster_type=kind)})
    def summary(promotions: Any) -> Any:
        answer = promotions.lazy().sql(QUERY, table_name="promotions").collect()
        return dg.MaterializeResult(metadata={"answer": dg.JsonMetadataValue(answer.rows())})

    return [promotions, summary]


def run(source: str, target: str, frame: str = "DataFrame") -> dict[str, Any]:
    """Materializes both assets in this process."""
    config = IcebergCatalogConfig(properties=catalog(target))
    lake = PolarsIcebergIOManager(name="lake", config=config, namespace="retail")
    result = dg.materialize(
        assets(source, frame), resources={"io_manager": lake}, instance=instance(target)
    )
    (event,) = result.asset_materializations_for_node("summary")
    return {"answer": event.metadata["answer"].value, "table": f"{target}/retail/promotions"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    parser.add_argument("--frame", choices=["DataFrame", "LazyFrame"], default="DataFrame")
    arguments = parser.parse_args()
    prepare(arguments.target)
    print(run(**vars(arguments)))
