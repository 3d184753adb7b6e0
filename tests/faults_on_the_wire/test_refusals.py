"""Storage that refuses us: the error says what to mend, and the last version stays readable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from mcai_pipelines.emulators import Clouds
from mcai_pipelines.lakehouse.failures import StorageFailed
from mcai_pipelines.lakehouse.replicate import replicate
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.providers import open_site
from tests.faults_on_the_wire.conftest import MakeScene
from tests.faults_on_the_wire.scene import NEW, OPERATIONS, Scene, frame, rows_of
from tests.harness.faults import Answer, access_denied
from tests.providers.conftest import CLOUDS, make_site, table_at

WRITING = [name for name in OPERATIONS if name not in ("mirror", "scan")]
EACH_CLOUD = list(zip(CLOUDS, ("iceberg", "delta", "delta", "iceberg"), strict=True))


def refusal(status: int, code: str, message: str) -> Answer:
    body = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, body, {"Content-Type": "application/xml", "x-ms-error-code": code})


@pytest.mark.parametrize(("cloud", "primary"), EACH_CLOUD)
def test_a_bucket_without_write_permission(make_scene: MakeScene, cloud: str, primary: str) -> None:
    scene = make_scene(cloud, primary)
    for method in ("PUT", "POST", "DELETE"):
        scene.proxy.inject(access_denied(), method=method, times=None)
    for name in WRITING:
        message = scene.fails(OPERATIONS[name])
        assert "do not permit it: grant them what docs/clouds.md lists" in message
        assert rows_of(scene.table) == sorted(scene.rows), "it can still be read"
    scene.assert_next_write_works()


@pytest.mark.parametrize(
    ("cloud", "primary", "answer", "advice"),
    [
        (
            "aws",
            "iceberg",
            refusal(301, "PermanentRedirect", "Address the bucket at the specified endpoint."),
            "another region: correct the site's region",
        ),
        (
            "private",
            "delta",
            refusal(
                400,
                "AuthorizationHeaderMalformed",
                "The authorization header is malformed; the region is wrong; expecting 'eu-west-1'",
            ),
            "another region: correct the site's region",
        ),
        (
            "aws",
            "delta",
            refusal(403, "InvalidAccessKeyId", "The AWS Access Key Id does not exist."),
            "key is wrong",
        ),
        (
            "private",
            "iceberg",
            refusal(403, "SignatureDoesNotMatch", "The signature does not match."),
            "key is wrong",
        ),
        ("gcp", "iceberg", refusal(401, "Unauthorized", "Invalid Credentials"), "key is wrong"),
    ],
    ids=["redirect", "wrong region", "unknown key", "wrong secret", "no token"],
)
def test_a_service_that_refuses(
    make_scene: MakeScene, cloud: str, answer: Answer, advice: str, primary: str
) -> None:
    scene = make_scene(cloud, primary)
    scene.proxy.inject(answer, times=None)
    for name in ("append", "compact", "scan"):
        assert advice in scene.fails(OPERATIONS[name]), name
    scene.assert_next_write_works()


def reopened(scene: Scene, clouds: Clouds, env: dict[str, str], **site: Any) -> Table:
    """The scene's table as another platform file would open it."""
    namespace = scene.reader.storage.identifier[0]
    place = make_site(scene.cloud, **{"endpoint": scene.proxy.url, **site})
    storage = open_site(place, namespace, {**clouds.env, **env}).table(("retail", "sales"))
    return table_at(storage, "delta", partition_by=["p"])


def test_a_wrong_key_on_azure(make_scene: MakeScene, clouds: Clouds) -> None:
    scene = make_scene("azure", "delta")
    wrong = "YS13cm9uZy1rZXktZm9yLXRoZS1hY2NvdW50"
    table = reopened(scene, clouds, {"MCAI_EMULATED_AZURE_KEY": wrong})
    attempts: dict[str, Callable[[], object]] = {
        "reading": table.scan,
        "writing": lambda: table.write(frame(NEW)),
    }
    for doing, attempt in attempts.items():
        with pytest.raises(StorageFailed, match=f"{doing} at site azure: .*key is wrong") as caught:
            attempt()
        assert wrong not in str(caught.value)
    scene.assert_next_write_works()


@pytest.mark.parametrize(
    ("cloud", "storage"),
    [
        ("aws", "s3://no-such-bucket/tables"),
        ("private", "s3://no-such-bucket/tables"),
        ("azure", "abfss://no-such-bucket@devstoreaccount1.dfs.core.windows.net/tables"),
        ("gcp", "gs://no-such-bucket/tables"),
    ],
)
def test_a_replica_in_a_missing_bucket(
    make_scene: MakeScene, clouds: Clouds, cloud: str, storage: str
) -> None:
    scene = make_scene(cloud, "iceberg")
    site = open_site(make_site(cloud, storage=storage), f"test-{uuid4().hex[:8]}", clouds.env)
    target = table_at(site.table(("retail", "copy")), "delta", replica_of=scene.table.key)
    with pytest.raises(StorageFailed, match=f"at site {cloud}: .*the bucket does not exist"):
        replicate(scene.table, target)
    scene.assert_next_write_works()
