"""Derive ``data/store_region.csv``: split the stores into four regions that share few shoppers.

Run ``python -m assets.retail.derive_store_region`` from the root of the checkout; it needs the
``demo`` and ``dev`` extras (networkx). With ``--check`` it compares and writes nothing.

1. The graph: stores are nodes. For each household that shops at both of two stores, the lesser of
   its spend at the one and at the other, in cents, is added to the weight of their edge.
2. Louvain communities of that graph, with a fixed seed (networkx ``louvain_communities``; V. D.
   Blondel et al., Fast unfolding of communities in large networks, 2008,
   https://doi.org/10.1088/1742-5468/2008/10/P10008).
3. The four communities with the highest sales are the regions A, B, C and D, in that order. Each
   smaller community joins the region with which its edges have the highest total weight; one
   without such an edge joins the region with the lowest sales. Ties go to the earlier letter.

All 53 weeks are used: regions are reference data, fixed for the year. The communities depend on
the order in which Louvain visits the nodes, so another version of networkx may give another file;
the one that is shipped stays the record.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from assets.retail import source
from assets.retail.regions import REGION_OF_SITE, STORE_REGION_FILE, store_region

if TYPE_CHECKING:
    from networkx import Graph

REGIONS = tuple(REGION_OF_SITE.values())
SEED = 2017


@dataclass(frozen=True)
class Quality:
    """How well regions separate shoppers.

    Attributes:
        modularity: Of the four regions in the graph of step 1.
        home_share: Share of all spend that falls in the spending household's home region, the
            one where it spends most.
        regions: Per region: stores, households that bought there, households whose home it is,
            sales (USD) and its share of all sales.
    """

    modularity: float
    home_share: float
    regions: pl.DataFrame


def derive() -> pl.DataFrame:
    """The region of every store: store_id (Int64), region (String), by store_id."""
    visits = _visits()
    sales = dict(visits.group_by("store_id").agg(pl.col("cents").sum()).iter_rows())
    regions = _regions(_graph(visits), sales)
    return pl.DataFrame(
        {"store_id": list(regions), "region": list(regions.values())},
        schema={"store_id": pl.Int64, "region": pl.String},
    ).sort("store_id")


def measure(regions: pl.DataFrame) -> Quality:
    """Modularity, home share and size of the given regions (store_id, region)."""
    from networkx.algorithms.community import modularity

    visits = _visits()
    spend = (
        visits.join(regions, on="store_id")
        .group_by("household_id", "region")
        .agg(pl.col("cents").sum())
        .sort("household_id", "cents", "region", descending=[False, True, False])
    )
    homes = spend.group_by("household_id", maintain_order=True).first()
    communities = regions.group_by("region").agg("store_id").get_column("store_id").to_list()
    total = int(spend.get_column("cents").sum())
    return Quality(
        modularity=modularity(_graph(visits), communities),
        home_share=int(homes.get_column("cents").sum()) / total,
        regions=regions.group_by("region")
        .agg(stores=pl.len())
        .join(
            spend.group_by("region").agg(
                households=pl.len(),
                sales=pl.col("cents").sum() / 100,
                share=pl.col("cents").sum() / total,
            ),
            on="region",
        )
        .join(homes.group_by("region").agg(home_households=pl.len()), on="region")
        .sort("region"),
    )


def _visits() -> pl.DataFrame:
    """Spend of each household at each store, in cents: whole numbers add up exactly."""
    cents = (pl.col("sales_value") * 100).round().cast(pl.Int64)
    return (
        source.transactions()
        .group_by("household_id", "store_id")
        .agg(cents=cents.sum())
        .sort("household_id", "store_id")
        .collect()
    )


def _graph(visits: pl.DataFrame) -> "Graph[int]":
    from networkx import Graph

    edges = (
        visits.join(visits, on="household_id", suffix="_other")
        .filter(pl.col("store_id") < pl.col("store_id_other"))
        .group_by("store_id", "store_id_other")
        .agg(weight=pl.min_horizontal("cents", "cents_other").sum())
        .filter(pl.col("weight") > 0)
        .sort("store_id", "store_id_other")
    )
    graph: Graph[int] = Graph()
    graph.add_nodes_from(visits.get_column("store_id").unique().sort().to_list())
    graph.add_weighted_edges_from(edges.iter_rows())
    return graph


def _regions(graph: "Graph[int]", sales: dict[int, int]) -> dict[int, str]:
    """Steps 2 and 3: communities, the four largest, and where the others go."""
    from networkx.algorithms.community import louvain_communities

    def rank(community: set[int]) -> tuple[int, int]:
        return -sum(sales[store] for store in community), min(community)

    communities = sorted(louvain_communities(graph, seed=SEED), key=rank)
    large = dict(zip(REGIONS, communities, strict=False))
    core = {store: region for region, stores in large.items() for store in stores}
    totals = {region: sum(sales[store] for store in stores) for region, stores in large.items()}
    smallest = min(REGIONS, key=totals.__getitem__)

    regions = dict(core)
    for community in communities[len(REGIONS) :]:
        weights: Counter[str] = Counter()
        for store in community:
            for neighbor, edge in graph.adj[store].items():
                if neighbor in core:
                    weights[core[neighbor]] += edge["weight"]
        target = max(REGIONS, key=weights.__getitem__) if weights else smallest
        regions.update(dict.fromkeys(community, target))
    return regions


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file (or compare it, with ``--check``) and print the measures."""
    parser = argparse.ArgumentParser(description="Derive the region of every store.")
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args(arguments)

    regions = derive()
    quality = measure(regions)
    print(  # noqa: T201
        f"modularity {quality.modularity:.3f}, "
        f"spend in the home region {quality.home_share:.1%}\n{quality.regions}"
    )
    if not options.check:
        regions.write_csv(STORE_REGION_FILE)
    elif not regions.equals(store_region().collect()):
        sys.stderr.write(f"{STORE_REGION_FILE} differs: run without --check to write it\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
