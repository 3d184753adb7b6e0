"""Erasing a subject from one table: nothing that is left can be decoded to its key."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from itertools import cycle
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcai_pipelines.lakehouse import erase_table, traces
from mcai_pipelines.lakehouse.erase_table import STEPS, Erasing, Removal, remove_rows
from mcai_pipelines.lakehouse.erased import Record, load
from mcai_pipelines.lakehouse.errors import LakeError, VersionErased
from mcai_pipelines.lakehouse.scan_files import scan_files
from mcai_pipelines.lakehouse.subject import Key, Subject
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.write import Mode, Writing
from tests.lakehouse import decoder
from tests.lakehouse.conftest import FORMATS, MIRRORED, open_table
from tests.lakehouse.faults import crew, death
from tests.lakehouse.plain_readers import assert_reads_everywhere, data_files, files_below

MakeTable = Callable[..., Table]
PERSON = 7_340_219_455_123
"""In no count, size, time or id by chance."""
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
A_DAY = dt.timedelta(days=1)
OTHERS = [PERSON - 1000, PERSON + 1000, 12]


class Killed(BaseException):
    """Ends a call where a kill would: nothing of ours catches it."""


def purchases(*persons: int | None, first: int = 0) -> pl.DataFrame:
    count = len(persons)
    return pl.DataFrame(
        {
            "purchase": range(first, first + count),
            "person": pl.Series(persons, dtype=pl.Int64),
            "name": [f"n{person}" for person in persons],
            "week": [f"w{n % 3}" for n in range(count)],
        }
    )


def key_of(table: Table, column: str = "person", value: object = PERSON) -> Key:
    key = Subject(column, str(value)).key(table.head().schema)
    assert key is not None
    return key


def erase(table: Table, key: Key | None = None, **options: Any) -> Removal:
    record = Record("e1", dt.datetime.now(dt.UTC), "asked to")
    return Erasing(table, key or key_of(table), record, **options).run()


@pytest.mark.parametrize("by", [(), ("week",), ("person",)])
@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_nothing_holds_the_subject_any_more(
    make_table: MakeTable, tmp_path: Path, primary: str, mirror: str | None, by: tuple[str, ...]
) -> None:
    table = make_table(primary, mirror, partition_by=by)
    table.write(purchases(PERSON, *OTHERS))
    table.write(purchases(OTHERS[0], OTHERS[1], first=10))
    before = table.history()[0].id
    table.write(purchases(PERSON, first=20))
    untouched = {f for f in data_files(table) if f in table.primary.at(before).files}
    assert decoder.find(tmp_path, PERSON)
    expected = table.scan().filter(pl.col("person") != PERSON).collect()

    done = erase(table)

    assert decoder.find(tmp_path, PERSON) == []
    assert (done.rows, done.remaining) == (2, 0)
    assert not traces.find(table, key_of(table))
    if by == ():
        assert_reads_everywhere(table, expected, by="purchase")
    assert table.scan().collect().sort("purchase").equals(expected.sort("purchase"))
    assert untouched & data_files(table)  # a file without the subject is not rewritten
    with pytest.raises(VersionErased, match=r"was erased on 20.*asked to"):
        table.scan(version=before)
    with pytest.raises(VersionErased):
        table.scan(as_of=dt.datetime(2020, 1, 1))
    table.write(purchases(5, first=30))
    assert table.scan().collect().height == expected.height + 1


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("word", ["Ada Lovelace of Marylebone", "Ada Lovelace", "Zoë"]),
        ("day", [dt.date(1815, 12, 10), dt.date(1906, 12, 9), dt.date(1970, 1, 1)]),
        ("sum", [Decimal("1234567.89"), Decimal("0.01"), Decimal("7.00")]),
        ("at", [dt.datetime(1815, 12, 10, 7, 30, 0, 123456, dt.UTC), EPOCH, EPOCH + A_DAY]),
    ],
)
def test_keys_of_every_type(
    make_table: MakeTable, tmp_path: Path, column: str, values: list[Any]
) -> None:
    table = make_table("delta", "iceberg", partition_by=(column,))
    frame = pl.DataFrame({"n": [0, 1, 2], column: values})
    table.write(frame)
    table.write(frame.with_columns(pl.col("n") + 10).filter(pl.col("n") != 11), "append")
    key = key_of(table, column, values[0])

    assert erase(table, key).rows == 2

    assert_reads_everywhere(
        table, pl.DataFrame({"n": [1, 2, 12], column: [*values[1:], values[2]]}), by="n"
    )
    assert not traces.find(table, key)
    if column == "word":
        assert decoder.find(tmp_path, values[0]) == []


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_a_subject_of_the_past_only(
    make_table: MakeTable, tmp_path: Path, primary: str, mirror: str
) -> None:
    """Its rows were overwritten and expired; the oldest entry still says which files went."""
    table = make_table(primary, mirror, partition_by=("person",))
    table.write(purchases(PERSON, *OTHERS))
    table.write(purchases(*OTHERS), "overwrite")
    table.expire(keep=1, older_than=dt.timedelta(0))
    assert decoder.find(tmp_path, PERSON)
    found = traces.find(table, key_of(table))
    assert (found.rows, bool(found.logs)) == (0, True)

    assert erase(table).rows == 0

    assert decoder.find(tmp_path, PERSON) == []
    assert_reads_everywhere(table, purchases(*OTHERS), by="purchase")


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_a_mirror_that_the_table_is_not_opened_with(
    make_table: MakeTable, tmp_path: Path, primary: str, mirror: str
) -> None:
    """Its contract lost the mirror; the other log is there, and still shows the subject."""
    make_table(primary, mirror).write(purchases(PERSON, 1))
    table = make_table(primary)
    table.write(purchases(2, first=10))

    assert erase(table).rows == 1

    assert decoder.find(tmp_path, PERSON) == []
    assert make_table(primary, mirror).scan(format=mirror).collect().height == 2


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_what_killed_and_failed_writers_left(
    make_table: MakeTable, tmp_path: Path, primary: str, mirror: str | None
) -> None:
    """Staged files, metadata that no commit refers to, half a log entry."""
    table = make_table(primary, mirror, partition_by=("person",))
    table.write(purchases(*OTHERS))
    for point in ("staged", "primary written"):
        assert crew.run(_die_writing, tmp_path, primary, mirror, point) == crew.KILLED
    Path(table.storage.uri, "_delta_log").mkdir(exist_ok=True)
    Path(table.storage.uri, "_delta_log/00000000000000000007.json#1").write_text(f"…{PERSON}…")
    whole = next(f for f in data_files(table) if f"person={PERSON}" in f)
    broken = Path(table.storage.uri, "_data/20260101T000000-0123456789ab-00000.parquet")
    broken.write_bytes(Path(table.storage.uri, whole).read_bytes()[:-9])
    found = traces.find(table, key_of(table))
    assert found.old[broken.relative_to(table.storage.uri).as_posix()] == 0  # it may have any
    assert traces.find(table, key_of(table))

    done = erase(table)

    assert decoder.find(tmp_path, PERSON) == []
    assert (done.rows, done.remaining) == (0, 0)


def _die_writing(root: Path, primary: str, mirror: str | None, point: str) -> None:
    table = open_table(root, "t", primary, mirror, partition_by=("person",))
    table.write(purchases(PERSON, first=50), on_step=death.at(point, table))


@pytest.mark.parametrize(
    ("step", "primary", "mirror"),
    [(step, *formats) for step, formats in zip(STEPS[:-1], cycle(MIRRORED), strict=False)],
)
def test_a_killed_erasure_is_completed_by_the_next(
    make_table: MakeTable, tmp_path: Path, primary: str, mirror: str, step: str
) -> None:
    table = make_table(primary, mirror)
    for n in range(3):
        table.write(purchases(PERSON, OTHERS[n], first=10 * n))
    before = table.head().version

    def die(name: str) -> None:
        if name == step:
            raise Killed

    with pytest.raises(Killed):
        erase(table, on_step=die)
    erase(make_table(primary, mirror))

    assert decoder.find(tmp_path, PERSON) == []
    assert table.scan().collect()["person"].sort().to_list() == sorted(OTHERS)
    with pytest.raises(VersionErased):
        table.scan(version=before)
    assert all(record.ended for record in load(table.storage))


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_rows_that_others_append_meanwhile(
    make_table: MakeTable, tmp_path: Path, primary: str, mirror: str | None
) -> None:
    """Before it commits they are erased too; after that they are told of, and the rerun's."""
    table, other = make_table(primary, mirror), make_table(primary, mirror)
    table.write(purchases(PERSON, 1))
    late = iter([purchases(PERSON, 2, first=20)])

    def append(step: str) -> None:
        if step == "rewritten":
            other.write(next(late))

    def rewrite(*args: Any) -> tuple[int, int]:
        with patched(Writing, "_carry", lambda: other.write(purchases(PERSON, 3, first=10))):
            return remove_rows(*args)

    done = erase(table, rewrite=rewrite, on_step=append)

    assert (done.rows, done.remaining) == (2, 1)
    assert table.scan().collect()["person"].sort().to_list() == [1, 2, 3, PERSON]
    again = erase(table)
    assert (again.rows, again.remaining) == (1, 0)
    assert decoder.find(tmp_path, PERSON) == []
    assert table.scan().collect()["person"].sort().to_list() == [1, 2, 3]


