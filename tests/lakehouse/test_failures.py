"""The storage fails: a clear error, the last version still there, no leftovers, and on we go."""

from __future__ import annotations

import os
import resource
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import deltalake.exceptions
import obstore.exceptions
import polars as pl
import pytest
from sqlalchemy.exc import OperationalError

from mcai_pipelines.errors import McaiError
from mcai_pipelines.lakehouse.errors import MirrorLagging, SchemaMismatch, TableNotFound
from mcai_pipelines.lakehouse.failures import StorageFailed, as_storage_error
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.providers.local import open_folder
from tests.lakehouse.conftest import FORMATS, open_log, open_table
from tests.lakehouse.plain_readers import assert_nothing_left_but, files_below

every_format = pytest.mark.parametrize(("primary", "mirrored"), FORMATS)
MakeTable = Callable[..., Table]

SMALL = pl.DataFrame({"n": [1, 2, 3]})
BIG = pl.select(n=pl.int_range(300_000).shuffle(seed=1))


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Every write beyond so many bytes of a file fails, whoever makes it in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def unwritable(root: Path) -> Iterator[None]:
    """Nothing below a folder may be written; to root that would not matter, so nobody tries."""
    modes = {path: path.stat().st_mode for path in (root, *root.rglob("*"))}
    for path in modes:
        path.chmod(0o555 if path.is_dir() else 0o444)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
        for path, mode in modes.items():
            path.chmod(mode)


def heights(table: Table) -> list[int]:
    return [table.scan(format=format).collect().height for format in table.formats]


def assert_goes_on(table: Table, rows: int) -> None:
    """The last version is readable in every format, the next write works and tidies up."""
    assert heights(table) == [rows] * len(table.formats)
    table.write(SMALL)
    assert heights(table) == [rows + 3] * len(table.formats)
    assert_nothing_left_but(table, set(), "_staged")
    assert_nothing_left_but(table, set(table.head().files), "_data")


# ---------------------------------------------------------------- a full disk


@every_format
@pytest.mark.parametrize(
    ("size", "frame"),
    [
        pytest.param(200_000, BIG, id="in the middle of a data file"),
        pytest.param(300, SMALL, id="at the first byte of a data file"),
        pytest.param(0, SMALL, id="at the marker"),
    ],
)
def test_no_room_for_the_data(
    make_table: MakeTable, primary: str, mirrored: str | None, size: int, frame: pl.DataFrame
) -> None:
    table = make_table(primary, mirrored)
    table.write(SMALL)
    before = files_below(table.storage.uri)
    message = r"^table t: .*File too large.*; this process may not write a file so large"
    with no_file_larger_than(size), pytest.raises(StorageFailed, match=message):
        table.write(frame)
    assert_nothing_left_but(table, before)
    assert_goes_on(table, rows=3)


def room_for(what: str, root: Path) -> int:
    """Bytes with which a small data file can be written, and then a manifest or a catalog not."""
    if what == "manifest":
        return 1_500
    return (root / "catalog.db-wal").stat().st_size


@pytest.mark.parametrize("mirrored", [None, "delta"])
@pytest.mark.parametrize(
    ("what", "message"), [("manifest", "File too large"), ("catalog", "disk I/O error")]
)
def test_no_room_for_the_commit_of_an_iceberg_primary(
    make_table: MakeTable, tmp_path: Path, mirrored: str | None, what: str, message: str
) -> None:
    table = make_table("iceberg", mirrored)
    table.write(SMALL)
    size = room_for(what, tmp_path)
    with no_file_larger_than(size), pytest.raises(StorageFailed, match=message):
        table.write(SMALL)
    assert_goes_on(table, rows=3)


@pytest.mark.parametrize("mirrored", [None, "iceberg"])
def test_no_room_for_the_commit_of_a_delta_primary(
    make_table: MakeTable, mirrored: str | None
) -> None:
    table = make_table("delta", mirrored)
    table.write(SMALL)
    long = {f"mcai.{n}": "x" * 100 for n in range(100)}  # a commit larger than its data file
    with no_file_larger_than(5_000), pytest.raises(StorageFailed, match="File too large"):
        table.write(SMALL, properties=long)
    assert_goes_on(table, rows=3)


