"""What the services' errors become: table, site, operation, cause and what to do, in one line."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl
import pytest

from mcai_pipelines.config import Catalog, EnvString
from mcai_pipelines.emulators import Clouds, Entry
from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.errors import LakeError
from mcai_pipelines.lakehouse.failures import StorageFailed
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.providers import manners
from tests.harness.faults import (
    Answer,
    Fault,
    Reset,
    access_denied,
    expired_token,
    internal_error,
    too_many_requests,
    unavailable,
)
from tests.harness.proxy import Proxy
from tests.providers.conftest import MakeTable

WEEK = pl.DataFrame({"units": [1, 2]})
FORMATS = ("iceberg", "delta")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after one retry."""
    monkeypatch.setattr(manners, "RETRIES", 1)


def fails(table: Table, message: str, *, writing: bool = True) -> str:
    """The table's next write, or read, fails with this message, in one line."""
    operation = "writing" if writing else "reading"
    site = table.storage.site
    with pytest.raises(StorageFailed, match=message) as caught:
        table.write(WEEK) if writing else table.scan()
    text = str(caught.value)
    assert text.startswith(f"table {table.key}: {operation} at site {site}: ")
    assert "\n" not in text
    assert "RetryError" not in text
    assert len(text) < 800
    return text


# ---------------------------------------------------------------- real services' refusals


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("cloud", "storage"),
    [
        ("aws", "s3://no-such-bucket/tables"),
        ("azure", "abfss://no-such-bucket@devstoreaccount1.dfs.core.windows.net/tables"),
    ],
    indirect=["cloud"],
)
def test_a_missing_bucket(make_table: MakeTable, cloud: str, storage: str, format: str) -> None:
    table = make_table(cloud, format, site={"storage": storage})
    fails(table, "404 Not Found .*; the bucket does not exist: create it, or correct the site's")


@pytest.mark.parametrize("format", FORMATS)
def test_a_wrong_key(make_table: MakeTable, format: str) -> None:
    env = {"MCAI_EMULATED_AZURE_KEY": "YS13cm9uZy1rZXktZm9yLXRoZS1hY2NvdW50"}
    table = make_table("azure", format, env=env)
    fails(table, "403 .*; the site's key is wrong, or this machine's clock: check both")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("cloud", ["aws", "azure", "gcp"], indirect=True)
def test_nobody_listens(make_table: MakeTable, cloud: str, format: str) -> None:
    table = make_table(cloud, format, site={"endpoint": "http://127.0.0.1:1/devstoreaccount1"})
    fails(table, "http://127.0.0.1:1.*; nothing listens there: check the address")


def test_a_host_that_nobody_knows(make_table: MakeTable) -> None:
    table = make_table("aws", "delta", site={"endpoint": "http://no-such-host.invalid"})
    fails(table, r"no-such-host\.invalid.*; the host is not known: check its name")


# ---------------------------------------------------------------- answers on the wire


def xml(status: int, code: str, message: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, body, {"Content-Type": "application/xml", "x-ms-error-code": code})


# Status, code and message as each service documents them.
ANSWERS: dict[str, tuple[Fault, str]] = {
    "wrong region, S3": (
        xml(
            400,
            "AuthorizationHeaderMalformed",
            "The authorization header is malformed; the region 'us-east-1' is wrong;"
            " expecting 'eu-central-1'",
        ),
        "expecting 'eu-central-1'.*; the bucket is in another region: correct the site's region",
    ),
    "other region, S3": (
        xml(301, "PermanentRedirect", "The bucket must be addressed at another endpoint."),
        "; the bucket is in another region",
    ),
    "unknown key, S3": (
        xml(403, "InvalidAccessKeyId", "The AWS Access Key Id does not exist in our records."),
        "InvalidAccessKeyId.*; the site's key is wrong",
    ),
    "wrong secret, S3": (
        xml(403, "SignatureDoesNotMatch", "The request signature we calculated does not match"),
        "SignatureDoesNotMatch.*; the site's key is wrong",
    ),
    "no permission, S3": (
        access_denied(),
        "AccessDenied: Access Denied.*; the site's credentials do not permit it",
    ),
    "no permission, Azure": (
        xml(
            403,
            "AuthorizationPermissionMismatch",
            "This request is not authorized to perform this operation using this permission.",
        ),
        "; the site's credentials do not permit it: grant them what docs/clouds.md lists",
    ),
    "no permission, Google": (
        xml(403, "AccessDenied", "mcai@example.com does not have storage.objects.create access"),
        "storage.objects.create access.*; the site's credentials do not permit it",
    ),
    "expired, S3": (expired_token(), "ExpiredToken.*; the site's credentials have expired"),
    "expired, Azure": (
        xml(
            403,
            "AuthenticationFailed",
            "Signature not valid in the specified time frame: Start [...] - Expiry [...]",
        ),
        "; the site's credentials have expired: renew them",
    ),
    "throttled, S3": (unavailable(0), "503 Service Unavailable.*; the service is busy"),
    "throttled, Google": (too_many_requests(0), "429 Too Many Requests.*; the service is busy"),
    "broken": (internal_error(), "500 Internal Server Error.*; the service failed: run again"),
}


