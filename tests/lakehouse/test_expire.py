"""Expiring old versions: what goes, what stays, and that every reader still reads."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import obstore
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcai_pipelines.contracts import load_contract
from mcai_pipelines.lakehouse import expire as expiry
from mcai_pipelines.lakehouse import flight, pins
from mcai_pipelines.lakehouse.delta import DeltaLog
from mcai_pipelines.lakehouse.errors import (
    CommitConflict,
    HistoryExpired,
    ReadOnlyTable,
    VersionNotFound,
)
from mcai_pipelines.lakehouse.expire import Expiry
from mcai_pipelines.lakehouse.expire_iceberg import ExpiringIceberg
from mcai_pipelines.lakehouse.failures import StorageFailed
from mcai_pipelines.lakehouse.fence import EXPIRY
from mcai_pipelines.lakehouse.iceberg import IcebergLog
from mcai_pipelines.lakehouse.retention import policy, retained
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import OPERATION, RESTORED, Change, Version
from mcai_pipelines.lakehouse.write import AppendKey
from tests.lakehouse.conftest import FORMATS, MIRRORED, open_table
from tests.lakehouse.faults import crew
from tests.lakehouse.plain_readers import assert_reads_everywhere, data_files, files_below

NOW = dt.timedelta(0)
MakeTable = Callable[..., Table]


class Killed(BaseException):
    """Ends a call where a kill would: nothing of ours catches it."""


def numbers(*items: int) -> pl.DataFrame:
    return pl.DataFrame({"item": items, "week": [f"w{n % 2}" for n in items]})


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_old_versions_and_their_files_go(
    make_table: MakeTable, primary: str, mirror: str | None
) -> None:
    table = make_table(primary, mirror, partition_by=("week",))
    count = 25 if mirror is None else 6  # without and with a checkpoint that is there already
    for n in range(count):
        table.write(numbers(n, n + 1), "overwrite")
    assert len(data_files(table)) == 2 * count

    done = table.expire(keep=3, older_than=NOW)

    assert done.expired == dict.fromkeys(table.formats, count - 3)
    assert done.files["data"] == 2 * (count - 3)
    assert done.reclaimed > 0
    assert len(data_files(table)) == 6
    assert_reads_everywhere(table, numbers(count - 1, count), by="item")
    history = table.history()
    assert [table.scan(version=v.id).collect().height for v in history] == [2, 2, 2, 2]
    for format in table.formats:
        assert table.scan(format=format).collect().height == 2
    table.rollback(history[-1].id)
    table.write(numbers(70), "append")
    assert_reads_everywhere(table, numbers(count - 3, count - 2, 70), by="item")


def written(
    make_table: MakeTable, count: int = 6, primary: str = "iceberg", mirror: str = "delta"
) -> Table:
    """A table with a mirror, overwritten a few times."""
    table = make_table(primary, mirror)
    for n in range(count):
        table.write(numbers(n, n + 1), "overwrite")
    return table


def expire(table: Table, keep: int = 2, **options: Any) -> Expiry:
    """Expire what no age protects, files of unknown origin included."""
    options = {"older_than": NOW, "safe_age": NOW, **options}
    return expiry.expire(table, keep=keep, **options)


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_a_rehearsal_changes_nothing_and_tells_all(
    make_table: MakeTable, primary: str, mirror: str
) -> None:
    table = written(make_table, 6, primary, mirror)
    before = files_below(table.storage.uri)

    told = table.expire(keep=2, older_than=NOW, dry_run=True)

    assert told.dry_run
    assert files_below(table.storage.uri) == before
    assert len(table.history()) == 6
    done = table.expire(keep=2, older_than=NOW)
    assert (told.expired, told.retained) == (done.expired, done.retained)
    assert told.files["metadata"] + 1 == done.files["metadata"]  # the one of the expiry itself
    same = done.files.keys() - {"metadata"}
    assert {kind: told.files[kind] for kind in same} == {kind: done.files[kind] for kind in same}


def test_what_is_young_is_kept(make_table: MakeTable) -> None:
    table = written(make_table)
    assert table.expire(keep=1).expired == {"iceberg": 0, "delta": 0}
    assert table.expire(keep=6, older_than=NOW).expired == {"iceberg": 0, "delta": 0}
    assert len(table.history()) == 6  # nothing to expire: no version was committed
    assert table.expire(keep=5, older_than=NOW).expired == {"iceberg": 1, "delta": 1}


def test_a_contract_says_what_is_kept(tmp_path: Path) -> None:
    text = (Path(__file__).parents[1] / "contracts/bad/history_of_nothing.yaml").read_text()
    path = tmp_path / "history_of_nothing.yaml"
    path.write_text(text.replace("keepVersions: 0, days: -1", "keepVersions: 30, days: 0"))
    assert policy(load_contract(path, tmp_path)) == (30, NOW)
    path.write_text(text.replace("keepVersions: 0, days: -1", "days: 90"))
    assert policy(load_contract(path, tmp_path)) == (10, dt.timedelta(days=90))
    assert policy(None) == (10, dt.timedelta(days=7))


def test_again_and_again_there_is_nothing_left_to_expire(make_table: MakeTable) -> None:
    table = written(make_table)
    table.expire(keep=2, older_than=NOW)
    before = files_below(table.storage.uri)
    again = table.expire(keep=2, older_than=NOW)
    assert again.expired == {"iceberg": 0, "delta": 0}
    assert again.files == {}
    assert files_below(table.storage.uri) == before


@pytest.mark.parametrize("bad", [{"keep": 0}, {"older_than": -dt.timedelta(1)}])
def test_a_policy_keeps_something(make_table: MakeTable, bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"keep at least one|negative"):
        written(make_table, 1).expire(**bad)


def test_a_pinned_version_is_kept_and_so_is_what_is_newer(make_table: MakeTable) -> None:
    table = written(make_table, primary="delta", mirror="iceberg")
    with pins.pinned(table.storage, 3):
        table.expire(keep=1, older_than=NOW)
        assert table.scan(version=3).collect().height == 2
        assert [v.id for v in table.history()] == [6, 5, 4, 3]
    table.expire(keep=1, older_than=NOW)
    with pytest.raises(VersionNotFound):
        table.scan(version=3)


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_a_version_that_is_pinned_while_it_expires_keeps_its_files(
    make_table: MakeTable, primary: str, mirror: str
) -> None:
    table = written(make_table, 6, primary, mirror)
    oldest = table.history()[-1].id
    rows = table.scan(version=oldest)
    with ExitStack() as stack:

        def pin(step: str) -> None:
            if step == "forgotten":
                stack.enter_context(pins.pinned(table.storage, oldest))

        done = expire(table, on_step=pin)
        assert done.kept == {"a reader has pinned an expired version": ANY}
        assert rows.collect().height == 2
        assert not done.files.get("data")
    assert expire(table).files["data"] == 4  # the next one completes it


def test_a_running_write_keeps_its_files_and_what_was_current_when_it_began(
    make_table: MakeTable,
) -> None:
    table, other = make_table("iceberg", "delta"), make_table("iceberg", "delta")
    for n in range(4):
        table.write(numbers(n), "overwrite")

    def meanwhile(step: str) -> None:
        if step == "staged":
            other.write(numbers(8), "append")
            expire(other, keep=1)

    table.write(numbers(9), "append", on_step=meanwhile)

    assert_reads_everywhere(table, numbers(3, 8, 9), by="item")


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
@pytest.mark.parametrize("step", ["listed", "forgotten", "fenced"])
def test_a_rollback_meanwhile_wins_whole_or_fails(
    make_table: MakeTable, primary: str, mirror: str, step: str
) -> None:
    """It has loaded a version that is being forgotten; it commits at each point there is."""
    table = make_table(primary, mirror)
    for n in range(4):
        table.write(numbers(n), "overwrite")
    first = table.history()[-1].id
    head, target = table.head(), table.primary.at(first)
    assert head.files != target.files
    change = Change(
        operation="rollback",
        schema=head.schema,
        partition_by=head.partition_by,
        added=list(target.files.values()),
        removed=list(head.files.values()),
        properties={RESTORED: str(first)},
    )
    landed = []

    def roll_back(name: str) -> None:
        if name == step:
            with suppress(CommitConflict):
                landed.append(make_table(primary, mirror).primary.commit(head, change))

    expire(table, keep=1, on_step=roll_back)

    assert bool(landed) == (step != "fenced")
    assert_reads_everywhere(table, numbers(0) if landed else numbers(3), by="item")


@pytest.mark.parametrize("format", ["iceberg", "delta"])
@pytest.mark.parametrize("others", [1, 2, 5])
def test_a_commit_on_an_expired_version_conflicts(
    make_table: MakeTable, format: str, others: int
) -> None:
    """In a Delta log the next version's name is free again by then, and no reader looks there."""
    table = make_table(format)
    table.write(numbers(0))
    stale, rows = table.head(), numbers(9)
    for n in range(1, others + 1):
        table.write(numbers(n))
    expire(table, keep=1)
    before = [version.id for version in table.history()]

    with pytest.raises(CommitConflict):
        table.primary.commit(stale, Change("append", stale.schema, ()))

    assert [version.id for version in table.history()] == before
    table.write(rows, base=stale)
    assert_reads_everywhere(table, numbers(*range(others + 1), 9), by="item")


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_others_commit_between_every_two_steps(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, primary: str, mirror: str
) -> None:
    """The choice is made anew, the fence is tried again, and what they wrote is there."""
    table, other = written(make_table, 4, primary, mirror), make_table(primary, mirror)
    late = iter(numbers(n) for n in range(100, 200))

    def after_a_commit(owner: Any, name: str, times: int) -> None:
        original, calls = getattr(owner, name), count(1)

        def calling(*args: Any) -> Any:
            if next(calls) <= times:
                other.write(next(late))
            return original(*args)

        monkeypatch.setattr(owner, name, calling)

    after_a_commit(ExpiringIceberg, "protected", 5)  # between choosing and forgetting
    after_a_commit(table.primary, "commit", 2)

    done = expire(table, keep=1)

    assert done.expired[primary] == 3  # what they wrote is too young, and what it replaced
    rows = pl.concat([numbers(3, 4), *(numbers(n) for n in range(100, next(late)["item"].item()))])
    assert_reads_everywhere(table, rows, by="item")