@pytest.mark.parametrize("what", ["manifest", "catalog"])
def test_no_room_for_the_mirror(make_table: MakeTable, tmp_path: Path, what: str) -> None:
    table = make_table("delta", "iceberg")
    table.write(SMALL)
    message = "the iceberg mirror cannot follow .* visible in the primary"
    with no_file_larger_than(room_for(what, tmp_path)), pytest.raises(MirrorLagging, match=message):
        table.write(SMALL)
    assert_goes_on(table, rows=6)


# ---------------------------------------------------------------- a read-only root


@pytest.fixture
def open_root() -> Iterator[Path]:
    """A folder that anybody may enter."""
    root = Path(tempfile.mkdtemp())
    root.chmod(0o755)
    yield root
    shutil.rmtree(root)


@every_format
def test_a_read_only_root(open_root: Path, primary: str, mirrored: str | None) -> None:
    table = open_table(open_root, "t", primary, mirrored)
    table.write(SMALL)
    heights(table)  # imports what reading needs, as long as that may be read
    with unwritable(open_root):
        assert heights(table) == [3] * len(table.formats)
        with pytest.raises(StorageFailed, match=r"Permission denied.*check its permissions"):
            table.write(SMALL)
        fresh = open_table(open_root, "fresh", primary, mirrored)
        with pytest.raises(McaiError, match="fresh: the folder cannot be created"):
            fresh.write(SMALL)
        with pytest.raises(TableNotFound, match="fresh has not been written yet"):
            fresh.scan()
    assert_goes_on(table, rows=3)


WRITE = """
import sys
from pathlib import Path
import polars as pl
from tests.lakehouse.conftest import open_table
open_table(Path(sys.argv[1]), "t", "iceberg", "delta").write(pl.DataFrame({"n": [1, 2, 3]}))
"""


def test_a_read_only_root_that_another_process_wrote(
    make_table: MakeTable, open_root: Path
) -> None:
    """A database in WAL mode that nobody has open wants to write, even to be read."""
    make_table("iceberg", "delta").write(SMALL)  # for the imports
    heights(make_table("iceberg", "delta"))
    subprocess.run([sys.executable, "-c", WRITE, str(open_root)], check=True)
    table = open_table(open_root, "t", "iceberg", "delta")
    with unwritable(open_root):
        assert heights(table) == [3, 3]
        with pytest.raises(StorageFailed, match="Permission denied"):
            table.write(SMALL)
    assert_goes_on(table, rows=3)


# ---------------------------------------------------------------- the catalog


def test_a_catalog_whose_folder_is_missing_is_created(tmp_path: Path) -> None:
    table = open_table(tmp_path / "a" / "b", "t", "iceberg", None)
    table.write(SMALL)
    assert (tmp_path / "a" / "b" / "catalog.db").exists()


def lose_the_catalog(root: Path) -> str:
    """Another catalog, as if the first one's folder were gone; returns its URI."""
    return f"sqlite:///{root}/another/catalog.db"


@pytest.mark.parametrize("mirrored", [None, "delta"])
def test_a_lost_catalog_does_not_hide_a_table_behind_a_new_one(
    make_table: MakeTable, tmp_path: Path, mirrored: str | None
) -> None:
    table = make_table("iceberg", mirrored)
    table.write(SMALL)
    newest = table.write(SMALL).version
    storage = open_folder("site", tmp_path, "test", lose_the_catalog(tmp_path)).table(("t",))
    mirror = open_log("delta", storage) if mirrored else None
    lost = Table("t", storage, open_log("iceberg", storage), mirror)
    with pytest.raises(StorageFailed, match=r"the catalog does not know as test\.t: restore the"):
        lost.write(SMALL)
    assert heights(table) == [6] * len(table.formats)
    location = table.info().metadata_location
    assert location is not None
    storage.catalog().create_namespace_if_not_exists("test")
    storage.catalog().register_table(storage.identifier, location)
    assert lost.head().version == newest.id
    lost.write(SMALL)
    assert heights(lost) == [9] * len(table.formats)


