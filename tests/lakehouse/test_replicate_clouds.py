"""Replicas and mirrors over the wire protocols of the emulated clouds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import obstore
import polars as pl
import pytest

from mcai_pipelines.emulators import Clouds
from mcai_pipelines.lakehouse.copying import PART
from mcai_pipelines.lakehouse.errors import TableNotFound
from mcai_pipelines.lakehouse.failures import StorageFailed
from mcai_pipelines.lakehouse.lake import Lake
from mcai_pipelines.lakehouse.replicas import replicate_table
from mcai_pipelines.lakehouse.replicate import ReplicaRequest
from tests.e2e.emulated import plain_delta, plain_iceberg
from tests.harness.faults import (
    LoseAnswer,
    ResetResponse,
    access_denied,
    internal_error,
    unavailable,
)
from tests.harness.proxy import Proxy

WAY = ("aws-us-east-1", "azure-westeurope", "gcp-asia-southeast1", "private-frankfurt")
"""The sites, in the order in which the table is passed on, and back to the first."""

ODD = ["a b", "50%", "x=y", "ü", "plain"]


def test_a_table_goes_once_around_the_clouds(emulated: Mapping[str, str]) -> None:
    """Every copy is of another provider, in another format, and the bytes stay the same."""
    lake = Lake.open()
    source = lake.declare(("shop", "stock"), WAY[0], partition_by=["p"])
    count = PART // 8 + 100_000  # one file is larger than a part of an upload
    large = pl.LazyFrame({"n": range(count)}).select(
        pl.col("n"), x=pl.col("n").hash(), p=pl.lit("large")
    )
    small = pl.LazyFrame({"n": range(5), "x": [None] * 5, "p": ODD}).cast({"x": pl.UInt64})
    everything = pl.concat([large, small]).with_columns(pl.col("x").reinterpret(signed=True))
    source.write(everything)
    lake.register(source, WAY[0], None)
    assert max(file.size for file in source.head().files.values()) > PART
    key = "shop/stock"

    for site in (*WAY[1:], WAY[0]):
        name = f"{site.replace('-', '_')}/stock"
        request = ReplicaRequest(streams=4)
        target, done = replicate_table(lake, key, site, replica=name, request=request)
        assert done.files_copied == len(source.head().files)
        again = replicate_table(lake, key, site, replica=name, request=ReplicaRequest(verify=True))
        assert again[1].unchanged
        assert again[1].files_repaired == 0
        metadata = target.info().metadata_location
        plain = (
            plain_iceberg(metadata, emulated)
            if metadata
            else plain_delta(target.storage.uri, emulated)
        )
        wanted = everything.collect().sort("p", "n")
        assert plain.select(wanted.columns).collect().sort("p", "n").equals(wanted)
        key = name

    source.write(everything.filter(pl.col("n") > 100_000), "overwrite")
    _, done = replicate_table(lake, "shop/stock", WAY[1])
    assert (done.files_copied, done.files_removed) == (1, 6)


@pytest.mark.parametrize(("site", "other"), [(WAY[0], "delta"), (WAY[2], "delta")])
def test_an_existing_table_is_mirrored(emulated: Mapping[str, str], site: str, other: str) -> None:
    lake = Lake.open()
    table = lake.declare(("shop", "stock"), site, partition_by=["p"])
    frame = pl.DataFrame({"n": range(5), "p": ODD})
    table.write(frame)
    lake.register(table, site, None)
    lake.mirror("shop/stock", other)
    table = lake.table("shop/stock")
    assert table.formats == ("iceberg", "delta")
    found = plain_delta(table.storage.uri, emulated).collect().sort("n")
    assert found.select(frame.columns).equals(frame)


def test_within_one_bucket_the_service_copies(
    emulated: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lake = Lake.open()
    source = lake.declare(("shop", "stock"), WAY[0], partition_by=["p"])
    frame = pl.DataFrame({"n": range(5), "p": ODD})
    source.write(frame)
    lake.register(source, WAY[0], None)
    uploaded: list[str] = []
    put = obstore.put

    def note(store: object, path: str, *rest: object, **options: object) -> object:
        uploaded.append(path)
        return put(store, path, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(obstore, "put", note)
    target, done = replicate_table(lake, "shop/stock", WAY[0], replica="copies/stock")
    assert done.files_copied == 5
    assert not [path for path in uploaded if path.startswith("_data/")]
    assert target.scan().collect().sort("n").equals(frame)


# ---------------------------------------------------------------- faults on the wire


@pytest.fixture
def wires(
    emulated: Mapping[str, str], clouds: Clouds, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Proxy, Proxy]]:
    """Proxies in front of the source's service and of the replica's."""
    with Proxy(clouds["aws"].url) as here, Proxy(clouds["private"].url) as there:
        monkeypatch.setenv("MCAI_EMULATED_AWS_URL", here.url)
        monkeypatch.setenv("MCAI_EMULATED_PRIVATE_URL", there.url)
        yield here, there


def stocked(lake: Lake) -> pl.DataFrame:
    frame = pl.DataFrame({"n": range(5), "p": ODD})
    source = lake.declare(("shop", "stock"), WAY[0], partition_by=["p"])
    source.write(frame)
    lake.register(source, WAY[0], None)
    return frame


def test_a_replication_outlives_the_faults_of_both_networks(wires: tuple[Proxy, Proxy]) -> None:
    lake, (here, there) = Lake.open(), wires
    frame = stocked(lake)
    here.inject(ResetResponse(after=100), method="GET", path=r"/_data/", times=2)
    here.inject(unavailable(), method="GET", path=r"/_data/", skip=2, times=2)
    there.inject(LoseAnswer(), method="PUT", path=r"/_data/", times=1)
    there.inject(internal_error(), method="PUT", path=r"/_data/", skip=1, times=2)
    there.inject(LoseAnswer(), method="PUT", path=r"_delta_log/0*0\.json$", times=1)

    target, done = replicate_table(lake, "shop/stock", WAY[3])

    assert len(here.injected()) == 4
    assert len(there.injected()) == 4
    assert done.files_copied == 5
    assert len(target.history()) == 1
    assert target.scan().collect().sort("n").equals(frame)


def test_a_service_that_refuses_is_named_and_nothing_is_shown(wires: tuple[Proxy, Proxy]) -> None:
    lake, (_, there) = Lake.open(), wires
    frame = stocked(lake)
    there.inject(access_denied(), method="PUT", path=r"/_data/.*plain", times=None)

    with pytest.raises(StorageFailed, match=r"copying at site private-frankfurt: .*do not permit"):
        replicate_table(lake, "shop/stock", WAY[3])
    with pytest.raises(TableNotFound):
        lake.table("private_frankfurt/stock")

    there.clear()
    target, done = replicate_table(lake, "shop/stock", WAY[3])
    assert done.files_copied < 5, "what had arrived is copied again"
    assert target.scan().collect().sort("n").equals(frame)
    assert not there.requests("DELETE", r"/_data/")
