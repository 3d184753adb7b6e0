"""No secret gets out: not in logs, errors, reprs, metadata or files, whatever goes wrong."""

from __future__ import annotations

import base64
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import obstore
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcai_pipelines.config import Catalog, EnvString
from mcai_pipelines.emulators import Clouds
from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.failures import as_storage_error
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.providers import manners, open_site
from mcai_pipelines.providers.secrets import HIDDEN, chain, redact, remember
from tests.harness.faults import LoseAnswer, Reset, expired_token, unavailable
from tests.harness.proxy import Proxy
from tests.providers.conftest import MakeTable, make_site, table_at
from tests.providers.rest_server import RestServer

WEEK = pl.DataFrame({"units": [1, 2]})

SECRETS = {
    "MCAI_EMULATED_KEY_ID": "AKIAFAKEFORTHESCAN00",
    "MCAI_EMULATED_SECRET": "fake/secret+for=the/scan",
    "TOKEN": "fake-session-token-for-the-scan",
    "CATALOG_CLIENT": "fake-client:fake-client-secret-for-the-scan",
    "PROXY_PASSWORD": "fake-proxy-password-for-the-scan",
    "AZURE_WRONG_KEY": base64.b64encode(b"fake-azure-key-for-the-scan").decode(),
    "AZURE_SAS": "sv=2026-01-01&sp=rwdl&sig=fakesignatureforthescan%3D",
    "GCP_KEY": json.dumps(
        {
            "client_email": "mcai@example.com",
            "private_key": "-----BEGIN PRIVATE KEY-----\nfakeprivatekeyforthescan",
            "private_key_id": "fake-private-key-id-for-the-scan",
        }
    ),
    "PG": "fake-postgres-password-for-the-scan",
}
NEEDLES = [
    "AKIAFAKEFORTHESCAN00",
    "fake/secret+for=the/scan",
    "fake%2Fsecret",
    "fake-session-token",
    "fake-client-secret",
    "fake-proxy-password",
    base64.b64encode(b"fake-azure-key-for-the-scan").decode(),
    "fakesignatureforthescan",
    "fakeprivatekeyforthescan",
    "fake-private-key-id",
    "fake-postgres-password",
    "token-0-of-the-rest-server",
]


def found_in(text: str) -> list[str]:
    return [needle for needle in NEEDLES if needle in text]


@dataclass
class Scan:
    """Everything that a user, a log or a database may get to see, as text."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def add(self, where: str, text: object) -> None:
        self.seen.append((where, str(text)))

    def error(self, error: BaseException) -> None:
        """An error in every form that a log keeps of one."""
        self.add("traceback", "".join(traceback.format_exception(error)))
        for part in chain(error):
            self.add("error", f"{part} {part!r} {part.args!r} {vars(part)}")

    def table(self, table: Table) -> None:
        """Every object of a table's, and every byte that it wrote."""
        storage = table.storage
        self.add("repr", f"{table!r} {storage!r} {storage.store!r} {vars(table)}")
        for page in storage.store.list():
            for item in page:
                data = bytes(obstore.get(storage.store, item["path"]).bytes())
                self.add(item["path"], data.decode("latin-1"))
        self.add("history", table.history())
        self.add("info", table.info())

    def leaks(self) -> list[tuple[str, list[str]]]:
        return [(where, found) for where, text in self.seen if (found := found_in(text))]


@pytest.fixture
def scan(caplog: pytest.LogCaptureFixture) -> Iterator[Scan]:
    """Scans what the test adds, and every log record of every library, at the end."""
    scan = Scan()
    with caplog.at_level(logging.DEBUG):
        yield scan
    records = caplog.get_records("call")
    assert records
    for record in records:
        scan.add(f"log of {record.name}", f"{record.getMessage()} {record.exc_text or ''}")
    assert scan.seen
    assert scan.leaks() == []


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manners, "RETRIES", 1)


S3 = {
    "access_key_id": EnvString("${MCAI_EMULATED_KEY_ID}"),
    "secret_access_key": EnvString("${MCAI_EMULATED_SECRET}"),
    "session_token": EnvString("${TOKEN}"),
}


