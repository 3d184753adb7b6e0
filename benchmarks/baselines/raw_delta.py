"""Raw Polars and Delta Lake: ``sink_delta``, then the query through ``scan_delta``.

Needs ``polars[deltalake]`` and nothing of this project::

    python benchmarks/baselines/raw_delta.py --source promotions.parquet --target /tmp/lake
"""

import argparse
from pathlib import Path
from typing import Any

import deltalake  # noqa: F401  (Polars imports it on first use: import it before the clock starts)
import polars as pl

QUERY = (Path(__file__).parents[1] / "query.sql").read_text()


def run(source: str, target: str) -> dict[str, Any]:
    """Writes the Parquet file ``source`` as a new table below ``target`` and queries it."""
    table = str(Path(target) / "promotions")
    pl.scan_parquet(source).sink_delta(table)
    answer = pl.scan_delta(table).sql(QUERY, table_name="promotions").collect()
    return {"answer": answer.rows(), "table": table}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True)
    print(run(**vars(parser.parse_args())))
