"""Markers of batches in flight: whose files are swept, and whose are left alone."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mcai_pipelines.lakehouse import flight
from mcai_pipelines.lakehouse.flight import ABANDONED_AFTER, new_batch_id
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import BATCH
from tests.lakehouse.conftest import FORMATS
from tests.lakehouse.plain_readers import files_below

every_format = pytest.mark.parametrize(("primary", "mirrored"), FORMATS)
MakeTable = Callable[..., Table]
ONE = pl.DataFrame({"n": [1], "p": ["a"]})


def marker_of_a_live_write(make_table: MakeTable) -> dict[str, Any]:
    """The marker that a write of this process keeps while it runs."""
    table = make_table(name="elsewhere")
    found = {}

    def look(_batch: object) -> None:
        (path,) = Path(table.storage.uri, "_staged").iterdir()
        found.update(json.loads(path.read_text()))

    table.write(ONE, audit=look)
    return found


def leave_behind(table: Table, marker: dict[str, Any]) -> set[str]:
    """Files as a writer with this marker had them when it stopped; returns the data files."""
    batch = marker["batch"]
    data = {f"_data/p=a/{batch}-00000.parquet", f"_data/p=b%20c/{batch}-00001.parquet"}
    for file in data:
        Path(table.storage.uri, file).parent.mkdir(parents=True, exist_ok=True)
        Path(table.storage.uri, file).write_bytes(b"half a fi")
    path = Path(table.storage.uri, "_staged", f"{batch}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(marker))
    return data


def ended_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        return process.pid


@pytest.fixture
def table(make_table: MakeTable) -> Table:
    table = make_table("iceberg", "delta", partition_by=["p"])
    table.write(ONE)
    return table


def test_a_marker_says_who_writes(make_table: MakeTable) -> None:
    marker = marker_of_a_live_write(make_table)
    assert marker["pid"] == os.getpid()
    started = dt.datetime.fromisoformat(marker["started"])
    assert dt.timedelta(0) < dt.datetime.now(dt.UTC) - started < dt.timedelta(minutes=1)


@every_format
def test_a_dead_writers_files_are_swept_by_the_next_write(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored, partition_by=["p"])
    table.write(ONE)
    before = files_below(table.storage.uri, "_data")
    dead = {**marker_of_a_live_write(make_table), "batch": new_batch_id(), "pid": ended_process()}
    lost = leave_behind(table, dead)
    assert table.rollback(table.history()[0].id)  # which sweeps, and adds no file
    assert files_below(table.storage.uri, "_data") == before
    assert not files_below(table.storage.uri, "_staged")
    leave_behind(table, {**dead, "batch": new_batch_id()})
    assert table.sweep() == len(lost)
    assert table.sweep() == 0


def test_a_live_writers_files_stay(make_table: MakeTable, table: Table) -> None:
    live = {**marker_of_a_live_write(make_table), "batch": new_batch_id()}
    data = leave_behind(table, live)
    table.write(ONE)
    assert table.sweep() == 0
    assert files_below(table.storage.uri, "_data") >= data
    assert len(files_below(table.storage.uri, "_staged")) == 1


def test_another_process_that_got_the_dead_ones_number_is_not_it(
    make_table: MakeTable, table: Table
) -> None:
    reused = {**marker_of_a_live_write(make_table), "batch": new_batch_id(), "process_started": "1"}
    assert table.sweep() == 0
    leave_behind(table, reused)
    assert table.sweep() == 2


def test_a_process_that_ended_unnoticed_is_dead(make_table: MakeTable, table: Table) -> None:
    with subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE) as zombie:
        assert zombie.stdout is not None
        zombie.stdout.read()  # it has ended, and nobody has asked how
        marker = {**marker_of_a_live_write(make_table), "batch": new_batch_id(), "pid": zombie.pid}
        leave_behind(table, marker)
        assert table.sweep() == 2


@pytest.mark.parametrize(("age", "swept"), [(0.9, 0), (1.1, 2)])
def test_another_machines_writer_is_given_up_by_its_age(
    make_table: MakeTable, table: Table, age: float, swept: int
) -> None:
    table.rollback(table.history()[0].id)
    marker = {
        **marker_of_a_live_write(make_table),
        "batch": new_batch_id(),
        "host": "elsewhere",
        "started": (dt.datetime.now(dt.UTC) - age * ABANDONED_AFTER).isoformat(),
    }
    leave_behind(table, marker)
    assert table.sweep() == swept


@every_format
def test_a_batch_that_landed_is_kept(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    """Its writer died between its commit and the removal of its marker."""
    table = make_table(primary, mirrored)
    batch = table.write(ONE).version.properties[BATCH]
    dead = {**marker_of_a_live_write(make_table), "batch": batch, "pid": ended_process()}
    path = Path(table.storage.uri, "_staged", f"{batch}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(dead))
    assert table.sweep() == 0
    assert not path.exists()
    assert table.scan().collect().equals(ONE)


def test_a_batch_that_was_rolled_back_is_kept_for_time_travel(
    make_table: MakeTable, table: Table
) -> None:
    undone = table.write(pl.DataFrame({"n": [2], "p": ["b"]})).version
    table.rollback(table.history()[-1].id)
    dead = {
        **marker_of_a_live_write(make_table),
        "batch": undone.properties[BATCH],
        "pid": ended_process(),
    }
    Path(table.storage.uri, "_staged", "x.json").write_text(json.dumps(dead))
    assert table.sweep() == 0
    assert table.scan(version=undone.id).collect().height == 2


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"batch": 1}', '"text"', "null"])
def test_a_file_that_is_no_marker_disturbs_nobody(table: Table, text: str) -> None:
    path = Path(table.storage.uri, "_staged", "odd.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    table.write(ONE)
    assert path.exists()
    assert table.scan().collect().height == 2


def test_where_the_system_has_no_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_file(*_: Any, **__: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(flight, "open", no_such_file, raising=False)
    monkeypatch.setattr(os.path, "isdir", lambda _path: False)
    assert flight._process_start(os.getpid()) == "running"
    assert flight._process_start(1) == "running"  # another user's, where this one is not root
    assert flight._process_start(ended_process()) is None
