"""Raw Polars and Apache Iceberg: ``sink_iceberg``, then the query through ``scan_iceberg``.

Needs ``polars`` and ``pyiceberg[sql-sqlite,pyarrow]`` and nothing of this project::

    python benchmarks/baselines/raw_iceberg.py --source promotions.parquet --target /tmp/lake
"""

import argparse
from pathlib import Path
from typing import Any

import polars as pl
from pyiceberg.catalog.sql import SqlCatalog

QUERY = (Path(__file__).parents[1] / "query.sql").read_text()


def catalog(target: str) -> SqlCatalog:
    """The SQLite catalog in the folder ``target``, which holds its tables too."""
    properties = {"uri": f"sqlite:///{target}/catalog.db", "warehouse": f"file://{target}"}
    return SqlCatalog("lake", **properties)


def prepare(target: str) -> None:
    """Makes the catalog's database and a namespace: they exist before any write."""
    Path(target).mkdir(parents=True, exist_ok=True)
    catalog(target).create_namespace_if_not_exists("retail")


def run(source: str, target: str) -> dict[str, Any]:
    """Writes the Parquet file ``source`` as a new table below ``target`` and queries it."""
    lake = catalog(target)
    pl.scan_parquet(source).sink_iceberg(
        "retail.promotions", mode="append", create_if_not_exists=True, catalog=lake
    )
    table = lake.load_table("retail.promotions")
    answer = pl.scan_iceberg(table).sql(QUERY, table_name="promotions").collect()
    return {"answer": answer.rows(), "table": f"{target}/retail/promotions"}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    arguments = parser.parse_args()
    prepare(arguments.target)
    print(run(**vars(arguments)))
