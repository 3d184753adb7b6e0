"""What steps print, kept in a site's object store by the cloud's own compute-log manager."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest
import yaml
from moto.server import ThreadedMotoServer

from mcai_pipelines.cli.compute_logs import compute_logs
from mcai_pipelines.cli.instance import ensure_instance, open_instance
from mcai_pipelines.config import Platform, load_platform
from mcai_pipelines.errors import BadInput

SECRET = "fake-secret-3f9a61"
REGION = "eu-central-1"


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def platform_at(tmp_path: Path, site: str) -> Platform:
    """A platform with one site that keeps the compute logs."""
    file = tmp_path / "clouds.yaml"
    file.write_text(
        f"""\
namespace: dev
default_site: cloud
sites:
  cloud:
    region: {REGION}
    jurisdiction: DE
    kind: public
    format: delta
{site}
dagster:
  compute_logs: cloud
"""
    )
    return load_platform(file)


def s3_site(endpoint: str, keys: str = "AWS_") -> str:
    return f"""\
    provider: s3
    storage: "s3://logs/lake"
    endpoint: {endpoint}
    credentials:
      access_key_id: "${{{keys}ACCESS_KEY_ID}}"
      secret_access_key: "${{{keys}SECRET_ACCESS_KEY}}"
"""


@dg.op
def speak() -> None:
    print("said by a step")


@dg.job(executor_def=dg.in_process_executor)
def speaking() -> None:
    speak()


def test_what_a_step_prints_lies_in_the_sites_bucket(
    home: Path, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "fake")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    bucket = boto3.resource("s3", endpoint_url=s3, region_name=REGION).Bucket("logs")
    bucket.create(CreateBucketConfiguration={"LocationConstraint": REGION})

    folder = ensure_instance(platform_at(tmp_path, s3_site(s3)))
    assert SECRET not in (folder / "dagster.yaml").read_text()
    with open_instance(folder) as instance:
        assert type(instance.compute_log_manager).__name__ == "S3ComputeLogManager"
        assert speaking.execute_in_process(instance=instance).success

    texts = {item.key: item.get()["Body"].read().decode() for item in bucket.objects.all()}
    assert all(key.startswith("lake/_compute_logs/storage/") for key in texts)
    assert any("said by a step" in text for text in texts.values())


def test_keys_that_boto3_would_not_find_are_refused(tmp_path: Path) -> None:
    platform = platform_at(tmp_path, s3_site("https://s3.example", keys="FRANKFURT_"))
    with pytest.raises(BadInput, match=r"clouds\.yaml:13: .*standard variables only; use ambient"):
        compute_logs(platform, {})


AZURE = """\
    provider: azure
    storage: "abfss://lake@${{ACCOUNT}}.dfs.core.windows.net/tables"
    credentials: {credentials}
"""


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ("workload-identity", {"default_azure_credential": {}}),
        ('{account_key: "${AZURE_KEY}"}', {"access_key_or_sas_token": {"env": "AZURE_KEY"}}),
        (
            '{client_id: "${ID}", client_secret: "${SECRET}", tenant_id: "${TENANT}"}',
            {
                "secret_credential": {
                    "client_id": {"env": "ID"},
                    "client_secret": {"env": "SECRET"},
                    "tenant_id": {"env": "TENANT"},
                }
            },
        ),
    ],
)
def test_azure(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    credentials: str,
    expected: dict[str, Any],
) -> None:
    monkeypatch.setenv("ACCOUNT", "acme")
    for name in ("AZURE_KEY", "ID", "SECRET", "TENANT"):
        monkeypatch.setenv(name, "c2VjcmV0")
    platform = platform_at(tmp_path, AZURE.format(credentials=credentials))

    folder = ensure_instance(platform)

    settings = yaml.safe_load((folder / "dagster.yaml").read_text())["compute_logs"]
    assert settings["config"] == {
        "storage_account": "acme",
        "container": "lake",
        "prefix": "tables/_compute_logs",
        "endpoint_suffix": "core.windows.net",
        **expected,
    }
    with open_instance(folder) as instance:
        assert type(instance.compute_log_manager).__name__ == "AzureBlobComputeLogManager"


def test_azure_behind_an_endpoint_is_refused(tmp_path: Path) -> None:
    site = AZURE.format(credentials="ambient") + "    endpoint: https://blob.example\n"
    with pytest.raises(BadInput, match=r"by its name only, not by an endpoint; name another site"):
        compute_logs(platform_at(tmp_path, site), {"ACCOUNT": "acme"})


@pytest.mark.parametrize(
    ("credentials", "expected"),
    [
        ("ambient", {}),
        ('{service_account_key: "${KEY}"}', {"json_credentials_envvar": "KEY"}),
        ('{service_account_file: "${GOOGLE_APPLICATION_CREDENTIALS}"}', {}),
    ],
)
def test_google_cloud(tmp_path: Path, credentials: str, expected: dict[str, Any]) -> None:
    site = f"    provider: gcp\n    storage: gs://lake\n    credentials: {credentials}\n"
    found = compute_logs(platform_at(tmp_path, site), {})
    assert found is not None
    assert found["class"] == "GCSComputeLogManager"
    assert found["config"] == {"bucket": "lake", "prefix": "_compute_logs", **expected}


def test_a_key_file_under_another_name_is_refused(tmp_path: Path) -> None:
    site = (
        "    provider: gcp\n    storage: gs://lake\n"
        '    credentials: {service_account_file: "${FILE}"}\n'
    )
    with pytest.raises(BadInput, match="GOOGLE_APPLICATION_CREDENTIALS"):
        compute_logs(platform_at(tmp_path, site), {})


def test_a_credential_that_is_not_one_variable_is_refused(tmp_path: Path) -> None:
    platform = platform_at(tmp_path, AZURE.format(credentials='{sas_token: "sv=${A}&sig=${B}"}'))
    with pytest.raises(BadInput, match=r"clouds\.yaml:11: .*into one variable"):
        compute_logs(platform, {"ACCOUNT": "acme"})
