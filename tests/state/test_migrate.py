"""An empty database becomes the one that the code expects, however many open it at once."""

import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

import mcai_pipelines.state
from mcai_pipelines.state import State, StateUnavailable
from mcai_pipelines.state.database import connect, reading, writing
from mcai_pipelines.state.migrate import REVISION
from mcai_pipelines.state.schema import VERSION_TABLE, metadata
from tests.state.one_of_many import ROUNDS, open_and_register
from tests.state.records import ADOPTED, SALES

PROCESSES = 8


def test_eight_processes_open_an_empty_database_at_once(url: str) -> None:
    spawn = multiprocessing.get_context("spawn")
    together = spawn.Barrier(PROCESSES)
    processes = [
        spawn.Process(target=open_and_register, args=(url, me, together)) for me in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=120)

    assert [process.exitcode for process in processes] == [0] * PROCESSES
    with State.open(url) as state:
        assert state.tables("prod") == [
            SALES,
            *(
                replace(ADOPTED, key=f"mine/{me}", uri=f"/{me}/{ROUNDS - 1}")
                for me in range(PROCESSES)
            ),
        ]
        arrived = [state.arrived_through("prod", f"source {me}") for me in range(PROCESSES)]
    assert arrived == [ROUNDS - 1] * PROCESSES


def test_the_migrations_make_the_tables_that_the_code_describes(url: str) -> None:
    State.open(url).close()

    with reading(connect(url)) as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True}
        )
        assert compare_metadata(context, metadata) == []


def test_the_revision_in_the_code_is_the_newest_file() -> None:
    scripts = Path(mcai_pipelines.state.__file__).with_name("migrations")

    assert ScriptDirectory(str(scripts)).get_heads() == [REVISION]


def test_a_database_of_a_newer_release_is_left_alone(url: str) -> None:
    State.open(url).close()
    with writing(connect(url)) as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))

    with pytest.raises(StateUnavailable, match=r"revision 9999.*upgrade mcai-pipelines"):
        State.open(url)


def test_other_tables_in_the_same_database_are_left_alone(postgres_url: str) -> None:
    with writing(connect(postgres_url)) as connection:
        connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        connection.execute(text("INSERT INTO alembic_version VALUES ('of Dagster')"))

    State.open(postgres_url).close()

    with reading(connect(postgres_url)) as connection:
        assert connection.execute(text("SELECT * FROM alembic_version")).scalar() == "of Dagster"