@pytest.fixture(scope="module")
def before_aws(clouds: Clouds) -> Iterator[Proxy]:
    clouds.start(["aws"])
    with Proxy(clouds["aws"].url) as proxy:
        yield proxy


@pytest.fixture
def proxy(before_aws: Proxy) -> Proxy:
    """A proxy in front of AWS that does nothing yet."""
    before_aws.clear()
    return before_aws


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(("answer", "message"), ANSWERS.values(), ids=ANSWERS)
def test_an_answer(
    proxy: Proxy, make_table: MakeTable, format: str, answer: Fault, message: str
) -> None:
    table = make_table("aws", format, site={"endpoint": proxy.url})
    proxy.inject(answer, times=None)
    fails(table, message)


@pytest.mark.parametrize("format", FORMATS)
def test_connections_that_are_cut(proxy: Proxy, make_table: MakeTable, format: str) -> None:
    table = make_table("aws", format, site={"endpoint": proxy.url})
    proxy.inject(Reset(), times=None)
    fails(table, "; the connection was lost or is too slow: check the network")


@pytest.mark.parametrize("format", FORMATS)
def test_a_bucket_that_may_only_be_read(proxy: Proxy, make_table: MakeTable, format: str) -> None:
    table = make_table("aws", format, site={"endpoint": proxy.url})
    table.write(WEEK)
    proxy.inject(access_denied(), method="PUT", times=None)
    fails(table, "; the site's credentials do not permit it")
    assert table.scan().collect().height == 2
    proxy.clear()
    table.write(WEEK)
    assert table.scan().collect().height == 4


@pytest.mark.parametrize("path", [r"_data/.*parquet", r"_iceberg/.*avro", r"metadata\.json"])
def test_whatever_may_not_be_written(proxy: Proxy, make_table: MakeTable, path: str) -> None:
    table = make_table("aws", "iceberg", site={"endpoint": proxy.url})
    table.write(WEEK)
    proxy.inject(access_denied(), method="PUT", path=path, times=None)
    fails(table, "; the site's credentials do not permit it")
    assert table.scan().collect().height == 2


def test_a_mirror_that_may_not_be_written(proxy: Proxy, make_table: MakeTable) -> None:
    table = make_table("aws", "iceberg", "delta", site={"endpoint": proxy.url})
    proxy.inject(access_denied(), method="PUT", path="_delta_log", times=None)
    message = "the delta mirror cannot follow .*AccessDenied.*do not permit it"
    with pytest.raises(LakeError, match=message):
        table.write(WEEK)
    assert table.scan().collect().height == 2


@pytest.mark.parametrize("format", FORMATS)
def test_no_credentials_at_all(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    table = make_table("aws", format, site={"credentials": "ambient"})
    fails(table, "; no credentials were found: give the site some, or run where it has an identity")


def test_a_catalog_with_a_wrong_password(make_table: MakeTable, postgres: Entry) -> None:
    address = postgres.env["MCAI_EMULATED_POSTGRES_URL"].partition("@")[2]
    uri = EnvString(f"postgresql://nobody:a-wrong-password@{address}/catalog_aws")
    table = make_table("aws", "iceberg", site={"catalog": Catalog(type="sql", uri=uri)})
    message = "the Iceberg catalog of site aws cannot be opened: .*; check its address, user"
    with pytest.raises(McaiError, match=message) as caught:
        table.scan()
    assert "a-wrong-password" not in str(caught.value)
