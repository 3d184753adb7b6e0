"""Replicas at another site, either format to either: the same rows, in the same bytes."""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import obstore
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, TableFeatures, write_deltalake
from obstore.exceptions import GenericError
from pyiceberg.types import IntegerType, LongType, StringType

from mcai_pipelines.errors import BadInput
from mcai_pipelines.lakehouse import copying, receipts, replicate
from mcai_pipelines.lakehouse.errors import (
    CopyFailed,
    ReadOnlyTable,
    ReplicaDiverged,
    TableNotFound,
    UnsupportedTable,
)
from mcai_pipelines.lakehouse.failures import StorageFailed
from mcai_pipelines.lakehouse.replicate import ReplicaRequest, Replication
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.transfer import Progress
from mcai_pipelines.lakehouse.versions import REPLICA_OF, REPLICA_SITE, REPLICA_VERSION
from tests.lakehouse.conftest import open_table, schema_of
from tests.lakehouse.faults.readers import everyone, markers, ours, plain_catalog, rows
from tests.lakehouse.plain_readers import assert_reads_everywhere, files_below

JAN_2, JAN_9 = dt.date(2017, 1, 2), dt.date(2017, 1, 9)
WEEKS = pl.DataFrame({"n": [1, 2, 3, 4], "week": [JAN_2, JAN_2, JAN_9, JAN_9]})
ONE, TWO = pl.DataFrame({"n": [1]}), pl.DataFrame({"n": [2]})

WAYS = [
    ("iceberg", "iceberg", None),
    ("iceberg", "delta", "iceberg"),
    ("delta", "iceberg", "delta"),
    ("delta", "delta", None),
]
"""Format of the source, of the replica, and of the replica's mirror."""

every_way = pytest.mark.parametrize(("source_format", "format", "mirror"), WAYS)


