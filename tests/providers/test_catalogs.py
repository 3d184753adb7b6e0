"""Iceberg tables in a Glue, a REST and a PostgreSQL catalog, on an emulated store."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pyiceberg.catalog import Catalog as IcebergCatalog

from mcai_pipelines.config import Catalog, EnvString
from mcai_pipelines.emulators import Clouds, Entry
from mcai_pipelines.errors import BadInput, McaiError
from mcai_pipelines.lakehouse.failures import StorageFailed
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.providers import open_site
from mcai_pipelines.providers import rest as rest_catalog
from mcai_pipelines.providers.rest import RestConnection
from tests.providers.conftest import BOTH, MakeTable, make_site
from tests.providers.rest_server import RestServer

WEEK = pl.DataFrame({"region": ["n", "s"], "units": [1, 2]})
GLUE = Catalog(type="glue", uri=EnvString("${MCAI_EMULATED_AWS_URL}"))


def assert_works(table: Table) -> None:
    """A table is made, appended to, overwritten in part, evolved and rolled back."""
    first = table.write(WEEK)
    table.write(WEEK)
    table.write(WEEK.filter(pl.col("region") == "n"), "overwrite_partitions", partitions=[("n",)])
    assert [table.scan(format=f).collect().height for f in table.formats] == [3, 3]
    table.rollback(first.version.id)
    assert [table.scan(format=f).collect().height for f in table.formats] == [2, 2]
    assert len(table.history()) == 4


# ---------------------------------------------------------------- Glue


@pytest.mark.parametrize(("primary", "mirror"), BOTH)
def test_a_table_in_glue(make_table: MakeTable, primary: str, mirror: str) -> None:
    table = make_table("aws", primary, mirror, site={"catalog": GLUE}, partition_by=["region"])
    assert_works(table)
    assert_holds_no_secret(table.storage.catalog())


def test_glue_wants_credentials(make_table: MakeTable) -> None:
    site = {"catalog": GLUE, "credentials": "anonymous"}
    with pytest.raises(BadInput, match="site aws: Glue refuses requests without credentials"):
        make_table("aws", "iceberg", site=site).scan()


def test_glue_that_is_not_there(make_table: MakeTable) -> None:
    site = {"catalog": Catalog(type="glue", uri=EnvString("http://127.0.0.1:1"))}
    table = make_table("aws", "iceberg", site=site)
    message = r"^table .*: reading at site aws: .*127\.0\.0\.1:1.*; nothing listens there"
    with pytest.raises(StorageFailed, match=message):
        table.scan()


# ---------------------------------------------------------------- REST


@pytest.fixture
def rest(aws: Entry, clouds: Clouds, tmp_path: Path) -> Iterator[RestServer]:
    """A REST server that asks for tokens, which are good for a second."""
    storage = open_site(make_site("aws"), "rest", clouds.env).table(("t",))
    with RestServer(tmp_path, storage.file_io, client="mcai:a-secret:of-oauth", life=2) as server:
        yield server


def rest_site(rest: RestServer, **changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": "rest",
        "uri": EnvString(rest.url),
        "warehouse": EnvString("lake"),
    }
    credential = {"credential": EnvString("${CATALOG_CLIENT}")}
    return {"catalog": Catalog(**fields, **(changes or credential))}


REST_ENV = {"CATALOG_CLIENT": "mcai:a-secret:of-oauth"}


@pytest.mark.parametrize(("primary", "mirror"), BOTH)
def test_a_table_in_a_rest_catalog(
    rest: RestServer, make_table: MakeTable, primary: str, mirror: str
) -> None:
    table = make_table(
        "aws", primary, mirror, site=rest_site(rest), env=REST_ENV, partition_by=["region"]
    )
    assert_works(table)
    assert_holds_no_secret(table.storage.catalog(), *REST_ENV.values(), *rest.granted)
    assert any("warehouse=lake" in path for _, path, _ in rest.seen)


def test_a_token_is_renewed_before_it_expires(
    rest: RestServer, make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("mcai_pipelines.providers.rest.time.monotonic", lambda: now)
    table = make_table("aws", "iceberg", site=rest_site(rest), env=REST_ENV)
    table.write(WEEK)
    assert len(rest.granted) == 1
    now += 1.5  # of the token's two seconds
    table.write(WEEK)
    assert len(rest.granted) == 2
    assert table.scan().collect().height == 4


def test_a_bearer_token(rest: RestServer, make_table: MakeTable) -> None:
    rest.granted.append("a-token-by-reference")
    site = rest_site(rest, token=EnvString("${CATALOG_TOKEN}"))
    env = {"CATALOG_TOKEN": "a-token-by-reference"}
    table = make_table("aws", "iceberg", site=site, env=env)
    table.write(WEEK)
    assert table.scan().collect().height == 2
    assert {signed for _, _, signed in rest.seen} == {"Bearer a-token-by-reference"}


@pytest.mark.parametrize("changes", [{}, {"token": EnvString("${CATALOG_TOKEN}")}])
def test_a_rest_catalog_that_refuses_us(
    rest: RestServer, make_table: MakeTable, changes: dict[str, Any]
) -> None:
    env = {"CATALOG_CLIENT": "mcai:wrong-secret", "CATALOG_TOKEN": "wrong-token"}
    table = make_table("aws", "iceberg", site=rest_site(rest, **changes), env=env)
    message = r"^table .*: writing at site aws: .*; the site's key is wrong"
    with pytest.raises(StorageFailed, match=message) as caught:
        table.write(WEEK)
    assert "wrong-" not in str(caught.value)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_the_answer_to_a_commit_is_an_error_though_it_was_made(
    rest: RestServer, make_table: MakeTable, status: int
) -> None:
    table = make_table("aws", "iceberg", "delta", site=rest_site(rest), env=REST_ENV)
    table.write(WEEK)
    rest.fail_next.append(status)
    table.write(WEEK)
    assert not rest.fail_next
    assert [table.scan(format=f).collect().height for f in table.formats] == [4, 4]


def test_a_rest_catalog_that_is_not_there(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_catalog, "_RETRY", rest_catalog._RETRY.new(total=1))
    site = {"catalog": Catalog(type="rest", uri=EnvString("http://127.0.0.1:1"))}
    table = make_table("aws", "iceberg", site=site)
    with pytest.raises(StorageFailed, match=r"reading at site aws: .*; nothing listens there"):
        table.scan()


def test_how_a_rest_catalog_is_reached() -> None:
    connection = RestConnection(
        "https://catalog.example.com",
        token="a-token-to-hide",
        ca_file="/ca.pem",
        proxy="http://p:1",
    )
    session = connection.session()
    assert session.verify == "/ca.pem"
    assert session.proxies == {"http": "http://p:1", "https": "http://p:1"}
    assert "a-token" not in repr(connection)


def test_an_iceberg_table_needs_a_catalog(make_table: MakeTable) -> None:
    with pytest.raises(BadInput, match="an Iceberg table needs a catalog, and the site has none"):
        make_table("aws", "iceberg", site={"catalog": None}).scan()


# ---------------------------------------------------------------- PostgreSQL


def test_a_table_in_postgresql(
    postgres: Entry, make_table: MakeTable, caplog: pytest.LogCaptureFixture
) -> None:
    uri = EnvString("${MCAI_EMULATED_POSTGRES_URL}/catalog_aws")
    site = {"catalog": Catalog(type="sql", uri=uri)}
    table = make_table("aws", "iceberg", "delta", site=site, partition_by=["region"])
    with caplog.at_level(logging.DEBUG):
        assert_works(table)


def test_a_password_of_a_database_is_in_no_property(tmp_path: Path) -> None:
    uri = "postgresql://mcai:a-password-of-postgres@127.0.0.1:1/none"
    site = make_site("aws", catalog=Catalog(type="sql", uri=EnvString("${URI}")))
    env = {
        "URI": uri,
        "MCAI_EMULATED_KEY_ID": "an-id-of-a-key",
        "MCAI_EMULATED_SECRET": "a-secret-of-it",
    }
    storage = open_site(site, "main", {**env, "MCAI_EMULATED_AWS_URL": "http://127.0.0.1:1"})
    with pytest.raises(McaiError, match="catalog of site aws cannot be opened") as caught:
        storage.table(("t",)).catalog()
    assert "a-password" not in str(caught.value)


def assert_holds_no_secret(catalog: IcebergCatalog, *secrets: str) -> None:
    """Neither the catalog's properties nor a table's ``FileIO`` hold one."""
    (table,) = [
        catalog.load_table(identifier)
        for namespace in catalog.list_namespaces()[-1:]
        for identifier in catalog.list_tables(namespace)[-1:]
    ]
    shown = f"{catalog.properties} {table.io.properties} {catalog!r} {table!r}"
    assert not any(secret in shown for secret in secrets)
    assert not any(word in name for name in table.io.properties for word in ("secret", "token"))
