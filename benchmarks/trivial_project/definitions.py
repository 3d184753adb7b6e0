"""The smallest Dagster project: what ``definitions.load_ratio`` compares ours with."""

import dagster as dg


@dg.asset
def answer() -> int:
    """One asset without inputs, partitions or resources."""
    return 42


defs = dg.Definitions(assets=[answer])