class Sites:
    """A table at one site and its replica at another: two folders, two catalogs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for site in ("here", "there"):
            (root / site).mkdir()

    def source(self, format: str = "iceberg", mirror: str | None = None, **options: Any) -> Table:
        return open_table(self.root / "here", "products", format, mirror, **options)

    def replica(self, format: str = "delta", mirror: str | None = None) -> Table:
        root = self.root / "there"
        return open_table(root, "copy", format, mirror, replica_of="products")


@pytest.fixture
def sites(tmp_path: Path) -> Sites:
    return Sites(tmp_path)


def copy(source: Table, target: Table, **options: Any) -> Replication:
    return replicate.replicate(source, target, ReplicaRequest(site="here", **options))


def checksums(table: Table) -> dict[str, str]:
    root = Path(table.storage.uri)
    live = table.head().files
    return {path: hashlib.sha256((root / path).read_bytes()).hexdigest() for path in live}


# ---------------------------------------------------------------- what a replica is


@every_way
def test_the_same_files_in_the_formats_of_the_replica(
    sites: Sites, source_format: str, format: str, mirror: str | None
) -> None:
    source = sites.source(source_format, partition_by=["week"])
    newest = source.write(WEEKS).version
    target = sites.replica(format, mirror)

    done = copy(source, target)

    assert_reads_everywhere(target, WEEKS, by="n")
    assert checksums(target) == checksums(source)
    assert (done.files_copied, done.files_reused, done.unchanged) == (2, 0, False)
    assert done.bytes_copied == source.info().bytes
    [version] = target.history()
    assert version.properties[REPLICA_OF] == "products"
    assert version.properties[REPLICA_SITE] == "here"
    assert version.properties[REPLICA_VERSION] == str(newest.id)
    assert markers(target) == markers(source) == []


@every_way
def test_only_what_changed_is_copied(
    sites: Sites, source_format: str, format: str, mirror: str | None
) -> None:
    source, target = (
        sites.source(source_format, partition_by=["week"]),
        sites.replica(format, mirror),
    )
    first = source.write(WEEKS).version
    copy(source, target)

    replaced = WEEKS.filter(week=JAN_9).with_columns(pl.col("n") * 10)
    source.write(replaced, "overwrite_partitions", partitions=[(JAN_9,)])
    done = copy(source, target)
    assert (done.files_copied, done.files_reused, done.files_removed) == (1, 1, 1)
    assert_reads_everywhere(target, pl.concat([WEEKS.filter(week=JAN_2), replaced]), by="n")

    source.rollback(first.id)
    done = copy(source, target)
    assert (done.files_copied, done.files_removed) == (0, 1)  # the old file is still there
    assert_reads_everywhere(target, WEEKS, by="n")

    source.write(WEEKS.clear(), "overwrite")
    copy(source, target)
    assert ours(target) == []
    assert len(target.history()) == 4


@every_way
def test_an_unchanged_source_is_left_alone(
    sites: Sites,
    source_format: str,
    format: str,
    mirror: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = sites.source(source_format), sites.replica(format, mirror)
    source.write(ONE)
    first = copy(source, target)
    before = files_below(target.storage.uri)

    def refuse(*_args: Any, **_options: Any) -> Any:
        raise AssertionError("something was listed")

    monkeypatch.setattr(obstore, "list", refuse)
    again = copy(source, target)
    assert again.unchanged
    assert again.version == first.version
    assert again.mirror_version == first.mirror_version
    assert files_below(target.storage.uri) == before


@every_way
def test_the_schema_follows(
    sites: Sites, source_format: str, format: str, mirror: str | None
) -> None:
    target = sites.replica(format, mirror)
    other = {"iceberg": "delta", "delta": "iceberg"}[source_format]
    old = schema_of({"n": IntegerType()}, required=["n"])
    sites.source(source_format, other, schema=old).write(ONE.cast(pl.Int32))
    copy(sites.source(source_format, other), target)
    new = schema_of({"n": LongType(), "s": StringType()})
    source = sites.source(source_format, other, schema=new)  # widened, relaxed, and one more
    source.write(pl.DataFrame({"n": [1 << 40], "s": ["x"]}))

    copy(source, target)

    expected = pl.DataFrame({"n": [1, 1 << 40], "s": [None, "x"]})
    assert_reads_everywhere(target, expected, by="n")


def test_a_replica_of_a_replica(sites: Sites, tmp_path: Path) -> None:
    source, target = sites.source(), sites.replica()
    source.write(ONE)
    copy(source, target)
    (tmp_path / "beyond").mkdir()
    beyond = open_table(tmp_path / "beyond", "copy", "iceberg", "delta", replica_of="copy")
    copy(target, beyond)
    assert_reads_everywhere(beyond, ONE, by="n")
    assert beyond.history()[0].properties[REPLICA_OF] == "copy"


def test_a_source_that_is_not_written_yet(sites: Sites) -> None:
    with pytest.raises(TableNotFound, match=r"products has not been written yet at .*here"):
        copy(sites.source(), sites.replica())


# ---------------------------------------------------------------- what others wrote


def test_a_delta_table_that_delta_rs_wrote(sites: Sites) -> None:
    """Its files lie beside its log; at the replica they are below ``_data/``, out of the way."""
    odd = ["a b", "50%", "x=y", "ü/ä", None]
    source, target = sites.source("delta"), sites.replica("iceberg", "delta")
    theirs = pa.table({"n": list(range(5)), "p": odd})
    write_deltalake(source.storage.uri, theirs, partition_by=["p"])
    copy(source, target)
    assert ours(target) == rows(pl.DataFrame({"n": range(5), "p": odd}))
    assert {path.split("/")[0] for path in target.head().files} == {"_data"}

    DeltaTable(source.storage.uri).delete("n = 1")
    done = copy(source, target)
    assert (done.files_copied, done.files_removed) == (0, 1)
    DeltaTable(source.storage.uri).optimize.compact()
    copy(source, target)
    write_deltalake(source.storage.uri, theirs.slice(1, 1), mode="append")
    copy(source, target)
    assert ours(target) == rows(pl.DataFrame({"n": range(5), "p": odd}))


def test_an_iceberg_table_with_its_files_elsewhere(sites: Sites, tmp_path: Path) -> None:
    source = sites.source("iceberg")
    source.write(ONE)
    outside = tmp_path / "outside.parquet"
    ONE.write_parquet(outside)
    plain_catalog(source).load_table(source.storage.identifier).add_files([str(outside)])
    with pytest.raises(UnsupportedTable, match=r"outside\.parquet is not a Parquet file below"):
        copy(source, sites.replica())
    assert not files_below(sites.root / "there", "test/copy/_data")


def test_an_iceberg_table_whose_files_have_former_names(sites: Sites) -> None:
    source = sites.source("iceberg")
    source.write(ONE)
    theirs = plain_catalog(source).load_table(source.storage.identifier)
    without_ids = f"{source.storage.uri}/_data/theirs.parquet"
    TWO.write_parquet(without_ids)
    theirs.add_files([without_ids])
    copy(source, sites.replica("iceberg"))
    assert ours(sites.replica("iceberg")) == [(1,), (2,)]

    with theirs.update_schema() as update:
        update.rename_column("n", "m")
    theirs.append(pa.table({"m": [3]}))
    assert rows(pl.DataFrame(theirs.scan().to_arrow())) == [(1,), (2,), (3,)]
    with pytest.raises(UnsupportedTable, match="a column was renamed, and files without field ids"):
        copy(source, sites.replica("iceberg"))


@pytest.mark.parametrize("format", ["iceberg", "delta"])
def test_a_table_with_deletion_vectors(sites: Sites, format: str) -> None:
    source = sites.source("delta")
    source.write(ONE)
    DeltaTable(source.storage.uri).alter.add_feature(
        TableFeatures.DeletionVectors, allow_protocol_versions_increase=True
    )
    with pytest.raises(UnsupportedTable, match="deletion vectors"):
        copy(source, sites.replica(format))


def test_a_widened_iceberg_table_is_copied_as_iceberg_only(sites: Sites) -> None:
    """Bytes are never encoded anew, and Delta would misread the narrow file."""
    sites.source(schema=schema_of({"n": IntegerType()})).write(ONE.cast(pl.Int32))
    source = sites.source(schema=schema_of({"n": LongType()}))
    source.write(TWO)
    with pytest.raises(UnsupportedTable, match=r"1 of its files .* widened.*mcai table mirror"):
        copy(source, sites.replica("delta"))
    copy(source, sites.replica("iceberg"))
    assert ours(sites.replica("iceberg")) == [(1,), (2,)]


# ---------------------------------------------------------------- nobody else writes a replica


def test_writes_to_a_replica_are_refused(sites: Sites) -> None:
    source, target = sites.source(), sites.replica("delta", "iceberg")
    source.write(ONE)
    version = copy(source, target).version
    unaware = open_table(sites.root / "there", "copy", "delta", "iceberg")
    for table in (target, unaware):
        with pytest.raises(ReadOnlyTable, match=r"is a replica of products: write that one"):
            table.write(TWO)
        with pytest.raises(ReadOnlyTable, match=r"is a replica of products: write that one"):
            table.rollback(version.id)
    assert ours(target) == [(1,)]
    assert markers(target) == []


def test_what_another_tool_writes_to_a_replica_is_noticed(sites: Sites) -> None:
    source, target = sites.source(), sites.replica("delta", "iceberg")
    source.write(ONE)
    copy(source, target)
    write_deltalake(target.storage.uri, pa.table({"n": [66]}), mode="append")
    source.write(TWO)
    with pytest.raises(ReplicaDiverged, match=r"version 1 \(write, .*not made by a replication"):
        copy(source, target)
    assert ours(target) == [(1,), (66,)]

    copy(source, target, force=True)
    assert set(map(tuple, everyone(target).values())) == {((1,), (2,))}
    assert len(target.history()) == 3


def test_a_table_of_its_own_is_never_made_a_replica(sites: Sites) -> None:
    source, target = sites.source(), open_table(sites.root / "there", "copy", "delta", None)
    source.write(ONE)
    target.write(TWO)
    for force in (False, True):
        with pytest.raises(ReplicaDiverged, match="is a table of its own, not a replica of prod"):
            copy(source, sites.replica(), force=force)
    assert ours(target) == [(2,)]


def test_a_replica_of_another_table(sites: Sites, tmp_path: Path) -> None:
    source, target = sites.source(), sites.replica()
    source.write(ONE)
    copy(source, target)
    other = open_table(tmp_path / "here", "other", "iceberg", None)
    other.write(TWO)
    with pytest.raises(ReplicaDiverged, match="is a replica of products, not of other"):
        copy(other, target)


def test_another_partitioning_is_another_table(sites: Sites) -> None:
    source, target = sites.source("delta", partition_by=["week"]), sites.replica()
    source.write(WEEKS)
    copy(source, target)
    shutil.rmtree(source.storage.uri)
    write_deltalake(source.storage.uri, pa.table({"n": [1], "week": [JAN_2]}))
    with pytest.raises(BadInput, match=r"partitioned by nothing and its replica copy by week"):
        copy(source, target)


# ---------------------------------------------------------------- verified


def flip(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[len(body) // 2] ^= 0xFF
    path.write_bytes(body)


def test_a_copy_that_arrives_damaged_is_made_again(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = sites.source(), sites.replica()
    source.write(ONE)
    put = obstore.put
    damaged: list[str] = []

    def damaging(store: Any, path: str, file: Any, **options: Any) -> Any:
        result = put(store, path, file, **options)
        if path.startswith("_data/") and not damaged:
            damaged.append(path)
            flip(Path(store.prefix, path))
        return result

    monkeypatch.setattr(obstore, "put", damaging)
    done = copy(source, target)
    assert damaged
    assert done.bytes_copied == source.info().bytes
    assert checksums(target) == checksums(source)


def test_a_storage_that_damages_every_copy(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = sites.source(), sites.replica()
    source.write(ONE)
    copy(source, target)
    source.write(TWO)
    put = obstore.put

    def damaging(store: Any, path: str, file: Any, **options: Any) -> Any:
        result = put(store, path, file, **options)
        if path.startswith("_data/"):
            flip(Path(store.prefix, path))
        return result

    monkeypatch.setattr(obstore, "put", damaging)
    with pytest.raises(CopyFailed, match=r"table copy: the copy of _data/.* is damaged: it has"):
        copy(source, target)
    assert ours(target) == [(1,)]
    assert markers(target) == markers(source) == []


def test_a_replica_that_went_bad_is_found_and_repaired(sites: Sites) -> None:
    source, target = sites.source(partition_by=["week"]), sites.replica()
    source.write(WEEKS)
    copy(source, target)
    bad, gone = (Path(target.storage.uri, path) for path in target.head().files)
    flip(bad)
    gone.unlink()

    assert copy(source, target).files_repaired == 0  # not looked for
    done = copy(source, target, verify=True)

    assert (done.files_repaired, done.unchanged) == (2, True)
    assert checksums(target) == checksums(source)
    assert copy(source, target, verify=True).files_repaired == 0


def test_a_source_whose_file_has_another_size(sites: Sites) -> None:
    source, target = sites.source(), sites.replica()
    source.write(ONE)
    [path] = source.head().files
    Path(source.storage.uri, path).write_bytes(b"short")
    with pytest.raises(CopyFailed, match=r"table products: _data/.* has 5 bytes, and its log says"):
        copy(source, target)


def test_a_source_whose_file_is_gone(sites: Sites) -> None:
    source, target = sites.source(), sites.replica()
    source.write(ONE)
    [path] = source.head().files
    Path(source.storage.uri, path).unlink()
    with pytest.raises(StorageFailed, match=r"products: a file of its newest version is gone"):
        copy(source, target)


# ---------------------------------------------------------------- failing storages


def test_a_target_that_fails_for_a_moment(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = sites.source(), sites.replica()
    source.write(ONE)
    put, failures = obstore.put, iter(range(2))

    def failing(store: Any, path: str, file: Any, **options: Any) -> Any:
        if path.startswith("_data/") and next(failures, None) is not None:
            raise GenericError("Generic S3 error: connection reset by peer")
        return put(store, path, file, **options)

    monkeypatch.setattr(obstore, "put", failing)
    copy(source, target)
    assert checksums(target) == checksums(source)


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is larger than a part, and passes in several."""
    monkeypatch.setattr(copying, "PART", 200)


