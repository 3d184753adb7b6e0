"""A commit to an Iceberg catalog whose answer is lost, or that never arrives.

The catalogs are PostgreSQL and Glue. Of concurrent commits nothing is proven on Glue here: moto
accepts a commit that is based on a version that another commit has replaced, where Glue refuses
it. Such a refusal is injected instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from mcai_pipelines.config import Catalog, EnvString
from mcai_pipelines.emulators import Clouds, Entry
from mcai_pipelines.lakehouse.errors import MirrorLagging
from mcai_pipelines.providers import manners
from tests.faults_on_the_wire.conftest import MakeScene
from tests.faults_on_the_wire.cutter import CommitCutter, When
from tests.faults_on_the_wire.scene import NEW, OPERATIONS, Scene, frame, rows_of
from tests.harness.faults import Answer, Fault, LoseAnswer, Reset

COMMITTING = ("append", "overwrite_partitions", "merge", "rollback", "compact")
UPDATE = "AWSGlue.UpdateTable"


# ---------------------------------------------------------------- PostgreSQL


@pytest.fixture
def cutter(postgres: Entry) -> Iterator[CommitCutter]:
    """A proxy before PostgreSQL."""
    url = urlsplit(postgres.env["MCAI_EMULATED_POSTGRES_URL"])
    with CommitCutter(url.hostname or "", url.port or 0) as between:
        yield between


@pytest.fixture
def postgres_scene(
    make_scene: MakeScene, cutter: CommitCutter, postgres: Entry, clouds: Clouds
) -> MakeScene:
    """Scenes whose catalog is PostgreSQL, behind the cutter."""
    direct = postgres.env["MCAI_EMULATED_POSTGRES_URL"]
    between = direct.replace(f":{urlsplit(direct).port}", f":{cutter.port}")

    def make(cloud: str, primary: str) -> Scene:
        def catalog(url: str) -> Catalog:
            address = direct if url == clouds[cloud].url else between
            return Catalog(type="sql", uri=EnvString(f"{address}/catalog_{cloud}"))

        clouds.start([cloud])
        return make_scene(cloud, primary, catalog=catalog)

    return make


@pytest.mark.parametrize("name", COMMITTING)
@pytest.mark.parametrize("when", ["before", "after"])
def test_the_connection_is_cut_at_the_commit(
    postgres_scene: MakeScene, cutter: CommitCutter, name: str, when: When
) -> None:
    scene, operation = postgres_scene("aws", "iceberg"), OPERATIONS[name]
    before = [*scene.rows]
    cutter.cuts = [when]
    if when == "before":
        message = scene.fails(operation)
        assert "the connection was lost" in message
        assert rows_of(scene.reader) == sorted(scene.rows)
        operation.run(scene)
    else:
        operation.run(scene)
    assert cutter.cuts == []
    scene.rows = operation.rows(before)
    scene.assert_sound()
    scene.assert_nothing_is_staged()


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_connection_is_cut_as_the_mirror_follows(
    postgres_scene: MakeScene, cutter: CommitCutter, when: When
) -> None:
    scene = postgres_scene("azure", "delta")
    cutter.cuts = [when]
    scene.table.write(frame(NEW))
    assert cutter.cuts == []
    scene.rows += NEW
    scene.assert_sound()
    scene.assert_nothing_is_staged()


def test_a_catalog_that_is_down(postgres_scene: MakeScene, cutter: CommitCutter) -> None:
    scene = postgres_scene("aws", "iceberg")
    assert scene.table.scan().collect().height == len(scene.rows)
    with cutter.outage():
        for name in (*COMMITTING, "scan"):
            assert "nothing listens there" in scene.fails(OPERATIONS[name])
    scene.assert_next_write_works()


# ---------------------------------------------------------------- Glue


@pytest.fixture
def glue_scene(make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch) -> MakeScene:
    """Scenes whose catalog is Glue, behind the same proxy as the storage."""
    monkeypatch.setattr(manners, "RETRIES", 1)  # botocore waits a second before each

    def make(primary: str = "iceberg") -> Scene:
        return make_scene(
            "aws", primary, catalog=lambda url: Catalog(type="glue", uri=EnvString(url))
        )

    return make


def glue_error(code: str, message: str, status: int = 400) -> Answer:
    body = f'{{"__type": "{code}", "message": "{message}"}}'
    return Answer(status, body, {"Content-Type": "application/x-amz-json-1.1"})


STALE = glue_error("ConcurrentModificationException", "Update table failed due to concurrency.")


@pytest.mark.parametrize("name", COMMITTING)
def test_the_answer_of_glue_is_lost_and_the_client_tries_again(
    glue_scene: MakeScene, name: str
) -> None:
    """Glue refuses the second try, because the first has replaced what it is based on."""
    scene, operation = glue_scene(), OPERATIONS[name]
    scene.proxy.inject(LoseAnswer(), path=UPDATE)
    scene.proxy.inject(STALE, path=UPDATE, skip=1)
    operation.run(scene)
    assert [type(exchange.fault) for exchange in scene.proxy.injected()] == [LoseAnswer, Answer]
    scene.rows = operation.rows(scene.rows)
    scene.assert_sound()
    scene.assert_nothing_is_staged()


@pytest.mark.parametrize(
    ("fault", "advice"),
    [
        (Reset(), "the connection was lost"),
        (glue_error("ThrottlingException", "Rate exceeded"), "the service is busy"),
        (
            glue_error("ExpiredTokenException", "The security token included has expired"),
            "credentials have expired",
        ),
        (glue_error("AccessDeniedException", "not authorized"), "credentials do not permit it"),
    ],
    ids=["reset", "throttled", "expired", "denied"],
)
def test_glue_fails(glue_scene: MakeScene, fault: Fault, advice: str) -> None:
    scene = glue_scene()
    scene.proxy.inject(fault, path=UPDATE, times=None)
    assert advice in scene.fails(OPERATIONS["append"])
    scene.assert_next_write_works()


def test_the_mirror_in_glue_fails(glue_scene: MakeScene) -> None:
    scene = glue_scene("delta")
    scene.proxy.inject(Reset(), path=UPDATE, times=None)
    with pytest.raises(MirrorLagging, match=r"mirroring at site aws: .*visible in the primary"):
        scene.table.write(frame(NEW))
    scene.rows += NEW
    scene.assert_next_write_works()
