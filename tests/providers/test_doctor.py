"""``mcai doctor`` tries each site's storage and catalog, and says what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcai_pipelines.cli.diagnosis import Diagnosis, diagnose
from mcai_pipelines.emulators import Clouds
from mcai_pipelines.providers import manners, open_site
from mcai_pipelines.providers.probe import FOLDER
from tests.harness.faults import Answer, access_denied
from tests.harness.proxy import Proxy
from tests.providers.conftest import make_site

ROOT = Path(__file__).parents[2]

PLATFORM = """
namespace: doctor
default_site: here
sites:
  here:
    provider: {provider}
    region: us-east-1
    jurisdiction: US
    kind: public
    format: delta
    storage: {storage}
    endpoint: {endpoint}
    catalog: {catalog}
    credentials: {credentials}
"""
S3_KEYS = '{access_key_id: "${MCAI_EMULATED_KEY_ID}", secret_access_key: "${MCAI_EMULATED_SECRET}"}'


@pytest.fixture
def proxy(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """A proxy in front of AWS; the environment has its keys."""
    clouds.start(["aws"])
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(manners, "RETRIES", 1)
    for name, value in clouds.env.items():
        monkeypatch.setenv(name, value)
    with Proxy(clouds["aws"].url) as proxy:
        yield proxy


def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, endpoint: str, **changes: str
) -> Diagnosis:
    fields = {
        "provider": "aws",
        "storage": "s3://lake-aws/doctor",
        "catalog": f"{{type: sql, uri: 'sqlite:///{tmp_path}/catalog.db'}}",
        "credentials": S3_KEYS,
        **changes,
    }
    file = tmp_path / "here.yaml"
    file.write_text(PLATFORM.format(endpoint=endpoint, **fields))
    monkeypatch.setenv("MCAI_PLATFORM", str(file))
    return diagnose()


def test_all_is_well(
    proxy: Proxy, clouds: Clouds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    glue = f"{{type: glue, uri: '{proxy.url}'}}"
    found = doctor(tmp_path, monkeypatch, proxy.url, catalog=glue)
    assert found.problems == []
    assert found.facts["site here"]["storage"] == "s3://lake-aws/doctor/doctor (works)"
    assert found.facts["site here"]["catalog"] == f"glue {proxy.url} (0 tables)"
    site = make_site("aws", storage="s3://lake-aws/doctor")
    storage = open_site(site, "doctor", clouds.env)
    left = storage.open_at(storage.root, ()).store.list(prefix=FOLDER).collect()
    assert list(left) == []


@pytest.mark.parametrize(
    ("method", "path", "permission"),
    [
        ("PUT", "_probe", "write"),
        ("GET", "_probe/", "read"),
        ("GET", "list-type", "list"),
        ("POST", "delete", "delete"),
    ],
)
def test_a_missing_permission_is_named(
    proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    path: str,
    permission: str,
) -> None:
    proxy.inject(access_denied(), method=method, path=path, times=None)
    found = doctor(tmp_path, monkeypatch, proxy.url)
    texts = [str(problem) for problem in found.problems]
    message = f"site here does not let us {permission}: "
    assert any(message in text and "AccessDenied" in text for text in texts), texts
    assert all("\n" not in text for text in texts)
    assert permission in found.facts["site here"]["storage"]


def test_a_store_that_ignores_conditions(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok = Answer(200, "", {"ETag": '"0"'})
    proxy.inject(ok, method="PUT", path="_probe", skip=1)
    found = doctor(tmp_path, monkeypatch, proxy.url)
    (problem,) = found.problems
    assert "does not let us put an object only where its name is free" in problem.what
    assert "of two writers one would lose its commit" in problem.what


def test_a_folder_with_a_catalog_elsewhere(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    glue = f"{{type: glue, uri: '{proxy.url}'}}"
    storage = str(tmp_path / "lake")
    found = doctor(tmp_path, monkeypatch, proxy.url, catalog=glue, storage=storage)
    assert found.problems == []
    assert found.facts["site here"]["catalog"] == f"glue {proxy.url} (0 tables)"


@pytest.mark.parametrize(
    "catalog",
    [
        "{type: glue, uri: 'http://127.0.0.1:1'}",
        "{type: rest, uri: 'http://127.0.0.1:1'}",
        "{type: sql, uri: 'postgresql://127.0.0.1:1/none'}",
    ],
)
def test_a_catalog_that_cannot_be_asked(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalog: str
) -> None:
    from mcai_pipelines.providers import rest

    monkeypatch.setattr(rest, "_RETRY", rest._RETRY.new(total=0))
    found = doctor(tmp_path, monkeypatch, proxy.url, catalog=catalog)
    (problem,) = found.problems
    assert "catalog of site here cannot be" in problem.what
    assert found.facts["site here"]["catalog"].endswith("(not reachable)")


def test_a_missing_variable_is_said_once(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MCAI_EMULATED_SECRET")
    found = doctor(tmp_path, monkeypatch, proxy.url)
    (problem,) = found.problems
    assert "MCAI_EMULATED_SECRET is not set" in problem.what
    assert found.facts["site here"]["storage"].endswith("(not tried)")
