"""Where credentials come from, and that they are renewed while a long run lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import obstore
import polars as pl
import pytest
from deltalake import DeltaTable

from mcai_pipelines.emulators import Clouds
from mcai_pipelines.lakehouse.table import Table
from tests.harness.proxy import Proxy
from tests.providers.conftest import MakeTable
from tests.providers.credential_server import CredentialServer

WEEK = pl.DataFrame({"units": [1, 2]})
PAUSE = 0.5
"""Longer than object_store waits before it asks for a new token again."""


@pytest.fixture(autouse=True)
def no_credentials_of_the_developer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=[2, 3600], ids=["expiring", "lasting"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[CredentialServer]:
    """A container's credentials, good for seconds, which is too short, or for an hour."""
    token = tmp_path / "token"
    token.write_text("authorization-of-the-container")
    with CredentialServer(life=request.param) as server:
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{server.url}/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(token))
        yield server


@pytest.mark.parametrize("word", ["ambient", "workload-identity", None])
@pytest.mark.parametrize("server", [3600], indirect=True, ids=["lasting"])
def test_a_table_is_written_with_the_identity_of_the_container(
    server: CredentialServer, make_table: MakeTable, word: str | None
) -> None:
    table = make_table("aws", "iceberg", "delta", site={"credentials": word})
    table.write(WEEK)
    assert [table.scan(format=f).collect().height for f in table.formats] == [2, 2]
    assert server.granted


def ask_obstore(table: Table) -> Callable[[], object]:
    return lambda: obstore.put(table.storage.store, "_data/probe", b"1")


def ask_polars(table: Table) -> Callable[[], object]:
    (path,) = table.head().files
    url, options = f"{table.storage.uri}/{path}", table.storage.polars_options
    return lambda: pl.scan_parquet(url, storage_options=options).collect()


def ask_delta(table: Table) -> Callable[[], object]:
    known = DeltaTable(table.storage.uri, storage_options=table.storage.delta_options)
    return known.update_incremental


@pytest.mark.parametrize("library", [ask_obstore, ask_polars, ask_delta])
def test_credentials_are_renewed_before_they_expire(
    server: CredentialServer,
    clouds: Clouds,
    make_table: MakeTable,
    library: Callable[[Table], Callable[[], object]],
) -> None:
    clouds.start(["aws"])
    with Proxy(clouds["aws"].url) as proxy:  # Polars keeps clients, and their tokens, by address
        site = {"credentials": "ambient", "endpoint": proxy.url}
        table = make_table("aws", "delta", site=site)
        table.write(WEEK)
        ask = library(table)
        ask()
        before = len(server.granted)
        time.sleep(PAUSE)
        ask()
        assert (len(server.granted) > before) == (server.life < 60)
