"""Each emulator speaks its cloud's protocol with clients that know nothing of us.

What the lakehouse needs of every object store: conditional writes of which one wins, multipart
uploads, ranged reads, listing, copying and deleting.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, cast

import boto3
import gcsfs
import httpx
import obstore
import psycopg2
import pytest
from azure.core.exceptions import ResourceExistsError
from azure.storage.blob import ContainerClient
from botocore.exceptions import ClientError
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from obstore.exceptions import AlreadyExistsError, PreconditionError
from obstore.store import AzureStore, GCSStore, ObjectStore, S3Store

from mcai_pipelines.emulators import Clouds, Entry
from mcai_pipelines.emulators.azure import ACCOUNT, CONTAINER, KEY
from mcai_pipelines.emulators.postgres import DATABASES
from mcai_pipelines.emulators.s3 import KEY_ID, SECRET
from tests.harness.proxy import Proxy

if TYPE_CHECKING:
    from obstore import UpdateVersion
    from obstore.store import ClientConfig

LARGE = os.urandom(12 << 20)
PARTS = 5 << 20
HTTP: ClientConfig = {"allow_http": True}

NOBODY = AnonymousCredentials()  # type: ignore[no-untyped-call]

OpenStore = Callable[[Entry], ObjectStore]


def s3_store(name: str) -> OpenStore:
    return lambda entry: S3Store(
        f"lake-{name}",
        endpoint=entry.url,
        region="us-east-1",
        access_key_id=KEY_ID,
        secret_access_key=SECRET,
        client_options=HTTP,
    )


def azure_store(entry: Entry) -> ObjectStore:
    return AzureStore(
        CONTAINER,
        account_name=ACCOUNT,
        account_key=KEY,
        endpoint=entry.url,
        client_options=HTTP,
    )


def gcp_store(entry: Entry, url: str | None = None) -> ObjectStore:
    empty = {"client_email": "", "private_key": "", "private_key_id": ""}
    key = json.dumps({"gcs_base_url": url or entry.url, "disable_oauth": True, **empty})
    return GCSStore("lake-gcp", config={"service_account_key": key}, client_options=HTTP)


STORES: dict[str, OpenStore] = {
    "aws": s3_store("aws"),
    "azure": azure_store,
    "gcp": gcp_store,
    "private": s3_store("private"),
}


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, clouds: Clouds) -> ObjectStore:
    """An object store client for each cloud: the one of Polars and delta-rs."""
    clouds.start([request.param])
    return STORES[request.param](clouds[request.param])


def test_an_object_comes_back_whole_and_in_ranges(store: ObjectStore, prefix: str) -> None:
    path = f"{prefix}/key with spaces, ü and 50%.parquet"
    obstore.put(store, path, LARGE, chunk_size=PARTS)  # in parts
    assert bytes(obstore.get(store, path).bytes()) == LARGE
    assert (
        bytes(obstore.get_range(store, path, start=7_000_000, length=99))
        == (LARGE[7_000_000:7_000_099])
    )
    assert obstore.head(store, path)["size"] == len(LARGE)


def test_of_many_who_create_one_object_one_succeeds(store: ObjectStore, prefix: str) -> None:
    path = f"{prefix}/_delta_log/1.json"

    def create(writer: int) -> int | None:
        try:
            obstore.put(store, path, f"{writer}".encode(), mode="create", use_multipart=False)
        except AlreadyExistsError:
            return None
        return writer

    with ThreadPoolExecutor(16) as threads:
        (winner,) = [w for w in threads.map(create, range(32)) if w is not None]
    assert bytes(obstore.get(store, path).bytes()) == f"{winner}".encode()


def test_a_stale_update_is_refused(store: ObjectStore, prefix: str) -> None:
    path = f"{prefix}/pointer"
    put = obstore.put(store, path, b"1")
    seen = cast("UpdateVersion", {name: value for name, value in put.items() if value is not None})
    obstore.put(store, path, b"2", mode=seen, use_multipart=False)
    with pytest.raises(PreconditionError):
        obstore.put(store, path, b"3", mode=seen, use_multipart=False)
    assert bytes(obstore.get(store, path).bytes()) == b"2"


def test_listing_copying_and_deleting(store: ObjectStore, prefix: str) -> None:
    for name in ("a/1", "a/2", "b"):
        obstore.put(store, f"{prefix}/{name}", name.encode())
    obstore.copy(store, f"{prefix}/b", f"{prefix}/c")
    obstore.delete(store, f"{prefix}/a/2")

    def listed(after: str | None = None) -> list[str]:
        pages = obstore.list(store, prefix, offset=after)
        return sorted(meta["path"] for page in pages for meta in page)

    assert listed() == [f"{prefix}/{name}" for name in ("a/1", "b", "c")]
    assert listed(after=f"{prefix}/b") == [f"{prefix}/c"]
    level = obstore.list_with_delimiter(store, prefix)
    assert list(level["common_prefixes"]) == [f"{prefix}/a"]
    assert bytes(obstore.get(store, f"{prefix}/c").bytes()) == b"b"
    with pytest.raises(FileNotFoundError):
        obstore.get(store, f"{prefix}/a/2")


@pytest.mark.parametrize("store", ["aws", "gcp"], indirect=True)
def test_a_list_of_many_pages(store: ObjectStore, prefix: str) -> None:
    names = [f"{prefix}/{number:04}" for number in range(1100)]
    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda name: obstore.put(store, name, b"", use_multipart=False), names))
    found = [meta["path"] for page in obstore.list(store, prefix) for meta in page]
    assert sorted(found) == names


@pytest.mark.parametrize("name", ["aws", "private"])
def test_s3_with_boto3(clouds: Clouds, name: str, prefix: str) -> None:
    clouds.start([name])
    s3 = boto3.client(
        "s3",
        endpoint_url=clouds[name].url,
        region_name="us-east-1",
        aws_access_key_id=KEY_ID,
        aws_secret_access_key=SECRET,
    )
    bucket, key = f"lake-{name}", f"{prefix}/key"
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    parts = [
        {
            "PartNumber": number,
            "ETag": s3.upload_part(
                Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=body
            )["ETag"],
        }
        for number, body in enumerate((LARGE[:PARTS], LARGE[PARTS:]), 1)
    ]
    s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
    )
    got = s3.get_object(Bucket=bucket, Key=key, Range="bytes=10-19")["Body"].read()
    assert got == LARGE[10:20]
    with pytest.raises(ClientError) as refused:
        s3.put_object(Bucket=bucket, Key=key, Body=b"", IfNoneMatch="*")
    assert refused.value.response["Error"]["Code"] == "PreconditionFailed"


def test_glue_and_sts_with_boto3(aws: Entry, prefix: str) -> None:
    options = {
        "endpoint_url": aws.url,
        "region_name": "us-east-1",
        "aws_access_key_id": KEY_ID,
        "aws_secret_access_key": SECRET,
    }
    glue, name = boto3.client("glue", **options), prefix.replace("-", "_")
    glue.create_database(DatabaseInput={"Name": name})
    assert name in [found["Name"] for found in glue.get_databases()["DatabaseList"]]
    role = boto3.client("sts", **options).assume_role(
        RoleArn="arn:aws:iam::123456789012:role/lake", RoleSessionName="test"
    )
    assert role["Credentials"]["SessionToken"]


def test_azure_with_its_own_client(azure: Entry, prefix: str) -> None:
    container = ContainerClient(azure.url, CONTAINER, credential=KEY)
    blob = container.get_blob_client(f"{prefix}/blob")
    blob.upload_blob(LARGE, max_concurrency=2)
    assert blob.download_blob(offset=10, length=10).readall() == LARGE[10:20]
    with pytest.raises(ResourceExistsError):
        blob.upload_blob(b"", overwrite=False)
    assert [found.name for found in container.list_blobs(prefix)] == [f"{prefix}/blob"]


def test_google_with_its_own_client(gcp: Entry, prefix: str) -> None:
    client = storage.Client("emulated", NOBODY, client_options={"api_endpoint": gcp.url})
    blob = client.bucket("lake-gcp").blob(f"{prefix}/object")
    blob.chunk_size = PARTS  # a resumable upload
    blob.upload_from_string(LARGE)
    assert blob.download_as_bytes(start=10, end=19) == LARGE[10:20]
    assert [found.name for found in client.list_blobs("lake-gcp", prefix=prefix)] == [blob.name]
    blob.delete()
    assert not blob.exists()


def test_google_with_gcsfs_and_the_xml_api(gcp: Entry, prefix: str) -> None:
    files = gcsfs.GCSFileSystem(token="anon", endpoint_url=gcp.url)
    with files.open(f"lake-gcp/{prefix}/object", "wb") as output:
        output.write(LARGE)
    store = gcp_store(gcp)
    assert bytes(obstore.get(store, f"{prefix}/object").bytes()) == LARGE
    obstore.put(store, f"{prefix}/other", LARGE)
    assert files.cat_file(f"lake-gcp/{prefix}/other", start=10, end=20) == LARGE[10:20]


def test_google_under_another_address(gcp: Entry, prefix: str) -> None:
    with Proxy(gcp.url) as proxy:
        client = storage.Client("emulated", NOBODY, client_options={"api_endpoint": proxy.url})
        blob = client.bucket("lake-gcp").blob(f"{prefix}/object")
        blob.chunk_size = PARTS
        blob.upload_from_string(LARGE)
        assert bytes(obstore.get(gcp_store(gcp, proxy.url), blob.name).bytes()) == LARGE
        assert sum(exchange.sent for exchange in proxy.log) >= len(LARGE)
        assert proxy.bytes_fetched(prefix) >= len(LARGE)


def test_an_upload_to_google_that_is_given_up_leaves_nothing(gcp: Entry, prefix: str) -> None:
    url = f"{gcp.url}/lake-gcp/{prefix}/object"
    with httpx.Client(trust_env=False) as client:
        begun = client.post(url, params={"uploads": ""})
        upload = begun.text.partition("<UploadId>")[2].partition("</UploadId>")[0]
        part = {"partNumber": "1", "uploadId": upload}
        assert client.put(url, params=part, content=b"1").status_code == 200
        assert client.delete(url, params={"uploadId": upload}).status_code == 204
        assert client.get(url).status_code == 404
        late = client.put(url, params=part, content=b"1")
        assert (late.status_code, "NoSuchUpload" in late.text) == (404, True)
        done = client.post(url, params={"uploadId": upload}, content=b"<a/>")
        assert done.status_code == 404


def test_postgres_holds_a_database_for_each_use(clouds: Clouds, postgres: Entry) -> None:
    address = clouds.env["MCAI_EMULATED_POSTGRES_URL"]
    for name in DATABASES:
        with psycopg2.connect(f"{address}/{name}") as connection, connection.cursor() as cursor:
            cursor.execute("SELECT current_database()")
            assert cursor.fetchone() == (name,)
        connection.close()


def test_postgres_asks_for_its_password(clouds: Clouds, postgres: Entry) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password"):
        psycopg2.connect(f"{postgres.url}/mcai")
