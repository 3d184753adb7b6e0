"""The same table through the IO manager of dagster-deltalake-polars, in one Dagster run.

One asset writes it, another is handed it and queries it. ``--frame DataFrame`` is the use that
the package documents and defaults to; ``--frame LazyFrame`` is its other one. Needs the packages
of ``requirements-dagster-deltalake.txt`` and nothing of this project::

    python benchmarks/baselines/dagster_deltalake_frames.py --source FILE --target /tmp/lake
"""

import argparse
import os
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
from dagster_deltalake import LocalConfig
from dagster_deltalake_polars import DeltaLakePolarsIOManager

QUERY = (Path(__file__).parents[1] / "query.sql").read_text()


@cache
def instance(target: str) -> dg.DagsterInstance:
    """The persistent Dagster instance below ``target``, open as long as this process lives."""
    home = Path(target, "dagster_home").absolute()
    home.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(home)
    return dg.DagsterInstance.get()


def prepare(target: str) -> None:
    """Opens the instance: it exists before any run."""
    instance(target).get_runs_count()


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
    lake = DeltaLakePolarsIOManager(root_uri=target, schema="retail", storage_options=LocalConfig())
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
