"""The reader of the soak: every version that anyone can see must be a complete one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
from deltalake import DeltaTable
from pyiceberg.exceptions import NoSuchTableError

from mcai_pipelines.lakehouse.table import Table
from tests.lakehouse.faults.readers import plain_catalog
from tests.soak.writers import State, open_soaked, state_of, states


class Violation(Exception):
    """A reader saw rows that no completed sequence of writes has."""


@dataclass
class Checker:
    """Knows what each writer's rows may be, and that they never go back to an earlier turn."""

    writers: int
    seed: int
    known: dict[int, list[State]] = field(default_factory=dict)
    newest: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.sources = {w: states(w, self.seed) for w in range(self.writers)}
        self.known = {w: [next(self.sources[w])] for w in range(self.writers)}

    def turn_of(self, writer: int, state: State, until: int) -> int | None:
        """The latest turn after which the writer's rows are these."""
        known = self.known[writer]
        while len(known) <= until:
            known.append(next(self.sources[writer]))
        return next((n for n in range(until, -1, -1) if known[n] == state), None)

    def check(self, where: str, seen: State, turns: list[int]) -> list[int]:
        """Raise `Violation` unless these are the rows after some turn of each writer.

        Args:
            where: Who saw them.
            seen: The whole table.
            turns: For each writer the turn that it is making by now.
        """
        found = []
        for writer, turn in enumerate(turns):
            mine = tuple(row for row in seen if row[0].startswith(f"{writer}-"))
            number = self.turn_of(writer, mine, turn + 1)
            if number is None:
                raise Violation(f"{where}: writer {writer}'s rows are of no turn: {mine}")
            found.append(number)
        return found

    def check_newest(self, where: str, seen: State, turns: list[int]) -> None:
        for writer, number in enumerate(self.check(where, seen, turns)):
            before = self.newest.get((where, writer), 0)
            if number < before:
                raise Violation(f"{where}: writer {writer} went back from {before} to {number}")
            self.newest[where, writer] = number


def read_on(
    root: Path, formats: tuple[str, str], seed: int, turns: list[Any], reads: Any, broken: Any
) -> None:
    """Read the newest version of both formats, over and over, until told to stop."""
    table = open_soaked(root, formats)
    checker = Checker(len(turns), seed)
    while not broken.is_set():
        for where, read in readers(table).items():
            seen = read()
            if seen is None:
                continue
            try:
                checker.check_newest(where, seen, [turn.value for turn in turns])
            except Violation as violation:
                print(f"VIOLATION {violation}", flush=True)
                broken.set()
                return
            reads.value += 1


def readers(table: Table) -> dict[str, Callable[[], State | None]]:
    """Ours reads the primary; the plain ones do not know that there are two formats."""

    def ours() -> State | None:
        head = table.primary.head()
        return state_of(table.scan_head(head)) if head is not None and head.version else None

    def plain_delta() -> State | None:
        if not DeltaTable.is_deltatable(table.storage.uri):
            return None
        return state_of(pl.DataFrame(DeltaTable(table.storage.uri).to_pyarrow_table()))

    def plain_iceberg() -> State | None:
        try:
            found = plain_catalog(table).load_table(table.storage.identifier)
        except NoSuchTableError:
            return None
        return state_of(pl.DataFrame(found.scan().to_arrow()))

    return {"ours": ours, "plain delta": plain_delta, "plain iceberg": plain_iceberg}