@pytest.mark.parametrize("kind", ["sql", "glue", "rest"])
def test_writes_and_failures_of_s3(
    clouds: Clouds, make_table: MakeTable, tmp_path: Path, scan: Scan, kind: str
) -> None:
    clouds.start(["aws"])
    logging.getLogger("mcai_pipelines").debug("so that there is a record")
    plain = open_site(make_site("aws"), "rest", clouds.env).table(("t",))
    client = SECRETS["CATALOG_CLIENT"]
    with Proxy(clouds["aws"].url) as proxy, RestServer(tmp_path, plain.file_io, client) as rest:
        catalogs = {
            "sql": Catalog(type="sql", uri=EnvString(f"sqlite:///{tmp_path}/scan.db")),
            "glue": Catalog(type="glue", uri=EnvString(proxy.url)),
            "rest": Catalog(
                type="rest", uri=EnvString(rest.url), credential=EnvString("${CATALOG_CLIENT}")
            ),
        }
        site = {"endpoint": proxy.url, "credentials": S3, "catalog": catalogs[kind]}
        table = make_table("aws", "iceberg", "delta", site=site, env=SECRETS)
        table.write(WEEK)
        for fault in (LoseAnswer(), expired_token(), unavailable(0), Reset()):
            proxy.inject(fault, path="_iceberg|_delta_log|AWSGlue|^/$", times=4)
            for act in (lambda: table.write(WEEK), lambda: table.scan().collect()):
                with_errors(scan, act)
            proxy.clear()
        scan.table(table)
        catalog = table.storage.catalog()
        loaded = catalog.load_table(table.storage.identifier)
        scan.add("catalog", f"{catalog!r} {catalog.properties} {loaded!r} {loaded.io.properties}")
        scan.add("pickled", pickle.dumps(loaded.io))


def with_errors(scan: Scan, act: Callable[[], object]) -> None:
    try:
        act()
    except Exception as error:
        scan.error(error)


FAILING: dict[str, tuple[str, dict[str, Any]]] = {
    "azure, wrong key": (
        "azure",
        {"credentials": {"account_key": EnvString("${AZURE_WRONG_KEY}")}},
    ),
    "azure, wrong signature": ("azure", {"credentials": {"sas_token": EnvString("${AZURE_SAS}")}}),
    "azure, nobody there": (
        "azure",
        {
            "credentials": {"sas_token": EnvString("${AZURE_SAS}")},
            "endpoint": "http://127.0.0.1:1/devstoreaccount1",
        },
    ),
    "google, a wrong key": (
        "gcp",
        {"credentials": {"service_account_key": EnvString("${GCP_KEY}")}, "endpoint": None},
    ),
    "a proxy that is not there": (
        "aws",
        {"proxy": "http://mcai:${PROXY_PASSWORD}@127.0.0.1:1", "endpoint": "http://192.0.2.1"},
    ),
    "no such bucket": ("aws", {"storage": "s3://no-such-bucket/tables", "credentials": S3}),
    "a catalog that is not there": (
        "aws",
        {
            "catalog": Catalog(
                type="sql", uri=EnvString("postgresql://mcai:${PG}@127.0.0.1:1/catalog")
            ),
        },
    ),
}


@pytest.mark.parametrize("format", ["iceberg", "delta"])
@pytest.mark.parametrize(("cloud", "changes"), FAILING.values(), ids=FAILING)
def test_failures_elsewhere(
    clouds: Clouds,
    make_table: MakeTable,
    scan: Scan,
    cloud: str,
    changes: Mapping[str, Any],
    format: str,
) -> None:
    logging.getLogger("mcai_pipelines").debug("so that there is a record")
    errors = 0
    acts: tuple[Callable[[Table], object], ...] = (
        lambda table: table.write(WEEK),
        lambda table: table.scan().collect(),
    )
    for act in acts:
        try:
            table = make_table(cloud, format, site=changes, env=SECRETS)
            scan.add("repr", f"{table.storage!r} {vars(table)}")
            act(table)
        except Exception as error:
            errors += 1
            scan.error(error)
    assert errors or (cloud, format) == ("aws", "delta")  # which asks no catalog


