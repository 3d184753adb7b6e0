"""Eight processes write to one table: nothing lost, nothing doubled, both formats equal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from mcai_pipelines.lakehouse.errors import StaleWrite
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.versions import SOURCE
from tests.lakehouse.conftest import FORMATS, open_table
from tests.lakehouse.faults import crew, crowd
from tests.lakehouse.faults.readers import everyone, markers, unreferenced

PROCESSES = 8
ROUNDS = 2
MIRRORED = [("iceberg", "delta"), ("delta", "iceberg")]


def let_all_work(
    root: Path, primary: str, mirror: str | None, task: crowd.Task, rounds: int = ROUNDS
) -> Table:
    """Eight processes do the task; the table that they leave, which every reader sees alike."""
    together = crew.context.Barrier(PROCESSES)
    crew.run_all(
        crowd.work,
        [(root, (primary, mirror), task, me, rounds, together) for me in range(PROCESSES)],
    )
    table = open_table(root, "t", primary, mirror, partition_by=["owner"])
    assert len(set(map(tuple, everyone(table).values()))) == 1
    assert markers(table) == []
    assert unreferenced(table) == set()
    mirror_never_went_backwards(table)
    return table


def mirror_never_went_backwards(table: Table) -> None:
    if table.mirror_log is None:
        return
    order = {version.id: version.sequence for version in table.primary.versions()}
    shown = [order[int(v.properties[SOURCE])] for v in table.mirror_log.versions()]
    assert shown == sorted(set(shown), reverse=True)  # newest first


def items(table: Table) -> list[int]:
    return sorted(table.scan().collect()["item"].to_list())


EVERY_ITEM = sorted(crowd.item(me, turn) for me in range(PROCESSES) for turn in range(ROUNDS))


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_appends_to_a_table_that_all_create_at_once(
    tmp_path: Path, primary: str, mirror: str | None
) -> None:
    table = let_all_work(tmp_path, primary, mirror, crowd.append)

    assert items(table) == EVERY_ITEM
    assert len(table.history()) == len(EVERY_ITEM)


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_the_same_append_by_all_lands_once(tmp_path: Path, primary: str, mirror: str) -> None:
    table = let_all_work(tmp_path, primary, mirror, crowd.append_what_others_append)

    assert items(table) == list(range(ROUNDS))


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_disjoint_partitions(tmp_path: Path, primary: str, mirror: str) -> None:
    table = let_all_work(tmp_path, primary, mirror, crowd.replace_own)

    assert table.scan().collect().group_by("owner").len().sort("owner").rows() == [
        (f"owner {me}", me + ROUNDS) for me in range(PROCESSES)
    ]


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_the_same_partition_is_computed_again_when_stale(
    tmp_path: Path, primary: str, mirror: str
) -> None:
    table = let_all_work(tmp_path, primary, mirror, crowd.count_up)

    assert items(table) == EVERY_ITEM


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_merges_of_disjoint_keys_among_compactions(
    tmp_path: Path, primary: str, mirror: str
) -> None:
    table = let_all_work(tmp_path, primary, mirror, crowd.merge_own)

    assert items(table) == EVERY_ITEM


@pytest.mark.parametrize(("primary", "mirror"), MIRRORED)
def test_merges_of_the_same_key_among_compactions(
    tmp_path: Path, primary: str, mirror: str
) -> None:
    table = let_all_work(tmp_path, primary, mirror, crowd.count_by_key)

    assert items(table) == [PROCESSES * ROUNDS]


@pytest.mark.parametrize(("primary", "mirror"), FORMATS)
def test_appends_among_rollbacks_and_evolutions(
    tmp_path: Path, primary: str, mirror: str | None
) -> None:
    first = open_table(tmp_path, "t", primary, mirror, partition_by=["owner"])
    small = crowd.frame("owner 0", -1).with_columns(n=pl.lit(1, pl.Int32))
    first.write(small, properties={"mcai.items": "-1"})

    table = let_all_work(tmp_path, primary, mirror, crowd.anything)

    holds: dict[int, list[int]] = {}
    for version in reversed(table.history()):
        before = holds[version.before] if version.before is not None else []
        added = version.properties.get("mcai.items")
        undone = "mcai.restored-version" in version.properties
        holds[version.id] = sorted([*before, int(added)]) if added and not undone else before
        seen = table.scan(version=version.id).collect()
        assert sorted(seen["item"]) == holds[version.id]
    made = [version for version in table.history() if "mcai.reason" not in version.properties]
    assert len(made) == 1 + PROCESSES * ROUNDS


@pytest.mark.parametrize("primary", ["iceberg", "delta"])
def test_a_base_that_is_not_the_newest(make_table: Callable[..., Table], primary: str) -> None:
    """It may be a version that was asked for by its id, whose handle knows the newer ones."""
    table = make_table(primary, partition_by=["owner"])
    first = table.write(crowd.frame("owner", 1)).version
    table.write(crowd.frame("owner", 2))
    base = table.resolve(version=first.id)

    with pytest.raises(StaleWrite):
        table.write(crowd.frame("owner", 3), "overwrite", base=base)
    table.write(crowd.frame("owner", 4), base=base)

    assert items(table) == [1, 2, 4]
