"""PyIceberg's files on an object store: what its ``FileIO`` promises, and what ours adds."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, field

import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore, ObjectStore
from pyiceberg.io import load_file_io

from mcai_pipelines.errors import McaiError
from mcai_pipelines.providers import exclusive, manners
from mcai_pipelines.providers.file_io import HANDLE, StoreFileIO, properties_for


@dataclass(frozen=True)
class Buckets:
    """Buckets in memory."""

    site: str = "here"
    opened: dict[str, ObjectStore] = field(default_factory=dict, hash=False, compare=False)

    def root_store(self, scheme_and_host: str) -> ObjectStore:
        return self.opened.setdefault(scheme_and_host, MemoryStore())


@pytest.fixture
def file_io() -> StoreFileIO:
    found = load_file_io(properties_for(Buckets(f"site-{id(object())}")))
    assert isinstance(found, StoreFileIO)
    return found


A = "s3://bucket/folder/a%20b.json"


def write(file_io: StoreFileIO, location: str, data: bytes, *, overwrite: bool = False) -> None:
    with file_io.new_output(location).create(overwrite=overwrite) as stream:
        stream.write(data)


def test_what_was_written_is_read(file_io: StoreFileIO) -> None:
    write(file_io, A, b"one two")
    found = file_io.new_input(A)
    assert (found.exists(), len(found), found.location) == (True, 7, A)
    with found.open() as stream:
        stream.seek(4)
        assert stream.read() == b"two"
    output = file_io.new_output(A)
    assert (output.exists(), len(output)) == (True, 7)
    assert file_io.new_input("gs://bucket/folder/a%20b.json").exists() is False


def test_an_object_is_replaced_only_on_request(file_io: StoreFileIO) -> None:
    write(file_io, A, b"one")
    with pytest.raises(FileExistsError, match="exists already"):
        write(file_io, A, b"two")
    write(file_io, A, b"one")  # the same bytes: an answer was lost
    write(file_io, A, b"three", overwrite=True)
    assert file_io.new_input(A).open().read() == b"three"


def test_half_an_object_never_appears(file_io: StoreFileIO) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        file_io.new_output(A).create() as stream,
    ):
        stream.write(bytes(1 // 0))
    assert not file_io.new_input(A).exists()


def test_deleting_twice_is_fine(file_io: StoreFileIO) -> None:
    write(file_io, A, b"one")
    file_io.delete(file_io.new_input(A))
    file_io.delete(A)
    with pytest.raises(FileNotFoundError):
        file_io.new_input(A).open()


def test_a_handle_means_something_in_this_process_only(file_io: StoreFileIO) -> None:
    write(file_io, A, b"one")
    assert pickle.loads(pickle.dumps(file_io)).new_input(A).exists()
    elsewhere = StoreFileIO({**file_io.properties, HANDLE: "here-99999"})
    with pytest.raises(McaiError, match="'here-99999' belongs to another process"):
        elsewhere.new_input(A)


# ---------------------------------------------------------------- exclusive puts


def test_a_lost_connection_is_tried_again_a_few_times(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def lose(*_args: object, **_options: object) -> None:
        nonlocal calls
        calls += 1
        raise GenericError("Generic S3 error: Error performing PUT - HTTP error: reset")

    monkeypatch.setattr(manners, "FIRST_BACKOFF_MS", 1)
    monkeypatch.setattr(obstore, "put", lose)
    with pytest.raises(GenericError):
        exclusive.create(MemoryStore(), "a", b"1")
    assert calls == manners.RETRIES + 1


def test_another_failure_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def refuse(*_args: object, **_options: object) -> None:
        nonlocal calls
        calls += 1
        raise GenericError("Generic S3 error: status code: 400 Bad Request")

    monkeypatch.setattr(obstore, "put", refuse)
    with pytest.raises(GenericError):
        exclusive.create(MemoryStore(), "a", b"1")
    assert calls == 1
