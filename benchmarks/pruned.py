"""How much of a table is fetched to read one week of it, over the clouds' wire protocols.

A site's transactions, written week by week as the schedule writes them, are read for one week by
a process with no knowledge of the table, through a proxy that counts the bytes of every answer:
the data, the table's metadata, and nothing from the catalog, which is a database.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import polars as pl

from assets.retail import regions, source
from assets.retail.purchases import site_transactions
from assets.retail.weeks import LAST_WEEK, week_start
from benchmarks.measure import CaseFailed
from benchmarks.results import Line, Row
from benchmarks.workplace import BENCH
from mcai_pipelines.emulators import running
from mcai_pipelines.lakehouse.lake import Lake
from tests.harness.proxy import Proxy

NAME = "lakehouse.pruned_bytes_ratio"
BAR = 0.1
WEEKS = [week_start(week) for week in range(2, LAST_WEEK + 1)]
WANTED = week_start(30)
CLOUDS = {
    "aws-us-east-1": "aws",
    "azure-westeurope": "azure",
    "gcp-asia-southeast1": "gcp",
    "private-frankfurt": "private",
}
"""The emulator of each site."""

LINES = [
    Line(NAME, "bytes", BAR),
    *(Line(f"{NAME}.{name}", "bytes", None) for name in CLOUDS.values()),
]


def rows() -> list[Row]:
    """Measures every site; the figure is that of the worst."""
    with emulated() as (env, proxies):
        lake = Lake.open(env)
        for site in CLOUDS:
            write(lake, site)
        sides = [fetch(env, site, proxies[name]) for site, name in CLOUDS.items()]
    worst = max(sides, key=lambda side: side[0] / side[1])
    return [Row(line, *side) for line, side in zip(LINES, (worst, *sides), strict=True)]


@contextmanager
def emulated() -> Iterator[tuple[Mapping[str, str], Mapping[str, Proxy]]]:
    """The environment of the platform on emulators, each of them behind a proxy."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcai-bench-")))
        clouds = stack.enter_context(running(folder / "emulators", cache=BENCH / "emulators"))
        proxies = {name: stack.enter_context(Proxy(clouds[name].url)) for name in CLOUDS.values()}
        urls = {f"MCAI_EMULATED_{name.upper()}_URL": proxy.url for name, proxy in proxies.items()}
        home = {"MCAI_PLATFORM": "emulated", "MCAI_HOME": str(folder / "home")}
        yield {**os.environ, **clouds.env, **urls, **home}, proxies


def write(lake: Lake, site: str) -> None:
    """The year's transactions of a site, a commit for each week."""
    contract = lake.contracts.get("retail/transactions")
    table = lake.declare((site.replace("-", "_"), "transactions"), site, contract)
    year = site_transactions(source.transactions(), regions.stores_of_site(site), WEEKS).collect()
    for week in WEEKS:
        of_week = year.lazy().filter(pl.col("week") == week)
        table.write(of_week, "overwrite_partitions", partitions=[(week,)])
    lake.register(table, site, contract.id)


def fetch(env: Mapping[str, str], site: str, proxy: Proxy) -> tuple[float, float]:
    """Bytes fetched to read one week of a site, and bytes of the table's data files."""
    lake = Lake.open(env)
    key = f"{site.replace('-', '_')}/transactions"
    size = sum(file.size for file in lake.table(key).head().files.values())
    proxy.clear()
    found = Lake.open(env).table(key).scan().filter(pl.col("week") == WANTED).collect()
    stores = regions.stores_of_site(site)
    wanted = site_transactions(source.transactions(), stores, [WANTED]).collect()
    if found.height != wanted.height or found.height == 0:
        raise CaseFailed(f"{key}: {found.height} rows were read of {wanted.height}")
    return proxy.bytes_fetched(), size
