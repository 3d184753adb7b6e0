"""The answer of a commit is lost: it may have landed or not, and the writer must not guess."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import obstore
import polars as pl
import pytest

from mcai_pipelines.lakehouse.errors import CommitConflict, MirrorLagging
from mcai_pipelines.lakehouse.failures import StorageFailed
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import Change, Head, Log, Version
from mcai_pipelines.lakehouse.write import AppendKey, Commit
from tests.lakehouse.faults.readers import everyone, markers, ours, rows, unreferenced

OLD = pl.DataFrame({"p": ["a", "b"], "x": [1, 2]})
NEW = pl.DataFrame({"p": ["a", "c"], "x": [10, 30]})
BOTH = rows(pl.concat([OLD, NEW]))
MIRRORED = [("iceberg", "delta"), ("delta", "iceberg")]
MODES = ["append", "keyed append", "overwrite", "overwrite_partitions", "rollback"]

MakeTable = Callable[..., Table]


class Lost(OSError):
    """The connection broke."""


def lose_answer(
    monkeypatch: pytest.MonkeyPatch, log: Log, *, lands: bool, error: type[Exception] = Lost
) -> None:
    """The log's next commit lands or does not, and raises either way."""
    commit = log.commit

    def losing(base: Head | None, change: Change) -> Version:
        monkeypatch.setattr(log, "commit", commit)
        if lands:
            commit(base, change)
        raise error("connection reset by peer")

    monkeypatch.setattr(log, "commit", losing)


def write(table: Table, mode: str) -> Commit:
    match mode:
        case "append":
            return table.write(NEW)
        case "keyed append":
            return table.write(NEW, key=AppendKey("run 1"))
        case "overwrite":
            return table.write(NEW, "overwrite")
        case "overwrite_partitions":
            return table.write(NEW, "overwrite_partitions", partitions=[("a",), ("b",), ("c",)])
    return table.rollback(table.history()[-1].id)


def expected(mode: str) -> list[tuple[Any, ...]]:
    return {"append": BOTH, "keyed append": BOTH, "rollback": []}.get(mode, rows(NEW))


def append_until_it_lands(table: Table) -> int:
    """Write again after a failure, as a run's retry policy does; returns the attempts made."""
    for attempt in range(1, 3):
        with suppress(StorageFailed):
            write(table, "append")
            return attempt
    raise AssertionError("it failed twice")


def make_old(make_table: MakeTable, primary: str, mirror: str | None) -> Table:
    table = make_table(primary, mirror, partition_by=["p"])
    table.write(OLD.clear())
    table.write(OLD)
    return table


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
@pytest.mark.parametrize("mode", MODES)
def test_it_landed(
    make_table: MakeTable,
    monkeypatch: pytest.MonkeyPatch,
    primary: str,
    mirror: str,
    mode: str,
) -> None:
    table = make_old(make_table, primary, mirror)
    lose_answer(monkeypatch, table.primary, lands=True)

    commit = write(table, mode)

    assert commit.version.id == table.head().version
    assert not commit.repeated
    assert set(map(tuple, everyone(table).values())) == {tuple(expected(mode))}
    assert len(table.history()) == 3
    assert markers(table) == []
    assert unreferenced(table) == set()


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
@pytest.mark.parametrize("mode", MODES)
def test_it_did_not_land(
    make_table: MakeTable,
    monkeypatch: pytest.MonkeyPatch,
    primary: str,
    mirror: str,
    mode: str,
) -> None:
    table = make_old(make_table, primary, mirror)
    lose_answer(monkeypatch, table.primary, lands=False)

    with pytest.raises(StorageFailed, match="connection reset"):
        write(table, mode)
    assert set(map(tuple, everyone(table).values())) == {tuple(rows(OLD))}
    write(table, mode)

    assert set(map(tuple, everyone(table).values())) == {tuple(expected(mode))}
    assert len(table.history()) == 3
    assert markers(table) == []
    assert unreferenced(table) == set()