@contextmanager
def patched(owner: Any, name: str, first: Callable[[], object]) -> Iterator[None]:
    """Do something before the first call of a method, which then does what it does."""
    original = getattr(owner, name)

    def calling(*args: Any, **kwargs: Any) -> Any:
        setattr(owner, name, original)
        first()
        return original(*args, **kwargs)

    setattr(owner, name, calling)
    try:
        yield
    finally:
        setattr(owner, name, original)


def test_a_write_in_flight_is_told_of(make_table: MakeTable, tmp_path: Path) -> None:
    table, other = make_table("iceberg", "delta"), make_table("iceberg", "delta")
    table.write(purchases(PERSON, 1))
    done = []

    def meanwhile(step: str) -> None:
        if step == "audited":
            done.append(erase(table))

    other.write(purchases(PERSON, first=10), on_step=meanwhile)

    assert (done[0].rows, done[0].remaining) == (1, 1)
    assert erase(table).rows == 1
    assert decoder.find(tmp_path, PERSON) == []


def test_a_rewrite_that_lost_a_row_is_not_committed(
    make_table: MakeTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = make_table("delta")
    table.write(purchases(PERSON, 1, 2))
    before = files_below(table.storage.uri)
    monkeypatch.setattr(erase_table, "scan_files", lambda *args: scan_files(*args).head(2))

    with pytest.raises(LakeError, match="do not hold exactly the other rows"):
        remove_rows(table, key_of(table), "e1")

    assert files_below(table.storage.uri) == before


WRITES = st.lists(
    st.tuples(
        st.sampled_from(["append", "overwrite", "merge", "compact", "rollback", "expire", "week"]),
        st.lists(st.sampled_from([PERSON, *OTHERS, None]), min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=7,
)


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(writes=WRITES, by=st.sampled_from([(), ("week",)]))
def test_the_law_of_erasure(
    tmp_path_factory: pytest.TempPathFactory,
    primary: str,
    mirror: str | None,
    writes: list[tuple[str, list[int | None]]],
    by: tuple[str, ...],
) -> None:
    """Whatever was done before: nothing decodes to the key, and all other rows are as they were."""
    root = tmp_path_factory.mktemp("law")
    table = open_table(root, "t", primary, mirror, partition_by=by, primary_key=("purchase",))
    table.write(purchases(PERSON, *OTHERS))
    for number, (what, persons) in enumerate(writes, start=1):
        _do(table, what, purchases(*persons, first=number * 3))
    key = key_of(table)
    expected = table.scan().filter(pl.col("person").ne_missing(PERSON)).collect()

    assert erase(table, key).remaining == 0

    assert decoder.find(root, PERSON) == []
    for format in table.formats:
        found = table.scan(format=format).collect().sort(pl.all())
        assert found.equals(expected.sort(pl.all()))


def _do(table: Table, what: str, frame: pl.DataFrame) -> None:
    modes: dict[str, Mode] = {"append": "append", "overwrite": "overwrite", "merge": "merge"}
    if what in modes:
        table.write(frame, modes[what])
    elif what == "week" and table.partition_by:
        rows = frame.filter(pl.col("week") == "w1")
        table.write(rows, "overwrite_partitions", partitions=[("w1",)])
    elif what == "compact":
        table.compact()
    elif what == "rollback":
        table.rollback(table.history()[-1].id)
    elif what == "expire":
        table.expire(keep=2, older_than=dt.timedelta(0))
