"""A commit whose answer is lost is found again: the rows are there, once, in both formats."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from mcai_pipelines.emulators import Clouds
from mcai_pipelines.lakehouse.table import Table
from tests.harness.faults import LoseAnswer, Reset, internal_error, unavailable
from tests.harness.proxy import Proxy
from tests.providers.conftest import BOTH, MakeTable

each_protocol = pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"], indirect=True)
WEEK = pl.DataFrame({"units": [1, 2]})

COMMITS = {
    "delta": r"_delta_log/0*1\.json$",
    "iceberg": r"_iceberg/[^/]*\.(metadata\.json|avro)$",
}


@pytest.fixture
def proxy(clouds: Clouds, cloud: str) -> Iterator[Proxy]:
    """A proxy in front of the cloud."""
    with Proxy(clouds[cloud].url) as between:
        yield between


def through(proxy: Proxy, make_table: MakeTable, cloud: str, primary: str, mirror: str) -> Table:
    """A table that has two rows, reached through the proxy."""
    table = make_table(cloud, primary, mirror, site={"endpoint": proxy.url})
    table.write(WEEK)
    return table


def assert_rows(table: Table, expected: int) -> None:
    for format in table.formats:
        assert table.scan(format=format).collect().height == expected, format
    assert len(table.history()) == expected // 2


@each_protocol
@pytest.mark.parametrize(("primary", "mirror"), BOTH)
@pytest.mark.parametrize("log", ["delta", "iceberg"])
def test_the_answer_to_a_commit_is_lost(
    proxy: Proxy, make_table: MakeTable, cloud: str, primary: str, mirror: str, log: str
) -> None:
    table = through(proxy, make_table, cloud, primary, mirror)
    proxy.inject(LoseAnswer(), method="PUT", path=COMMITS[log], times=1)
    table.write(WEEK)
    assert len(proxy.injected()) == 1
    assert_rows(table, 4)


@each_protocol
@pytest.mark.parametrize("log", ["delta", "iceberg"])
def test_a_commit_never_arrives(proxy: Proxy, make_table: MakeTable, cloud: str, log: str) -> None:
    table = through(proxy, make_table, cloud, "delta", "iceberg")
    proxy.inject(Reset(), method="PUT", path=COMMITS[log], times=2)
    table.write(WEEK)
    assert len(proxy.injected()) == 2
    assert_rows(table, 4)


@each_protocol
def test_the_answer_is_lost_and_the_store_is_busy_then(
    proxy: Proxy, make_table: MakeTable, cloud: str
) -> None:
    table = through(proxy, make_table, cloud, "delta", "iceberg")
    proxy.inject(LoseAnswer(), method="PUT", path=COMMITS["delta"], times=1)
    proxy.inject(unavailable(), path=r"_delta_log", times=2)
    proxy.inject(internal_error(), path=r"_iceberg", times=2)
    table.write(WEEK)
    assert len(proxy.injected()) == 5
    assert_rows(table, 4)


@each_protocol
def test_somebody_else_commits_while_the_answer_is_lost(
    proxy: Proxy, make_table: MakeTable, cloud: str
) -> None:
    table = through(proxy, make_table, cloud, "delta", "iceberg")
    other = make_table(cloud, "delta", "iceberg")  # past the proxy
    proxy.inject(LoseAnswer(), method="PUT", path=COMMITS["delta"], times=1)

    def on_step(step: str) -> None:
        if step == "audited":
            other.write(WEEK)

    table.write(WEEK, on_step=on_step)
    assert_rows(other, 6)