def test_another_expiry_takes_away_what_is_being_read(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = written(make_table, 4)
    references, calls = ExpiringIceberg.references, count(1)

    def overtaken(self: ExpiringIceberg, without: Any = ()) -> Any:
        if next(calls) == 1:
            raise FileNotFoundError("_iceberg/gone.avro")
        return references(self, without)

    monkeypatch.setattr(ExpiringIceberg, "references", overtaken)
    assert expire(table, keep=1).files["data"] == 3
    monkeypatch.setattr(ExpiringIceberg, "references", lambda *_: (_ for _ in ()).throw(OSError))
    with pytest.raises(StorageFailed):
        expire(table, keep=1)


def test_writers_readers_and_expiries_at_once(tmp_path: Path, make_table: MakeTable) -> None:
    table = make_table("delta", "iceberg")
    table.write(numbers(0))
    calls = [
        (tmp_path, who, start) for who, start in ((_append, 100), (_append, 200), (_expire, 4))
    ]
    crew.run_all(_at_work, calls)

    rows = pl.concat([numbers(0), *(numbers(n) for s in (100, 200) for n in range(s, s + 8))])
    assert_reads_everywhere(table, rows, by="item")
    expire(table, keep=1)
    assert_reads_everywhere(table, rows, by="item")
    assert len(data_files(table)) == 17


def _at_work(root: Path, who: Callable[[Table, int], None], number: int) -> None:
    who(open_table(root, "t", "delta", "iceberg"), number)


def _append(table: Table, start: int) -> None:
    for n in range(start, start + 8):
        table.write(numbers(n))


def _expire(table: Table, times: int) -> None:
    for _ in range(times):
        expire(table, keep=2, safe_age=dt.timedelta(days=1))
        assert table.scan().collect().height >= 1


def test_a_table_is_not_begun_anew_where_its_first_version_has_expired(
    make_table: MakeTable,
) -> None:
    table = written(make_table, 3, "delta", "iceberg")
    expire(table, keep=1)
    table.write(numbers(9), base=None)
    assert_reads_everywhere(table, numbers(2, 3, 9), by="item")


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
@pytest.mark.parametrize("step", expiry.STEPS[:-1])
def test_a_killed_expiry_is_completed_by_the_next(
    make_table: MakeTable, primary: str, mirror: str, step: str
) -> None:
    table = written(make_table, 6, primary, mirror)

    def die(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        expire(table, on_step=die)

    assert table.scan(format=mirror).collect().height == 2
    expire(make_table(primary, mirror))
    assert_reads_everywhere(table, numbers(5, 6), by="item")
    assert len(data_files(table)) == len(
        {f for v in table.history() for f in table.primary.at(v.id).files}
    )
    assert not files_below(table.storage.uri, "_expiry")
    assert len(files_below(table.storage.uri, "_delta_log")) <= 8


@pytest.mark.parametrize("number", [1, 2, 4, 7])
def test_an_expiry_killed_between_two_deletions_is_completed_by_the_next(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    table = written(make_table, 6, "delta", "iceberg")
    calls = count(1)
    delete = obstore.delete

    def dying(*args: Any) -> None:
        if next(calls) == number:
            raise Killed
        delete(*args)

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "delete", dying)
        with pytest.raises(Killed):
            expire(table)
    assert table.scan(format="iceberg").collect().height == 2
    assert all(table.history())
    expire(table)
    assert_reads_everywhere(table, numbers(5, 6), by="item")
    assert len(data_files(table)) == 2


def test_a_mirror_that_lags_is_repaired_first(make_table: MakeTable) -> None:
    table = written(make_table)
    make_table("iceberg").write(numbers(8), "overwrite")  # knows of no mirror
    expire(table, keep=1)
    assert_reads_everywhere(table, numbers(8), by="item")


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_a_log_that_the_table_is_not_opened_with_keeps_its_files(
    make_table: MakeTable, primary: str, mirror: str
) -> None:
    table = written(make_table, 3, primary, mirror)
    alone = make_table(primary)
    for n in range(7, 10):
        alone.write(numbers(n), "overwrite")

    expire(alone, keep=1)

    assert [v.id for v in alone.history()] == [v.id for v in table.history()]
    assert len(data_files(table)) == 3 + 1
    other = DeltaLog(table.storage) if mirror == "delta" else IcebergLog(table.storage)
    heights = [other.scan(other.at(v.id)).collect().height for v in list(other.versions())]
    assert heights == [2, 2, 2]
    assert_reads_everywhere(alone, numbers(9), by="item")


def test_a_tag_of_another_tool_is_respected(make_table: MakeTable) -> None:
    table = written(make_table)
    tagged = table.history()[-2].id
    iceberg = table.storage.catalog().load_table(table.storage.identifier)
    iceberg.manage_snapshots().create_tag(tagged, "audit-2026").commit()

    expire(table, keep=1)

    assert table.scan(version=tagged).collect().sort("item").equals(numbers(1, 2))
    assert_reads_everywhere(table, numbers(5, 6), by="item")
    expire(table, keep=1)
    assert table.scan(version=tagged).collect().height == 2


def test_leftovers_go_when_they_are_old_enough(make_table: MakeTable) -> None:
    table = written(make_table, 2)
    root = Path(table.storage.uri)
    left = {
        "_iceberg/00007-dead.metadata.json": "metadata",
        "_iceberg/0000-dead-m0.avro": "manifest",
        "_iceberg/snap-1-0-dead.avro": "manifest list",
        "_delta_log/00000000000000000009.json#1": "temporary",
        "_data/part-0-of-another-tool.parquet": "data",
        "part-0-of-another-tool.parquet": "data",
        "_data/20200101T000000-0123456789ab-00000.parquet": "data",  # of ours: dead, no marker
    }
    for name in left:
        Path(root, name).write_bytes(b"left")
    before = files_below(root)

    done = table.expire(older_than=NOW)

    assert before - files_below(root) == {"_data/20200101T000000-0123456789ab-00000.parquet"}
    assert done.kept == {"too young to tell": 7}  # and one that Iceberg has replaced
    old = (dt.datetime.now() - dt.timedelta(days=2)).timestamp()
    for name in left.keys() & files_below(root):
        os.utime(Path(root, name), (old, old))
    assert table.expire(older_than=NOW).files == {
        "metadata": 1,
        "manifest": 1,
        "manifest list": 1,
        "temporary": 1,
        "data": 2,
    }
    assert not left.keys() & files_below(root)
    assert_reads_everywhere(table, numbers(1, 2), by="item")


def test_what_a_dead_writer_staged_goes_even_where_the_log_cannot_tell(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its marker is older than all that is retained, so `sweep` alone would never dare."""
    table = written(make_table, 2)

    def die(step: str) -> None:
        if step == "audited":
            raise Killed

    with pytest.raises(Killed):
        table.write(numbers(7), "append", on_step=die)
    monkeypatch.setattr(flight, "is_abandoned", lambda marker: True)
    monkeypatch.setattr(flight, "_may_be_shown", lambda marker, versions: True)
    for n in range(3):
        table.write(numbers(n), "overwrite")
    assert len(data_files(table)) == 6
    expire(table, keep=1)
    assert len(data_files(table)) == 1
    assert not files_below(table.storage.uri, "_staged")


def test_the_same_append_is_not_made_again_when_its_key_may_have_expired(
    make_table: MakeTable,
) -> None:
    table = make_table("delta", "iceberg")
    began = dt.datetime.now(dt.UTC)
    key = AppendKey("run 1", since=began)
    for n in range(3):
        table.write(numbers(n), key=AppendKey(f"run {n}", since=began))
    assert table.write(numbers(1), key=key).repeated
    expire(table, keep=1)

    with pytest.raises(HistoryExpired, match=r"table t: .*start a new run"):
        table.write(numbers(1), key=key)

    assert_reads_everywhere(table, numbers(0, 1, 2), by="item")
    assert not files_below(table.storage.uri, "_staged")
    new = AppendKey("run 9", since=dt.datetime.now(dt.UTC))
    assert not table.write(numbers(9), key=new).repeated
    assert table.write(numbers(9), key=new).repeated


def test_an_adopted_table_is_not_ours_to_expire(make_table: MakeTable) -> None:
    written(make_table, 2)
    with pytest.raises(ReadOnlyTable):
        make_table("iceberg", "delta", read_only=True).expire()


@given(
    ages=st.lists(st.integers(0, 30), min_size=1, max_size=12).map(sorted),
    fences=st.sets(st.integers(0, 11)),
    keep=st.integers(1, 6),
    days=st.integers(0, 30),
    named=st.sets(st.integers(0, 11)),
    gaps=st.booleans(),
)
def test_the_law_of_retention(
    ages: list[int], fences: set[int], keep: int, days: int, named: set[int], gaps: bool
) -> None:
    """Kept are the head, enough versions, whatever was current lately, what is named; no more."""
    now = dt.datetime(2026, 5, 4, tzinfo=dt.UTC)
    versions = [
        Version(
            id=number,
            sequence=len(ages) - number,
            committed_at=now - dt.timedelta(days=age),
            operation="append",
            properties={OPERATION: EXPIRY} if number in fences else {},
            parent=None,
        )
        for number, age in enumerate(ages)
    ]

    kept = retained(versions, keep, now - dt.timedelta(days=days), named, gaps)

    everything = range(len(ages))
    newest = {n for n in everything if n == 0 or ages[n - 1] <= days}  # the head, and current then
    for number in everything:
        if len([n for n in range(number) if n not in fences]) < keep:
            newest.add(number)
    newest = set(range(max(newest) + 1))
    if not gaps:
        newest = set(range(max(newest | (named & set(everything))) + 1))
    assert kept == newest | (named & set(everything))
