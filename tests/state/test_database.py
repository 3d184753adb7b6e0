"""A database that cannot be used says why, and what to do, without a driver's vocabulary."""

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError

from mcai_pipelines.errors import BadInput
from mcai_pipelines.state import State, StateUnavailable
from mcai_pipelines.state.database import connect, writing
from tests.state.records import SALES

NOBODY = 65534


@contextmanager
def without_privileges() -> Iterator[None]:
    """File modes mean nothing to root, so be nobody for a while."""
    if os.geteuid() != 0:
        yield
        return
    import_module("sqlalchemy.dialects.sqlite")  # nobody may not be able to read its files
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody may enter; pytest's own are for their owner only."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("state.db", "not a database URL"),
        ("mysql://root@localhost/state", "'mysql' is not supported"),
        ("sqlite://", "every step of a run is a process"),
        ("sqlite:///:memory:", "every step of a run is a process"),
    ],
)
def test_a_url_that_cannot_be_right_is_bad_input(url: str, what: str) -> None:
    with pytest.raises(BadInput, match=what) as caught:
        State.open(url)
    assert "sqlite:////absolute/path.db" in str(caught.value)


def test_a_folder_that_cannot_be_made(folder: Path) -> None:
    folder.chmod(0o555)
    with (
        without_privileges(),
        pytest.raises(StateUnavailable, match=r"cannot create .*/new: Permission denied; make"),
    ):
        State.open(f"sqlite:///{folder}/new/state.db")


def test_a_folder_that_is_read_only(folder: Path) -> None:
    folder.chmod(0o555)
    with (
        without_privileges(),
        pytest.raises(StateUnavailable, match=r"unable to open.*readable and writable"),
    ):
        State.open(f"sqlite:///{folder}/state.db")


def test_a_database_that_became_read_only_is_read_but_not_written(folder: Path) -> None:
    url = f"sqlite:///{folder}/state.db"
    with State.open(url) as state:
        state.register_table(SALES)
        (folder / "state.db").chmod(0o444)
        with without_privileges(), State.open(url) as reader:
            assert reader.tables("prod") == [SALES]
            with pytest.raises(StateUnavailable, match=r"readonly database; make the file"):
                reader.set_arrived_through("prod", "retail", 3)


def test_a_file_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("week,sales\n" * 100)

    with pytest.raises(StateUnavailable, match=r"not a database; the file is something else"):
        State.open(f"sqlite:///{tmp_path}/state.db")


def test_a_full_disk_leaves_what_was_there(sqlite_url: str) -> None:
    def no_more_pages(connection: Any, _record: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    with State.open(sqlite_url) as state:
        state.register_table(SALES)
    full = connect(sqlite_url)
    full.dispose()
    event.listen(full, "connect", no_more_pages)
    with (
        pytest.raises(StateUnavailable, match=r"disk is full; free some space"),
        writing(full) as connection,
    ):
        connection.execute(
            text("INSERT INTO mcai_arrivals VALUES ('prod', :source, 1, '2026-05-04')"),
            {"source": "x" * 100_000},
        )

    with State.open(sqlite_url) as state:
        assert state.tables("prod") == [SALES]


def test_a_writer_that_never_ends(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    State.open(sqlite_url).close()
    monkeypatch.setattr("mcai_pipelines.state.database._WAIT_SECONDS", 0.1)
    path = sqlite_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other, State.open(sqlite_url) as s:
        other.execute("BEGIN IMMEDIATE")
        s.arrived_through("prod", "retail")  # readers do not wait
        with pytest.raises(StateUnavailable, match=r"locked; another process"):
            s.set_arrived_through("prod", "retail", 1)


def test_a_server_that_is_not_there_and_a_password_that_is_not_shown() -> None:
    with pytest.raises(StateUnavailable, match="check that the server runs") as caught:
        State.open("postgresql://me:secret@127.0.0.1:1/state")
    assert "me:***@127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_driver_that_is_not_installed() -> None:
    with pytest.raises(StateUnavailable, match=r"pg8000 is not installed; install mcai-pipelines"):
        State.open("postgresql+pg8000://me@localhost/state")


def test_a_mistake_of_ours_is_not_blamed_on_the_database(url: str) -> None:
    State.open(url).close()
    row = text("INSERT INTO mcai_arrivals VALUES ('prod', 'retail', NULL, '2026-05-04')")

    with pytest.raises(IntegrityError), writing(connect(url)) as connection:
        connection.execute(row)


def test_a_file_that_another_process_keeps_in_its_first_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcai_pipelines.state.database._WAIT_SECONDS", 0.2)
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (week)")
        other.execute("BEGIN")
        other.execute("SELECT * FROM theirs")  # a reader forbids the switch to a write-ahead log
        with pytest.raises(StateUnavailable, match=r"locked; another process"):
            State.open(f"sqlite:///{tmp_path}/state.db")
