"""Sites on the emulated clouds, and tables there."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mcai_pipelines.config import Catalog, EnvString, Site
from mcai_pipelines.emulators import Clouds
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.iceberg import IcebergLog
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import Log
from mcai_pipelines.providers import TableStorage, open_site, secrets

CLOUDS = ("aws", "azure", "gcp", "private")
BOTH = [("iceberg", "delta"), ("delta", "iceberg")]
"""Primary and mirror, both ways."""

_S3_KEYS = {
    "access_key_id": EnvString("${MCAI_EMULATED_KEY_ID}"),
    "secret_access_key": EnvString("${MCAI_EMULATED_SECRET}"),
}
_SITES: dict[str, dict[str, Any]] = {
    "aws": {
        "provider": "aws",
        "region": "us-east-1",
        "storage": "s3://lake-aws/tables",
        "endpoint": "${MCAI_EMULATED_AWS_URL}",
        "credentials": _S3_KEYS,
    },
    "azure": {
        "provider": "azure",
        "region": "westeurope",
        "storage": "abfss://lake@devstoreaccount1.dfs.core.windows.net/tables",
        "endpoint": "${MCAI_EMULATED_AZURE_URL}",
        "credentials": {"account_key": EnvString("${MCAI_EMULATED_AZURE_KEY}")},
    },
    "gcp": {
        "provider": "gcp",
        "region": "asia-southeast1",
        "storage": "gs://lake-gcp/tables",
        "endpoint": "${MCAI_EMULATED_GCP_URL}",
        "credentials": "anonymous",
    },
    "private": {
        "provider": "s3",
        "region": "frankfurt",
        "storage": "s3://lake-private/tables",
        "endpoint": "${MCAI_EMULATED_PRIVATE_URL}",
        "credentials": _S3_KEYS,
    },
}


def make_site(cloud: str, **changes: Any) -> Site:
    """A site of an emulated cloud; without a catalog unless one is given."""
    fields = {**_SITES[cloud], "format": "delta", **changes}
    for key in ("storage", "endpoint", "ca_file", "proxy"):
        if isinstance(fields.get(key), str):
            fields[key] = EnvString(fields[key])
    return Site(name=cloud, jurisdiction="DE", kind="public", **fields)


def sql_catalog(folder: Path) -> Catalog:
    return Catalog(type="sql", uri=EnvString(f"sqlite:///{folder}/catalog.db"))


def table_at(
    storage: TableStorage, primary: str, mirror: str | None = None, **options: Any
) -> Table:
    """A table with its logs."""
    mirror_log = _log(mirror, storage) if mirror else None
    return Table(
        "/".join(storage.identifier[1:]), storage, _log(primary, storage), mirror_log, **options
    )


def _log(format: str, storage: TableStorage) -> Log:
    return IcebergLog(storage) if format == "iceberg" else DeltaLog(storage)


def foreign_options(table: Table) -> tuple[dict[str, str], dict[str, str]]:
    """What plain delta-rs and plain PyIceberg need to open a table: storage options only."""
    storage = table.storage
    delta = {
        name: value
        for name, value in (storage.delta_options or {}).items()
        if "retr" not in name and "backoff" not in name
    }
    if storage.uri.startswith("s3://"):
        return delta, {
            "s3.endpoint": delta["aws_endpoint_url"],
            "s3.access-key-id": delta["aws_access_key_id"],
            "s3.secret-access-key": delta["aws_secret_access_key"],
            "s3.region": delta["aws_region"],
        }
    if storage.uri.startswith("abfss://"):
        blob = delta["azure_storage_endpoint"]
        account, key = (delta[f"azure_storage_account_{part}"] for part in ("name", "key"))
        connection = (
            f"DefaultEndpointsProtocol=http;AccountName={account};AccountKey={key};"
            f"BlobEndpoint={blob};"
        )
        return delta, {"adls.connection-string": connection}
    host = json.loads(delta["google_service_account_key"])["gcs_base_url"]
    return delta, {
        "gcs.service.host": host,
        "py-io-impl": "pyiceberg.io.fsspec.FsspecFileIO",
    }


@pytest.fixture(params=CLOUDS)
def cloud(request: pytest.FixtureRequest, clouds: Clouds) -> str:
    """Each emulated cloud in turn, running."""
    name: str = request.param
    clouds.start([name])
    return name


@pytest.fixture(autouse=True)
def forget_the_secrets_of_other_tests() -> None:
    """What one test resolved may be a word that another expects in a message."""
    secrets._remembered.clear()


MakeTable = Callable[..., Table]


@pytest.fixture
def make_table(clouds: Clouds, tmp_path: Path) -> MakeTable:
    """Tables on a cloud, in a namespace of the test's own."""
    namespace = f"test-{uuid4().hex[:12]}"

    def make(
        cloud: str,
        primary: str,
        mirror: str | None = None,
        *,
        key: tuple[str, ...] = ("retail", "sales"),
        site: Mapping[str, Any] | None = None,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Table:
        clouds.start([cloud])
        catalog = sql_catalog(tmp_path)
        place = make_site(cloud, **{"catalog": catalog, **(site or {})})
        storage = open_site(place, namespace, {**clouds.env, **(env or {})}).table(key)
        return table_at(storage, primary, mirror, **options)

    return make