@pytest.mark.usefixtures("small_parts")
def test_a_large_file_passes_in_parts(sites: Sites) -> None:
    source, target = sites.source(), sites.replica()
    source.write(pl.DataFrame({"n": range(1000)}))
    done = copy(source, target)
    assert done.bytes_copied > 5 * copying.PART
    assert checksums(target) == checksums(source)
    assert copy(source, target, verify=True).files_repaired == 0


class Interrupted:
    """An answer of a service that is cut short, by an error or without one."""

    def __init__(self, whole: Any, error: Exception | None) -> None:
        self.meta = whole.meta
        self._first = bytes(whole.bytes())[:50]
        self._error = error

    async def stream(self, min_chunk_size: int) -> AsyncIterator[bytes]:
        yield self._first
        if self._error is not None:
            raise self._error


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("error", [GenericError("connection reset by peer"), None])
@pytest.mark.parametrize("always", [False, True])
def test_a_large_file_that_is_cut_short(
    sites: Sites, monkeypatch: pytest.MonkeyPatch, error: Exception | None, always: bool
) -> None:
    source, target = sites.source(), sites.replica()
    source.write(pl.DataFrame({"n": range(1000)}))
    get, cuts = obstore.get, iter(range(100 if always else 1))

    def cutting(store: Any, path: str) -> Any:
        found = get(store, path)
        if path.startswith("_data/") and next(cuts, None) is not None:
            return Interrupted(found, error)
        return found

    monkeypatch.setattr(obstore, "get", cutting)
    if not always:
        copy(source, target)
        assert checksums(target) == checksums(source)
        return
    expected = "products: copying at site" if error else "products: .* ended after 50 of"
    with pytest.raises((StorageFailed, CopyFailed), match=expected):
        copy(source, target)
    assert not target.primary.head()


