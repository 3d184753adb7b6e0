"""What is registered is found again, in SQLite and in PostgreSQL alike."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, timedelta, timezone

import pytest

from mcai_pipelines.state import State
from tests.state.records import ADOPTED, NOON, SALES


@pytest.fixture
def state(url: str) -> Iterator[State]:
    with State.open(url) as opened:
        yield opened


def test_a_record_comes_back_as_it_was(state: State) -> None:
    state.register_table(SALES)
    state.register_table(ADOPTED)

    assert state.table("prod", "global/weekly_sales") == SALES
    assert state.table("prod", "global/rates") == ADOPTED


def test_an_unknown_table_is_none(state: State) -> None:
    assert state.table("prod", "global/weekly_sales") is None
    assert state.tables("prod") == []


def test_a_difference_replaces_the_record(state: State) -> None:
    moved = replace(SALES, uri="/lake2/sales", mirror=None, updated_at=NOON + timedelta(days=1))
    state.register_table(SALES)
    state.register_table(moved)

    assert state.tables("prod") == [moved]


def test_an_equal_record_is_not_written_again(state: State) -> None:
    state.register_table(SALES)
    state.register_table(replace(SALES, updated_at=NOON + timedelta(days=1)))

    assert state.table("prod", SALES.key) == SALES


def test_namespaces_do_not_meet(state: State) -> None:
    branch = replace(SALES, namespace="branch_7", uri="/lake/branch_7/sales")
    state.register_table(SALES)
    state.register_table(branch)

    assert state.tables("prod") == [SALES]
    assert state.tables("branch_7") == [branch]


def test_tables_are_ordered_by_key(state: State) -> None:
    for record in (SALES, ADOPTED):
        state.register_table(record)

    assert [record.key for record in state.tables("prod")] == [
        "global/rates",
        "global/weekly_sales",
    ]


def test_times_are_returned_in_utc(state: State) -> None:
    new_york = NOON.astimezone(timezone(timedelta(hours=-4)))
    state.register_table(replace(SALES, updated_at=new_york))

    found = state.table("prod", SALES.key)

    assert found is not None
    assert found.updated_at == NOON
    assert found.updated_at.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(state: State) -> None:
    with pytest.raises(Exception, match="has no time zone"):
        state.register_table(replace(SALES, updated_at=NOON.replace(tzinfo=None)))
    assert state.tables("prod") == []


def test_arrival_moves_on_per_namespace_and_source(state: State) -> None:
    assert state.arrived_through("prod", "retail") is None

    state.set_arrived_through("prod", "retail", 12)
    state.set_arrived_through("prod", "retail", 13)
    state.set_arrived_through("branch_7", "retail", 2)

    assert state.arrived_through("prod", "retail") == 13
    assert state.arrived_through("branch_7", "retail") == 2
    assert state.arrived_through("prod", "weather") is None


def test_what_was_registered_outlives_the_process(url: str) -> None:
    with State.open(url) as state:
        state.register_table(SALES)
        state.set_arrived_through("prod", "retail", 9)

    with State.open(url) as state:
        assert state.tables("prod") == [SALES]
        assert state.arrived_through("prod", "retail") == 9