@pytest.mark.parametrize("primary", ["iceberg", "delta"])
def test_it_lands_after_the_writer_gave_up(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, primary: str
) -> None:
    """What a storage does with a request that it took before the connection broke."""
    table = make_old(make_table, primary, None)
    commit, late = table.primary.commit, []

    def losing(base: Head | None, change: Change) -> Version:
        late.append((base, change))
        raise Lost("timed out")

    monkeypatch.setattr(table.primary, "commit", losing)
    with pytest.raises(StorageFailed):
        write(table, "append")
    commit(*late[0])
    monkeypatch.undo()

    assert ours(table) == BOTH
    write(table, "overwrite")
    assert markers(table) == []
    assert rows(table.scan(version=table.history()[1].id).collect()) == BOTH


@pytest.mark.parametrize("primary", ["iceberg", "delta"])
@pytest.mark.parametrize("mode", MODES[:-1])
def test_it_conflicts_with_itself(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, primary: str, mode: str
) -> None:
    """A storage's client may try again by itself, and find what its first try did."""
    table = make_old(make_table, primary, None)
    lose_answer(monkeypatch, table.primary, lands=True, error=CommitConflict)

    commit = write(table, mode)

    assert not commit.repeated
    assert ours(table) == expected(mode)
    assert len(table.history()) == 3
    assert unreferenced(table) == set()


def test_it_was_rolled_back_before_the_writer_looked(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_old(make_table, "iceberg", None)
    commit = table.primary.commit

    def overtaken(base: Head | None, change: Change) -> Version:
        monkeypatch.undo()
        commit(base, change)
        assert base is not None
        assert base.version is not None
        table.rollback(base.version)
        raise Lost("connection reset by peer")

    monkeypatch.setattr(table.primary, "commit", overtaken)

    landed = write(table, "append").version

    assert ours(table) == rows(OLD)
    assert rows(table.scan(version=landed.id).collect()) == BOTH


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
@pytest.mark.parametrize("lands", [True, False])
def test_the_answer_of_the_mirror_is_lost(
    make_table: MakeTable,
    monkeypatch: pytest.MonkeyPatch,
    primary: str,
    mirror: str,
    lands: bool,
) -> None:
    table = make_old(make_table, primary, mirror)
    assert table.mirror_log is not None
    lose_answer(monkeypatch, table.mirror_log, lands=lands)

    commit = write(table, "append")

    assert commit.mirror_version is not None
    assert len(list(table.mirror_log.versions())) == 3
    assert set(map(tuple, everyone(table).values())) == {tuple(BOTH)}


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_the_mirror_stays_out_of_reach(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, primary: str, mirror: str
) -> None:
    table = make_old(make_table, primary, mirror)

    def failing(base: Head | None, change: Change) -> Version:
        raise Lost("connection reset by peer")

    assert table.mirror_log is not None
    monkeypatch.setattr(table.mirror_log, "commit", failing)

    with pytest.raises(MirrorLagging, match=r"connection reset.*visible in the primary"):
        write(table, "append")
    assert ours(table) == BOTH
    monkeypatch.undo()
    assert set(map(tuple, everyone(table).values())) == {tuple(BOTH)}


@pytest.mark.parametrize("lands", [True, False])
def test_the_catalog_breaks(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    """PyIceberg must keep the manifests that it wrote for a commit that may have landed."""
    table = make_old(make_table, "iceberg", "delta")
    catalog = table.storage.catalog()
    commit_table = catalog.commit_table

    def losing(*args: Any, **kwargs: Any) -> Any:
        monkeypatch.undo()
        if lands:
            commit_table(*args, **kwargs)
        raise Lost("connection reset by peer")

    monkeypatch.setattr(catalog, "commit_table", losing)

    assert append_until_it_lands(table) == (1 if lands else 2)
    assert set(map(tuple, everyone(table).values())) == {tuple(BOTH)}
    assert unreferenced(table) == set()


@pytest.mark.parametrize("lands", [True, False])
def test_the_object_store_breaks(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, lands: bool
) -> None:
    table = make_old(make_table, "delta", "iceberg")
    put = obstore.put

    def losing(store: Any, path: str, *args: Any, **kwargs: Any) -> Any:
        if not path.startswith("_delta_log/"):
            return put(store, path, *args, **kwargs)
        monkeypatch.undo()
        if lands:
            put(store, path, *args, **kwargs)
        raise Lost("connection reset by peer")

    monkeypatch.setattr(obstore, "put", losing)

    assert append_until_it_lands(table) == (1 if lands else 2)
    assert set(map(tuple, everyone(table).values())) == {tuple(BOTH)}
    assert unreferenced(table) == set()
