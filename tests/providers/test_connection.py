"""How a site is reached: its own certificates, a proxy, and what each provider is told."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import polars as pl
import pytest

from mcai_pipelines.config import Catalog, EnvString
from mcai_pipelines.emulators import Entry
from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse.failures import StorageFailed
from mcai_pipelines.providers import manners, open_site, trust
from mcai_pipelines.providers.cloud import Connection, connect
from tests.harness.proxy import Proxy
from tests.providers.conftest import MakeTable, make_site
from tests.providers.tls import make_authority, tls_before

WEEK = pl.DataFrame({"units": [1, 2]})


# ---------------------------------------------------------------- certificates


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(autouse=True)
def trust_nobody_afterwards(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test makes this process trust, it does not trust any more in the next one."""
    monkeypatch.setenv("SSL_CERT_FILE", "")  # so that its value is put back
    monkeypatch.delenv("SSL_CERT_FILE")
    yield
    trust._bundle.cache_clear()


@pytest.fixture
def secure(private: Entry, authority: tuple[Path, Path, Path]) -> Iterator[str]:
    """The private cloud over TLS, with a certificate of a private authority."""
    port = urlsplit(private.url).port
    assert port is not None
    with tls_before(port, *authority[1:]) as url:
        yield url


def test_a_private_authority_is_trusted(
    secure: str, authority: tuple[Path, ...], make_table: MakeTable
) -> None:
    site = {"endpoint": secure, "ca_file": str(authority[0])}
    table = make_table("private", "iceberg", "delta", site=site)
    table.write(WEEK)
    assert [table.scan(format=f).collect().height for f in table.formats] == [2, 2]


@pytest.mark.parametrize("format", ["iceberg", "delta"])
def test_an_unknown_authority_is_not_trusted(
    secure: str, make_table: MakeTable, format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manners, "RETRIES", 0)
    table = make_table("private", format, site={"endpoint": secure})
    message = r"^table .*: writing at site private: .*; its certificate is not trusted: .*ca_file"
    with pytest.raises(StorageFailed, match=message):
        table.write(WEEK)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"\xff\xfe", "cannot be read: it is not a text file"),
        (b"-----BEGIN PRIVATE KEY-----", "holds no certificate"),
    ],
)
def test_a_file_of_certificates_that_is_none(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    file = tmp_path / "ca.pem"
    if content is not None:
        file.write_bytes(content)
    site = make_site("private", endpoint="https://s3.example.com", ca_file=str(file))
    with pytest.raises(BadInput, match=rf"ca_file .*ca\.pem {message}"):
        connect(site, "s3://lake", KEYS)


# ---------------------------------------------------------------- a proxy


def test_every_request_goes_through_the_proxy(aws: Entry, make_table: MakeTable) -> None:
    # Asked for absolute URLs, it passes them on as they are; nobody has these addresses (RFC 5737).
    with Proxy(aws.url) as forward:
        site = {
            "endpoint": "http://192.0.2.1",
            "proxy": forward.url,
            "catalog": Catalog(type="glue", uri=EnvString("http://192.0.2.2")),
        }
        table = make_table("aws", "iceberg", "delta", site=site)
        table.write(WEEK)
        assert [table.scan(format=f).collect().height for f in table.formats] == [2, 2]
        hosts = {urlsplit(exchange.target).hostname for exchange in forward.log}
    assert hosts == {"192.0.2.1", "192.0.2.2"}


# ---------------------------------------------------------------- what providers are told

KEYS = {
    "MCAI_EMULATED_KEY_ID": "an-id-of-a-key",
    "MCAI_EMULATED_SECRET": "a-secret-of-a-key",
    "MCAI_EMULATED_AZURE_KEY": "YS1rZXktb2YtYXp1cmU=",
    "MCAI_EMULATED_PRIVATE_URL": "https://s3.example.com",
    "MCAI_EMULATED_AZURE_URL": "https://blob.example.com",
    "MCAI_EMULATED_AWS_URL": "https://s3.example.com",
}
ABFSS = "abfss://lake@acme.dfs.core.windows.net/tables"
SERVICE_ACCOUNT = {
    "client_email": "mcai@example.com",
    "private_key": "-----BEGIN PRIVATE KEY-----\nthe-secret-of-a-service-account",
    "private_key_id": "an-id-of-a-private-key",
}


def options(connection: Connection) -> dict[str, str]:
    return dict(connection.options)


def test_s3_keys() -> None:
    found = options(connect(make_site("private"), "s3://lake", KEYS))
    assert found == {
        "aws_skip_signature": "false",
        "aws_region": "frankfurt",
        "aws_access_key_id": "an-id-of-a-key",
        "aws_secret_access_key": "a-secret-of-a-key",
        "aws_endpoint_url": "https://s3.example.com",
    }


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ({"account_key": "a2V5"}, {"azure_storage_account_key": "a2V5"}),
        ({"sas_token": "sv=1&sig=s"}, {"azure_storage_sas_key": "sv=1&sig=s"}),
        (
            {"client_id": "c", "client_secret": "s", "tenant_id": "t"},
            {
                "azure_storage_client_id": "c",
                "azure_storage_client_secret": "s",
                "azure_storage_tenant_id": "t",
            },
        ),
        ("ambient", {}),
        ("anonymous", {"azure_skip_signature": "true"}),
    ],
)
def test_azure_keys(credentials: Any, expected: dict[str, str]) -> None:
    if isinstance(credentials, dict):
        credentials = {name: EnvString(value) for name, value in credentials.items()}
    site = make_site("azure", endpoint=None, credentials=credentials)
    assert options(connect(site, ABFSS, {})) == {
        "azure_skip_signature": "false",
        "azure_storage_account_name": "acme",
        **expected,
    }