def test_a_mirror_whose_catalog_was_lost_is_made_anew(
    make_table: MakeTable, tmp_path: Path
) -> None:
    table = make_table("delta", "iceberg")
    table.write(SMALL)
    table.write(SMALL)
    storage = open_folder("site", tmp_path, "test", lose_the_catalog(tmp_path)).table(("t",))
    again = Table("t", storage, open_log("delta", storage), open_log("iceberg", storage))
    again.write(SMALL)
    assert heights(again) == [9, 9]


def test_a_catalog_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    table = open_table(tmp_path / "file", "t", "iceberg", None)
    with pytest.raises(McaiError, match=r"catalog\.db: the Iceberg catalog cannot be created"):
        table.write(SMALL)


def test_a_catalog_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_text("no database" * 1000)
    table = open_table(tmp_path, "t", "iceberg", None)
    with pytest.raises(
        McaiError, match=r"the Iceberg catalog of site site cannot be opened.*not a d"
    ):
        table.write(SMALL)


# ---------------------------------------------------------------- files that are gone


@every_format
def test_a_deleted_data_file(make_table: MakeTable, primary: str, mirrored: str | None) -> None:
    table = make_table(primary, mirrored)
    good = table.write(SMALL)
    table.write(SMALL)
    (lost,) = set(table.head().files) - set(table.primary.at(good.version.id).files)
    Path(table.storage.uri, lost).unlink()
    for format in table.formats:  # a plan is made without the file; its rows are missed by name
        with pytest.raises(FileNotFoundError, match=Path(lost).name):
            table.scan(format=format).collect()
    copy = make_table(primary, mirrored, name="copy")
    message = r"^table copy: writing at site site: No such file.*; the file is gone"
    with pytest.raises(StorageFailed, match=message):
        copy.write(table.scan())
    assert_nothing_left_but(copy, set())
    table.rollback(good.version.id)
    assert_goes_on(table, rows=3)


@every_format
def test_a_damaged_log(make_table: MakeTable, primary: str, mirrored: str | None) -> None:
    table = make_table(primary, mirrored)
    table.write(SMALL)
    folder = {"iceberg": "_iceberg", "delta": "_delta_log"}[primary]
    newest = max(Path(table.storage.uri, folder).glob("*.json"))
    newest.write_text("{")
    with pytest.raises(StorageFailed, match=r"^table t: "):
        table.info()


# ---------------------------------------------------------------- whose error it is


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(28, "No space left on device"), "the disk is full: free some space"),
        (OSError(122, "Disk quota exceeded"), "the quota is used up"),
        (OSError(30, "Read-only file system"), "choose another, or remount it"),
        (sqlite3.OperationalError("database or disk is full"), "the disk is full"),
        (sqlite3.OperationalError("database is locked"), "stop what holds it"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "its permissions"),
        (deltalake.exceptions.DeltaError("something new"), "see the cause above, then run again"),
        (obstore.exceptions.GenericError("Permission denied"), "check its permissions"),
        (pl.exceptions.ComputeError("No space left on device (os error 28)"), "the disk is full"),
        (OSError(), "OSError; see the cause above"),
    ],
)
def test_what_to_do_about_it(error: Exception, message: str) -> None:
    if isinstance(error, sqlite3.Error):
        error = OperationalError("INSERT", {}, error)
    with (
        pytest.raises(StorageFailed, match=f"^table t: .*{message}") as caught,
        as_storage_error("t"),
    ):
        raise error
    assert caught.value.__cause__ is error
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("wrong"),
        pl.exceptions.ComputeError("division by zero"),
        pl.exceptions.InvalidOperationError("conversion failed"),
        SchemaMismatch.at("t", "what", "fix"),
        KeyboardInterrupt(),
    ],
)
def test_what_is_not_the_storages_fault_passes(error: BaseException) -> None:
    with pytest.raises(type(error)) as caught, as_storage_error("t"):
        raise error
    assert caught.value is error


@every_format
def test_an_audit_that_fails_keeps_the_batch_invisible(
    make_table: MakeTable, primary: str, mirrored: str | None
) -> None:
    table = make_table(primary, mirrored)
    table.write(SMALL)

    def audit(batch: Any) -> None:
        assert batch.rows == 3
        raise ValueError("three rows are too many")

    with pytest.raises(ValueError, match="too many"):
        table.write(SMALL, audit=audit)
    assert_goes_on(table, rows=3)
