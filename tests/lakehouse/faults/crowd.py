"""What each of many processes does to one table while the others do it too."""

from __future__ import annotations

import random
from collections.abc import Callable
from multiprocessing.synchronize import Barrier
from pathlib import Path

import polars as pl

from mcai_pipelines.lakehouse.errors import StaleWrite, TableNotFound
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.write import AppendKey
from tests.lakehouse.conftest import open_table

Task = Callable[[Table, int, int], None]


def work(
    root: Path, formats: tuple[str, str | None], task: Task, me: int, rounds: int, together: Barrier
) -> None:
    """Open the table when all are ready, and do the task a few times."""
    table = open_table(root, "t", *formats, partition_by=["owner"])
    together.wait(timeout=120)
    for turn in range(rounds):
        task(table, me, turn)


def item(me: int, turn: int) -> int:
    return 1000 * me + turn


def frame(owner: str, *items: int) -> pl.DataFrame:
    return pl.DataFrame({"owner": [owner] * len(items), "item": items})


def append(table: Table, me: int, turn: int) -> None:
    table.write(frame(f"owner {me % 3}", item(me, turn)), key=AppendKey(f"{me}/{turn}"))


def append_what_others_append(table: Table, _me: int, turn: int) -> None:
    """All make the same append, as two runs of one partition would."""
    table.write(frame("owner", turn), key=AppendKey(f"turn {turn}"))


def replace_own(table: Table, me: int, turn: int) -> None:
    owner = f"owner {me}"
    rows = frame(owner, *range(me + turn + 1))
    table.write(rows, "overwrite_partitions", partitions=[(owner,)])


def merge_own(table: Table, me: int, turn: int) -> None:
    """Keys of its own in files that others rewrite too, while some compact them."""
    for _ in range(2):
        table.write(frame(f"owner {me % 3}", item(me, turn)), "merge", on=["item"])
    if me % 4 == 0:
        table.compact()


def count_by_key(table: Table, me: int, turn: int) -> None:
    """Add one to the same row as all others: a lost update would lose one."""
    while True:
        base = table.primary.head()
        seen = table.scan_head(base).collect()["item"].to_list() if base else []
        rows = pl.DataFrame({"owner": [f"owner {me % 3}"], "item": [sum(seen) + 1], "key": [0]})
        try:
            table.write(rows, "merge", on=["key"], base=base)
        except StaleWrite:
            continue
        if turn % 2:
            table.compact()
        return


def count_up(table: Table, me: int, turn: int) -> None:
    """Add a row to what is there by writing all of it: a lost update would lose a row."""
    while True:
        try:
            base = table.head()
            seen = table.scan_head(base).filter(owner="shared")
        except TableNotFound:
            base, seen = None, frame("shared").lazy()
        rows = pl.concat([seen, frame("shared", item(me, turn)).lazy()], how="diagonal_relaxed")
        try:
            table.write(rows, "overwrite_partitions", partitions=[("shared",)], base=base)
            return
        except StaleWrite:
            continue


def anything(table: Table, me: int, turn: int) -> None:
    """Appends, rollbacks, new columns and a wider one; properties tell what a version added."""
    choices = ["append", "append", "rollback", "new column", "wider"]
    choice = random.Random(item(me, turn)).choice(choices)
    if choice == "rollback" and (past := table.history()):
        table.rollback(past[len(past) // 2].id)
        return
    rows = frame(f"owner {me % 3}", item(me, turn))
    if choice == "new column":
        rows = rows.with_columns(pl.lit(me).alias(f"extra_{me % 2}"))
    if choice == "wider":
        rows = rows.with_columns(n=pl.lit(2**40))
    while True:
        try:
            table.write(rows, properties={"mcai.items": str(item(me, turn))})
            return
        except StaleWrite:  # the schema changed meanwhile
            continue
