"""Tables of a thousand files: published in the other format, and copied to another site.

A thousand files are a thousand partitions of one row group each. The emulated S3 services are
two processes of moto on this machine; the catalog is a PostgreSQL database, as is the platform's.
"""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from uuid import uuid4

import obstore
import polars as pl

from benchmarks.baselines.obstore_copy import copy_all
from benchmarks.measure import CaseFailed
from benchmarks.results import Line, Row
from benchmarks.workplace import BENCH
from mcai_pipelines.emulators import running
from mcai_pipelines.lakehouse.lake import Lake
from mcai_pipelines.lakehouse.publish import open_log
from mcai_pipelines.lakehouse.replicate import STREAMS, Replication, replicate
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.providers import SiteStorage
from mcai_pipelines.providers.local import open_folder

FILES = 1000
ROUNDS = 3
FROM, TO = "aws-us-east-1", "private-frankfurt"
WAYS = (("iceberg", "delta"), ("delta", "iceberg"))


@dataclass(frozen=True)
class Measure:
    """One figure, as ``python -m benchmarks`` wants it.

    Attributes:
        LINES: What it is.
        rows: Measures it.
    """

    LINES: list[Line]
    rows: Callable[[], list[Row]]


def seconds(name: str, bar: float, measure: Callable[[], list[float]]) -> Measure:
    """A figure in seconds: the worst of those measured, beside one second."""
    line = Line(name, "s", bar)
    return Measure([line], lambda: [Row(line, max(measure()), 1.0)])


def thousand() -> pl.LazyFrame:
    """Ten columns, a file for each value of ``k``."""
    numbers = pl.int_range(FILES, eager=True).alias("k").to_frame().lazy()
    return numbers.with_columns(
        *((pl.col("k") * number).alias(f"c{number}") for number in range(8)),
        s=pl.col("k").cast(pl.String),
    )


def incompressible() -> pl.LazyFrame:
    """96 files of about 3 MB."""
    numbers = pl.int_range(96 * 400_000, eager=True).alias("n").to_frame().lazy()
    return numbers.select(k=pl.col("n") % 96, h=pl.col("n").hash().reinterpret(signed=True))


def table_at(
    storage: SiteStorage, name: str, format: str, *, replica_of: str | None = None
) -> Table:
    """A table by its name at a site, partitioned by ``k``."""
    place = storage.table(("bench", name))
    log = open_log(format, place)
    return Table(f"bench/{name}", place, log, partition_by=["k"], replica_of=replica_of)


def mirror_all_ways(storage: SiteStorage) -> list[float]:
    """Seconds to publish a table in its other format, the best of some rounds for each way."""
    found = []
    for primary, other in WAYS:
        name = f"mirror_{primary}_{uuid4().hex[:8]}"
        table_at(storage, name, primary).write(thousand())
        found.append(min(_mirror(storage, name, primary, other) for _ in range(ROUNDS)))
    return found


def _mirror(storage: SiteStorage, name: str, primary: str, other: str) -> float:
    table = table_at(storage, name, primary)
    began = time.perf_counter()
    table.mirror_to(other)
    took = time.perf_counter() - began
    assert table.mirror_log is not None
    head = table.mirror_log.head()
    if head is None or len(head.files) != FILES:
        raise CaseFailed(f"{name}: the mirror does not show {FILES} files")
    _forget(table)
    return took


def _forget(table: Table) -> None:
    """Remove the mirror, so that the next round makes it again."""
    assert table.mirror_log is not None
    if table.mirror_log.format == "iceberg":
        table.storage.catalog().drop_table(table.storage.identifier)
    folder = "_iceberg/" if table.mirror_log.format == "iceberg" else "_delta_log/"
    for page in obstore.list(table.storage.store, prefix=folder):
        obstore.delete(table.storage.store, [item["path"] for item in page])


def mirror_locally() -> list[float]:
    """In a folder, with a SQLite catalog."""
    with tempfile.TemporaryDirectory(prefix="mcai-bench-") as folder:
        catalog = f"sqlite:///{folder}/catalog.db"
        return mirror_all_ways(open_folder("site", Path(folder), "bench", catalog))


def mirror_on_s3() -> list[float]:
    """On an emulated S3."""
    with emulated() as lake:
        return mirror_all_ways(lake.site_storage(FROM))


def replicate_nothing() -> list[float]:
    """From one emulated S3 to another: what a replication costs that has nothing to do."""
    with emulated() as lake:
        source = table_at(lake.site_storage(FROM), "source", "iceberg")
        source.write(thousand())
        target = table_at(lake.site_storage(TO), "target", "delta", replica_of=source.key)
        replicate(source, target)
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            if not replicate(source, target).unchanged:
                raise CaseFailed("the replica of an unchanged table changed")
            times.append(time.perf_counter() - began)
        return [min(times)]


THROUGHPUT = Line("lakehouse.replicate_throughput_ratio", "MB/s", 0.8, at_least=True)


def throughput() -> list[Row]:
    """Ours, verified and committed, to a plain copy of the same objects."""
    with emulated() as lake:
        source = table_at(lake.site_storage(FROM), "source", "iceberg")
        source.write(incompressible())
        paths = list(source.head().files)
        size = sum(file.size for file in source.head().files.values())
        ours, theirs = [], []
        for number in range(ROUNDS):
            plain = lake.site_storage(TO).table(("bench", f"plain_{number}"))
            began = time.perf_counter()
            copy_all(source.storage.store, plain.store, paths, STREAMS)
            theirs.append(time.perf_counter() - began)
            obstore.delete(plain.store, paths)  # the service keeps it in memory
            ours.append(_replicate(lake, source, f"copy_{number}").seconds)
    return [Row(THROUGHPUT, size / 1e6 / min(ours), size / 1e6 / min(theirs))]


def _replicate(lake: Lake, source: Table, name: str) -> Replication:
    target = table_at(lake.site_storage(TO), name, "delta", replica_of=source.key)
    done = replicate(source, target)
    if done.files_copied != len(source.head().files):
        raise CaseFailed(f"{name}: {done.files_copied} files were copied")
    obstore.delete(target.storage.store, list(target.head().files))
    return done


@contextmanager
def emulated() -> Iterator[Lake]:
    """A lake on two emulated S3 services and a PostgreSQL catalog, in a new namespace."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mcai-bench-")))
        clouds = stack.enter_context(
            running(folder / "emulators", only=("aws", "private", "postgres"), cache=_cache())
        )
        home = {
            "MCAI_PLATFORM": "emulated",
            "MCAI_HOME": str(folder / "home"),
            "MCAI_NAMESPACE": f"bench-{uuid4().hex[:8]}",
        }
        env: Mapping[str, str] = {**os.environ, **clouds.env, **home}
        yield Lake.open(env)


@cache
def _cache() -> Path:
    return BENCH / "emulators"


MEASURES = {
    measure.LINES[0].name: measure
    for measure in (
        seconds("lakehouse.mirror_1000_files_s", 1.0, mirror_locally),
        seconds("lakehouse.mirror_1000_files_s3_s", 3.0, mirror_on_s3),
        seconds("lakehouse.replicate_noop_s", 1.0, replicate_nothing),
        Measure([THROUGHPUT], throughput),
    )
}
