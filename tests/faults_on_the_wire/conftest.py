"""Tables on the emulated clouds, with a proxy in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import pytest

from mcai_pipelines.config import Catalog
from mcai_pipelines.emulators import Clouds
from mcai_pipelines.providers import TableStorage, manners, open_site, secrets
from tests.faults_on_the_wire.scene import Scene
from tests.harness.proxy import Proxy
from tests.providers.conftest import make_site, sql_catalog, table_at

MakeScene = Callable[..., Scene]
OTHER = {"iceberg": "delta", "delta": "iceberg"}


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up after three retries that follow one another at once."""
    monkeypatch.setattr(manners, "RETRIES", 3)
    monkeypatch.setattr(manners, "FIRST_BACKOFF_MS", 1)
    monkeypatch.setattr(manners, "LONGEST_BACKOFF_MS", 5)
    monkeypatch.setattr(manners, "REQUEST_SECONDS", 20)


@pytest.fixture(autouse=True)
def forget_the_secrets_of_other_tests() -> None:
    """What one test resolved may be a word that another expects in a message."""
    secrets._remembered.clear()


@pytest.fixture
def make_scene(clouds: Clouds, tmp_path: Path) -> Iterator[MakeScene]:
    """Tables on a cloud, in a namespace of the test's own, filled."""
    with ExitStack() as proxies:

        def make(
            cloud: str,
            primary: str,
            *,
            mirrored: bool = True,
            catalog: Callable[[str], Catalog] = lambda _url: sql_catalog(tmp_path),
        ) -> Scene:
            clouds.start([cloud])
            proxy = proxies.enter_context(Proxy(clouds[cloud].url))
            namespace = f"test-{uuid4().hex[:12]}"
            formats, key = (primary, OTHER[primary]), "retail/sales"
            past, between = clouds[cloud].url, proxy.url

            def storage(name: str, url: str) -> TableStorage:
                place = make_site(cloud, endpoint=url, catalog=catalog(url))
                return open_site(place, namespace, clouds.env).table(("retail", name))

            scene = Scene(
                cloud=cloud,
                proxy=proxy,
                table=table_at(storage("sales", between), *formats, partition_by=["p"]),
                reader=table_at(storage("sales", past), *formats, partition_by=["p"]),
                copy=table_at(storage("copy", between), formats[1], replica_of=key),
                copy_reader=table_at(storage("copy", past), formats[1], replica_of=key),
                secrets=tuple(
                    value
                    for name, value in clouds.env.items()
                    if name.endswith(("_SECRET", "_AZURE_KEY"))
                ),
            )
            scene.fill(mirrored=mirrored)
            return scene

        yield make