def test_a_platform_shows_no_secret() -> None:
    sites = {
        "aws": make_site("aws", credentials=S3),
        "azure": make_site("azure", credentials={"sas_token": EnvString("${AZURE_SAS}")}),
    }
    for site in sites.values():
        env = {**SECRETS, "MCAI_EMULATED_AWS_URL": "http://x.test"}
        env["MCAI_EMULATED_AZURE_URL"] = "http://x.test"
        storage = open_site(site, "main", env)
        table = table_at(storage.table(("t",)), "delta")
        shown = f"{site!r} {site.model_dump()} {storage!r} {storage.table(('t',))!r} {table!r}"
        assert found_in(shown) == []


# ---------------------------------------------------------------- redaction


@pytest.mark.parametrize(
    "text",
    [
        "GET https://acme.blob.core.windows.net/lake/a?sv=1&sig=NEEDLE%3D failed",
        "postgresql://mcai:NEEDLE@db.example.com/catalog",
        "http://mcai:NEEDLE@proxy.example.com:3128",
        "Authorization: Bearer NEEDLE",
        "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=NEEDLE==;EndpointSuffix=x",
        "SharedAccessSignature=NEEDLE",
        'Credential=NEEDLE/20260101/us-east-1/s3/aws4_request, Signature=NEEDLE"',
        '{"client_secret": "NEEDLE"}',
        "x-amz-security-token: NEEDLE",
        "<AWSAccessKeyId>AKIANEEDLENEEDLE0000</AWSAccessKeyId>",
        "-----BEGIN RSA PRIVATE KEY-----\nNEEDLE\n-----END RSA PRIVATE KEY-----",
        "'aws_secret_access_key': 'NEEDLE'",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    shown = redact(text.replace("NEEDLE", "NEEDLENEEDLE"))
    assert HIDDEN in shown
    assert "NEEDLENEEDLE" not in shown


@pytest.mark.parametrize(
    "text",
    [
        "abfss://lake@acme.dfs.core.windows.net/tables/main/retail/sales",
        "PUT https://s3.example.com/lake/_delta_log/00000000000000000001.json was answered 403",
        "the token of the site has expired; see https://example.com/docs",
        "column 'password_hash' is not in the table",
    ],
)
def test_what_does_not_is_left_alone(text: str) -> None:
    assert redact(text) == text


@given(
    secret=st.text(st.characters(codec="ascii", categories=["L", "N", "P"]), min_size=12),
    before=st.text(max_size=20),
)
def test_a_secret_that_was_resolved_is_never_shown(secret: str, before: str) -> None:
    remember(secret)
    assert secret not in redact(f"{before}{secret}{before}")
    assert json.dumps(secret)[1:-1] not in redact(json.dumps({"a": secret}))


@pytest.mark.parametrize("kind", [RuntimeError, OSError])
def test_an_error_is_cleaned_with_all_that_led_to_it(kind: type[Exception]) -> None:
    secret = "-".join(("the", "secret", "in", "a", "chain"))  # or a traceback's source shows it
    remember(secret)

    def fail() -> None:
        try:
            try:
                raise ConnectionError(f"GET https://x.test/?sig=abcdefghi: {secret}")
            except ConnectionError as error:
                raise kind(13, secret, "file") from error
        except kind:
            raise McaiError(f"opening with {secret}") from None

    with pytest.raises(McaiError) as caught, as_storage_error("t"):
        fail()
    assert secret not in "".join(traceback.format_exception(caught.value))
    parts = list(chain(caught.value))
    assert all(secret not in f"{part} {part.args}" for part in parts)
    assert "abcdefghi" not in str(parts)
    # The text of an OSError is made from its attributes, so it is cut off.
    assert len(parts) == (1 if kind is OSError else 3)