@pytest.mark.parametrize("how", ["service_account_key", "service_account_file"])
@pytest.mark.parametrize("endpoint", [None, "http://gcs.example.com/"])
def test_google_keys(tmp_path: Path, how: str, endpoint: str | None) -> None:
    text = json.dumps(SERVICE_ACCOUNT)
    (tmp_path / "key.json").write_text(text)
    value = str(tmp_path / "key.json") if how == "service_account_file" else "${KEY}"
    site = make_site("gcp", endpoint=endpoint, credentials={how: EnvString(value)})
    found = options(connect(site, "gs://lake", {"KEY": text}))
    key = json.loads(found["google_service_account_key"])
    base = {"gcs_base_url": "http://gcs.example.com"} if endpoint else {}
    assert key == {**SERVICE_ACCOUNT, **base}


@pytest.mark.parametrize(
    ("how", "value", "message"),
    [
        (
            "service_account_file",
            "/no/such/key.json",
            r"/no/such/key\.json cannot be read: No such",
        ),
        ("service_account_key", "not JSON", "the service account's key is not JSON"),
        ("service_account_key", "[]", "the service account's key is not JSON"),
    ],
)
def test_a_google_key_that_is_none(how: str, value: str, message: str) -> None:
    site = make_site("gcp", credentials={how: EnvString(value)})
    with pytest.raises(BadInput, match=f"site gcp: .*{message}"):
        connect(site, "gs://lake", {})


def test_google_with_what_the_environment_offers() -> None:
    site = make_site("gcp", endpoint="https://storage.example.com", credentials="ambient")
    assert options(connect(site, "gs://lake", {})) == {
        "google_skip_signature": "false",
        "google_base_url": "https://storage.example.com",
    }


def test_a_profile_of_aws_is_not_read() -> None:
    site = make_site("aws", credentials="ambient")
    env = {**KEYS, "AWS_PROFILE": "work"}
    with pytest.raises(BadInput, match="profiles and single sign-on are not read; put its keys"):
        connect(site, "s3://lake", env)
    connect(site, "s3://lake", {**env, "AWS_ACCESS_KEY_ID": "an-id"})
    connect(make_site("aws"), "s3://lake", env)


def test_keys_are_not_mixed_with_a_token_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-token-of-somebody-else")
    with pytest.raises(BadInput, match="AWS_SESSION_TOKEN is set, and would be sent along"):
        connect(make_site("private"), "s3://lake", KEYS)
    connect(make_site("aws", credentials="ambient"), "s3://lake", KEYS)


def test_an_endpoint_of_the_environment_does_not_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "https://elsewhere.example.com")
    with pytest.raises(BadInput, match="AWS_ENDPOINT_URL_S3 is set, and would win"):
        connect(make_site("private"), "s3://lake", KEYS)
    connect(make_site("aws", endpoint=None, credentials="ambient"), "s3://lake", KEYS)


def test_a_root_that_not_every_reader_can_follow() -> None:
    site = make_site("private", storage="s3://lake/a b")
    with pytest.raises(BadInput, match="site private: the path of its folder, s3://lake/a b, has"):
        open_site(site, "main", KEYS)


def test_one_connection_is_told_to_three_libraries() -> None:
    connection = connect(make_site("private"), "s3://lake", KEYS)
    polars, delta = connection.polars(), connection.delta()
    shared = {name for name in polars if polars[name] == delta.get(name)}
    assert shared >= {*options(connection), "connect_timeout", "timeout"}
    assert (polars["max_retries"], delta["max_retries"]) == (6, "6")
    assert repr(connection) == "Connection(site='private')"


def test_connections_that_are_equal_are_opened_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        first, second = (connect(make_site("private"), "s3://lake", KEYS) for _ in range(2))
    assert first.root_store("s3://lake") is second.root_store("s3://lake")