def test_a_target_that_is_full(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = sites.source(partition_by=["week"]), sites.replica()
    source.write(WEEKS)
    put = obstore.put
    room = threading.Semaphore(1)

    def full(store: Any, path: str, file: Any, **options: Any) -> Any:
        if path.startswith("_data/") and not room.acquire(blocking=False):
            raise GenericError("Unable to copy data to file: No space left on device")
        return put(store, path, file, **options)

    with monkeypatch.context() as patched:
        patched.setattr(obstore, "put", full)
        with pytest.raises(StorageFailed, match=r"table copy: .*the disk is full: free some"):
            copy(source, target, streams=1)
    assert not target.primary.head()
    assert markers(target) == markers(source) == []

    done = copy(source, target)  # what arrived before is not copied again
    assert (done.files_copied, done.files_reused) == (1, 1)
    assert checksums(target) == checksums(source)


def test_a_copy_that_changed_since_is_copied_again(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What arrived before a failure is trusted only as long as it is the object it was."""
    source, target = sites.source(), sites.replica()
    source.write(ONE)
    with monkeypatch.context() as patched:
        patched.setattr(target.primary, "commit", _fail)
        with pytest.raises(StorageFailed, match="unplugged"):
            copy(source, target)
    [path] = source.head().files
    flip(Path(target.storage.uri, path))
    assert copy(source, target).files_copied == 1
    assert checksums(target) == checksums(source)


def _fail(*_args: Any) -> Any:
    raise OSError("unplugged")


def test_a_commit_whose_answer_was_lost(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = sites.source(), sites.replica("delta", "iceberg")
    source.write(ONE)
    commit = target.primary.commit

    def lost(*args: Any) -> Any:
        commit(*args)
        raise OSError("connection reset")

    monkeypatch.setattr(target.primary, "commit", lost)
    done = copy(source, target)
    assert done.version == target.history()[0]
    assert len(target.history()) == 1


def test_receipts_do_not_pile_up(sites: Sites) -> None:
    source, target = sites.source("delta"), sites.replica("delta")
    for number in range(receipts._MERGE_FROM + 5):
        source.write(pl.DataFrame({"n": [number]}))
        copy(source, target)
    assert len(files_below(target.storage.uri, receipts.FOLDER)) < receipts._MERGE_FROM
    assert copy(source, target, verify=True).files_repaired == 0


def test_a_receipt_that_was_cut_short_is_ignored(sites: Sites) -> None:
    source, target = sites.source(), sites.replica()
    source.write(ONE)
    folder = Path(target.storage.uri, receipts.FOLDER)
    folder.mkdir(parents=True)
    (folder / "20170102T000000-000000000000.jsonl").write_text('{"path": "_da', encoding="utf-8")
    assert copy(source, target).files_copied == 1


# ---------------------------------------------------------------- at the same time


def test_the_source_commits_meanwhile(sites: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    """The replica shows the version that was copied, and the next replication the newer one."""
    source, target = sites.source(), sites.replica("delta", "iceberg")
    source.write(ONE)
    original, others = copying.copy_file, iter([lambda: sites.source().write(TWO, "overwrite")])

    def overtaken(*args: Any) -> Any:
        next(others, lambda: None)()
        return original(*args)

    monkeypatch.setattr("mcai_pipelines.lakehouse.transfer.copy_file", overtaken)
    copy(source, target)
    assert ours(target) == [(1,)]
    copy(source, target)
    assert set(map(tuple, everyone(target).values())) == {((2,),)}


def test_somebody_else_replicates_a_newer_version_meanwhile(
    sites: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was overtaken looks again, and does not take the replica back."""
    source, target = sites.source(), sites.replica("delta", "iceberg")
    source.write(ONE)

    def overtake() -> None:
        sites.source().write(TWO)
        copy(sites.source(), sites.replica("delta", "iceberg"))

    original, others = copying.copy_file, iter([overtake])

    def overtaken(*args: Any) -> Any:
        next(others, lambda: None)()
        return original(*args)

    monkeypatch.setattr("mcai_pipelines.lakehouse.transfer.copy_file", overtaken)
    done = copy(source, target)
    assert done.unchanged
    assert len(target.history()) == 1
    assert ours(target) == [(1,), (2,)]


def test_progress_adds_up(sites: Sites) -> None:
    source, target = sites.source(partition_by=["week"]), sites.replica()
    source.write(WEEKS)
    seen: list[Progress] = []
    copy(source, target, on_progress=seen.append)
    size = source.info().bytes
    assert seen[0] == Progress(files=2, bytes=size)
    assert seen[-1] == Progress(files=2, bytes=size, files_done=2, bytes_done=size)
    assert [p.bytes_done for p in seen] == sorted(p.bytes_done for p in seen)
