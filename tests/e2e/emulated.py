"""Plain delta-rs and plain PyIceberg on the emulated clouds: an address and storage options.

Nothing here comes from our providers: the options are those that each library documents.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import polars as pl
from deltalake import DeltaTable
from pyiceberg.table import StaticTable

FSSPEC = "pyiceberg.io.fsspec.FsspecFileIO"


def delta_options(uri: str, env: Mapping[str, str]) -> dict[str, str]:
    """What delta-rs is told about the store of a URI."""
    if uri.startswith("s3://"):
        site = "PRIVATE" if uri.startswith("s3://lake-private/") else "AWS"
        return {
            "aws_endpoint": env[f"MCAI_EMULATED_{site}_URL"],
            "aws_allow_http": "true",
            "aws_region": "us-east-1",
            "aws_access_key_id": env["MCAI_EMULATED_KEY_ID"],
            "aws_secret_access_key": env["MCAI_EMULATED_SECRET"],
        }
    if uri.startswith("gs://"):
        key = {"gcs_base_url": env["MCAI_EMULATED_GCP_URL"], "disable_oauth": True}
        key |= {"client_email": "", "private_key": "", "private_key_id": ""}
        return {"google_service_account_key": json.dumps(key), "allow_http": "true"}
    return {
        "azure_storage_account_name": "devstoreaccount1",
        "azure_storage_account_key": env["MCAI_EMULATED_AZURE_KEY"],
        "azure_storage_endpoint": env["MCAI_EMULATED_AZURE_URL"],
        "allow_http": "true",
    }


def iceberg_properties(uri: str, env: Mapping[str, str]) -> dict[str, str]:
    """What PyIceberg is told about the store of a URI."""
    if uri.startswith("s3://"):
        site = "PRIVATE" if uri.startswith("s3://lake-private/") else "AWS"
        return {
            "s3.endpoint": env[f"MCAI_EMULATED_{site}_URL"],
            "s3.region": "us-east-1",
            "s3.access-key-id": env["MCAI_EMULATED_KEY_ID"],
            "s3.secret-access-key": env["MCAI_EMULATED_SECRET"],
        }
    if uri.startswith("gs://"):
        return {
            "py-io-impl": FSSPEC,
            "gcs.service.host": env["MCAI_EMULATED_GCP_URL"],
            "gcs.project-id": "emulated",
            "gcs.oauth2.token": "anon",
        }
    blobs, key = env["MCAI_EMULATED_AZURE_URL"], env["MCAI_EMULATED_AZURE_KEY"]
    account = f"AccountName=devstoreaccount1;AccountKey={key};BlobEndpoint={blobs}"
    connection = f"DefaultEndpointsProtocol=http;{account}"
    return {"py-io-impl": FSSPEC, "adls.connection-string": connection}


def plain_delta(
    uri: str, env: Mapping[str, str], columns: Sequence[str] | None = None
) -> pl.LazyFrame:
    """A Delta table, or some columns of it, as delta-rs reads it."""
    table = DeltaTable(uri, storage_options=delta_options(uri, env))
    return pl.LazyFrame(table.to_pyarrow_table(columns=None if columns is None else [*columns]))


def plain_iceberg(
    metadata: str, env: Mapping[str, str], columns: Sequence[str] = ("*",)
) -> pl.LazyFrame:
    """An Iceberg table, or some columns of it, as PyIceberg reads it."""
    table = StaticTable.from_metadata(metadata, iceberg_properties(metadata, env))
    return pl.LazyFrame(table.scan(selected_fields=tuple(columns)).to_arrow())
