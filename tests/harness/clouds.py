"""The emulated clouds of a test session.

Each worker of pytest-xdist runs emulators of its own, and starts each of them when the first test
asks for it. Azurite is installed once: in the folder that ``MCAI_EMULATORS_CACHE`` names, else in
pytest's cache.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from uuid import uuid4

import pytest

from mcai_pipelines.emulators import Clouds, Entry, running

CACHE = os.environ.get("MCAI_EMULATORS_CACHE")  # before conftest.py clears the environment

# Read when gcsfs is imported: without it, gcsfs looks for a gRPC service before each file, for a
# minute.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"


@pytest.fixture(scope="session")
def clouds(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[Clouds]:
    """The emulators of this worker; none runs until a fixture below starts it."""
    cache = Path(CACHE) if CACHE else pytestconfig.cache.mkdir("emulators")
    with running(tmp_path_factory.mktemp("clouds"), only=(), cache=cache) as clouds:
        yield clouds


def _started(clouds: Clouds, name: str) -> Entry:
    clouds.start([name])
    return clouds[name]


@pytest.fixture
def aws(clouds: Clouds) -> Entry:
    """AWS, with the bucket ``lake-aws``."""
    return _started(clouds, "aws")


@pytest.fixture
def private(clouds: Clouds) -> Entry:
    """A private cloud's S3, with the bucket ``lake-private``."""
    return _started(clouds, "private")


@pytest.fixture
def azure(clouds: Clouds) -> Entry:
    """Azure Blob Storage, with the container ``lake``."""
    return _started(clouds, "azure")


@pytest.fixture
def gcp(clouds: Clouds) -> Entry:
    """Google Cloud Storage, with the bucket ``lake-gcp``."""
    return _started(clouds, "gcp")


@pytest.fixture
def postgres(clouds: Clouds) -> Entry:
    """PostgreSQL, with a database for the state, for Dagster and for each catalog."""
    return _started(clouds, "postgres")


@pytest.fixture
def prefix() -> str:
    """A folder of a bucket that no other test uses."""
    return f"test-{uuid4().hex[:12]}"


@pytest.fixture
def emulated(clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, str]:
    """All clouds, and the platform ``emulated`` set in the environment, in a new namespace."""
    clouds.start()
    env = {
        **clouds.env,
        "MCAI_PLATFORM": "emulated",
        "MCAI_HOME": str(tmp_path / "home"),
        "MCAI_NAMESPACE": f"test-{uuid4().hex[:12]}",
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    return env
