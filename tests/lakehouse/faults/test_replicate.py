"""A replication dies at every named point, or several run at once while the source changes.

Every reader of the replica sees the old rows or the new rows; the next replication takes what
had been copied, gives the exact rows, and leaves neither markers nor files that nobody shows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import obstore
import polars as pl
import pytest

from mcai_pipelines.lakehouse import receipts, transfer
from mcai_pipelines.lakehouse.replicate import ReplicaRequest, Replication, replicate
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import REPLICA_VERSION
from tests.lakehouse.conftest import open_table
from tests.lakehouse.faults import crew, death
from tests.lakehouse.faults.readers import everyone, markers, ours, plain, rows, unreferenced

FORMATS = [("delta", "iceberg"), ("iceberg", "delta")]
POINTS = (
    "within a file",
    "between files",
    "copied",
    "primary written",
    "primary visible",
    "unmarked",
    "mirror written",
    "mirror visible",
)
WHOLE = pl.DataFrame({"week": ["w1", "w2", "w3"], "item": [1, 2, 3]})


def open_both(root: Path, primary: str, mirror: str) -> tuple[Table, Table]:
    for site in ("here", "there"):
        (root / site).mkdir(exist_ok=True)
    source = open_table(root / "here", "weeks", "iceberg", "delta", partition_by=["week"])
    return source, open_table(root / "there", "copy", primary, mirror, replica_of="weeks")


def copy(source: Table, target: Table, streams: int = 4) -> Replication:
    return replicate(source, target, ReplicaRequest(site="here", streams=streams))


def die_replicating(root: Path, primary: str, mirror: str, point: str) -> None:
    """What the child process does: one file at a time, each with its receipt at once."""
    receipts.SECONDS = 0
    source, target = open_both(root, primary, mirror)
    if point == "within a file":
        _die_within_a_file()
    elif point == "between files":
        _die_on_second(transfer, "copy_file")
    elif point == "copied":
        _die_on_first(receipts.Receipts, "flush")
    else:
        death.at(point, target)
    copy(source, target, streams=1)


def _die_within_a_file() -> None:
    put = obstore.put

    def dying(store: object, path: str, file: bytes, **options: object) -> object:
        if path.startswith("_data/"):
            whole = Path(store.prefix, path)  # type: ignore[attr-defined]
            whole.parent.mkdir(parents=True, exist_ok=True)
            whole.with_name(f"{whole.name}#1").write_bytes(file[: len(file) // 2])
            death.die()
        return put(store, path, file, **options)  # type: ignore[arg-type]

    obstore.put = dying  # type: ignore[assignment]


def _die_on_second(owner: object, name: str) -> None:
    death._die_on_call(owner, name, number=2)


def _die_on_first(owner: object, name: str) -> None:
    death._die_on_call(owner, name, number=1)


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_killed_at_every_point_and_resumed(tmp_path: Path, primary: str, mirror: str) -> None:
    source, target = open_both(tmp_path, primary, mirror)
    source.write(WHOLE)
    copy(source, target)
    for number, point in enumerate(POINTS, start=1):
        before = ours(target)
        source.write(WHOLE.with_columns(item=pl.col("item") + 10 * number), "overwrite")
        new = ours(source)

        killed = crew.run(die_replicating, tmp_path, primary, mirror, point)
        assert killed == crew.KILLED, point

        visible = POINTS.index(point) >= POINTS.index("primary visible")
        mirrored = POINTS.index(point) >= POINTS.index("mirror visible")
        assert plain(target, primary) == (new if visible else before), point
        assert plain(target, mirror) == (new if mirrored else before), point

        done = copy(source, target)

        arrived = {"within a file": 0, "between files": 1}.get(point, 3)
        if visible:
            assert done.unchanged, point
        else:
            assert (done.files_copied, done.files_reused) == (3 - arrived, arrived), point
        assert set(map(tuple, everyone(target).values())) == {tuple(new)}, point
        sweep(source, target, visible)
        assert markers(target) == markers(source) == [], point
        assert len(target.history()) == number + 1
    assert unreferenced(target) == set()


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_killed_making_the_replica(tmp_path: Path, primary: str, mirror: str) -> None:
    for point in POINTS:
        root = tmp_path / point.replace(" ", "-")
        root.mkdir()
        source, target = open_both(root, primary, mirror)
        source.write(WHOLE)
        assert crew.run(die_replicating, root, primary, mirror, point) == crew.KILLED, point
        copy(source, target)
        assert set(map(tuple, everyone(target).values())) == {tuple(rows(WHOLE))}, point
        sweep(source, target, POINTS.index(point) >= POINTS.index("primary visible"))
        assert markers(target) == markers(source) == [], point


def sweep(source: Table, target: Table, visible: bool) -> None:
    """What the next write of each does; a replication of nothing new lists no markers."""
    source.sweep()
    if visible:
        target.sweep()


def write_some(root: Path, number: int) -> None:
    source, _ = open_both(root, "delta", "iceberg")
    for turn in range(3):
        item = 100 * number + turn
        source.write(pl.DataFrame({"week": [f"w{number}"], "item": [item]}))


def replicate_some(root: Path, primary: str, mirror: str) -> None:
    for _ in range(4):
        copy(*open_both(root, primary, mirror))


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_many_replicate_while_many_write(tmp_path: Path, primary: str, mirror: str) -> None:
    source, target = open_both(tmp_path, primary, mirror)
    source.write(WHOLE)
    copy(source, target)
    children: list[tuple[Callable[..., None], tuple[object, ...]]] = [
        *((write_some, (tmp_path, number)) for number in (4, 5)),
        *((replicate_some, (tmp_path, primary, mirror)) for _ in range(3)),
    ]
    running = [crew.start(function, *args) for function, args in children]
    assert [crew.exit_code(process) for process in running] == [0] * len(running)

    copy(source, target)

    assert set(map(tuple, everyone(target).values())) == {tuple(ours(source))}
    order = {str(version.id): version.sequence for version in source.history()}
    shown = [order[v.properties[REPLICA_VERSION]] for v in target.history()][::-1]
    assert shown == sorted(set(shown)), "a version twice, or backwards"
    assert markers(target) == []
    assert unreferenced(target) == set()
