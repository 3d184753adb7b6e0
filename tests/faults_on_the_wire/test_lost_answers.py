"""A version that was made although its maker was told otherwise, by each operation that makes one.

`tests.providers.test_lost_answers` tells of appends.
"""

from __future__ import annotations

import obstore
import pytest

from mcai_pipelines.emulators import Clouds
from mcai_pipelines.providers import manners, open_site
from tests.faults_on_the_wire.conftest import MakeScene
from tests.faults_on_the_wire.scene import ANYTHING, FILES, NEW, OPERATIONS, frame, rows_of
from tests.harness.faults import LoseAnswer, ResetRequest, Slow
from tests.harness.proxy import Proxy
from tests.providers.conftest import CLOUDS, make_site

LOGS = (r"_delta_log/\d+\.json", r"_iceberg/[^/]*\.metadata\.json")
TOO_LATE = Slow(delay=1.3)

CASES = [
    (CLOUDS[(number + 2 * turn) % len(CLOUDS)], primary, name)
    for number, name in enumerate(OPERATIONS)
    for turn, primary in enumerate(("iceberg", "delta"))
    if name not in ("append", "scan")
]


@pytest.mark.parametrize(("cloud", "primary", "name"), CASES)
def test_the_answers_of_both_logs_are_lost(
    make_scene: MakeScene, cloud: str, primary: str, name: str
) -> None:
    scene = make_scene(cloud, primary, mirrored=name != "mirror")
    operation = OPERATIONS[name]
    for log in LOGS:
        scene.proxy.inject(LoseAnswer(), method="PUT", path=log)

    operation.run(scene)

    formats = 1 if name in ("mirror", "replicate") else 2
    assert len(scene.proxy.injected()) == formats
    scene.rows = operation.rows(scene.rows)
    scene.assert_sound()
    scene.assert_nothing_is_staged()
    if name == "replicate":
        assert rows_of(scene.copy_reader) == sorted(scene.rows)


@pytest.mark.parametrize("cloud", CLOUDS)
def test_half_an_object_is_none(clouds: Clouds, cloud: str, prefix: str) -> None:
    """What the laws above stand on: of an upload that breaks off, nothing is stored."""
    clouds.start([cloud])
    with Proxy(clouds[cloud].url) as proxy:
        site = open_site(make_site(cloud, endpoint=proxy.url), prefix, clouds.env)
        store = site.table(("half",)).store
        proxy.inject(ResetRequest(after=100), method="PUT", times=None)
        with pytest.raises(obstore.exceptions.BaseError):
            obstore.put(store, "object", b"x" * 1000, use_multipart=False)
        proxy.clear()
        with pytest.raises(FileNotFoundError):
            obstore.head(store, "object")


# ---------------------------------------------------------------- slow answers


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for an answer for one second."""
    monkeypatch.setattr(manners, "REQUEST_SECONDS", 1)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("cloud", "primary"), list(zip(CLOUDS, ("delta", "iceberg") * 2, strict=True))
)
def test_an_answer_that_comes_too_late(make_scene: MakeScene, cloud: str, primary: str) -> None:
    """The commit was made; the client has given up waiting, and tries it again."""
    scene = make_scene(cloud, primary)
    scene.proxy.inject(TOO_LATE, method="PUT", path=LOGS[0])
    scene.proxy.inject(TOO_LATE, method="GET", path=FILES)
    scene.table.write(frame(NEW))
    scene.rows += NEW
    assert rows_of(scene.table) == sorted(scene.rows)
    assert len(scene.proxy.injected()) == 2
    scene.assert_sound()
    scene.assert_nothing_is_staged()


@pytest.mark.parametrize(("cloud", "primary"), [("azure", "iceberg"), ("private", "delta")])
def test_answers_that_come_late_but_come(make_scene: MakeScene, cloud: str, primary: str) -> None:
    scene = make_scene(cloud, primary)
    scene.proxy.inject(Slow(delay=0.05), path=ANYTHING, times=20)
    scene.proxy.inject(Slow(rate=20_000), method="GET", path=FILES)
    for name in ("append", "scan"):
        OPERATIONS[name].run(scene)
        scene.rows = OPERATIONS[name].rows(scene.rows)
    scene.assert_sound()


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(("cloud", "primary"), [("aws", "iceberg"), ("gcp", "delta")])
def test_answers_that_never_come(
    make_scene: MakeScene, monkeypatch: pytest.MonkeyPatch, cloud: str, primary: str
) -> None:
    monkeypatch.setattr(manners, "RETRIES", 1)
    scene = make_scene(cloud, primary)
    scene.proxy.inject(TOO_LATE, method="PUT", path=FILES, times=None)
    assert "too slow" in scene.fails(OPERATIONS["append"])
    scene.assert_next_write_works()
