"""The writers of the soak: what each does at each turn, and what its rows then are.

Every writer has partitions of its own in one table, so two of them conflict in the log at
every commit and never in the data. Its turns follow from the seed alone: made again after a
kill, a turn writes the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from mcai_pipelines.lakehouse import write
from mcai_pipelines.lakehouse.table import Table
from mcai_pipelines.lakehouse.write import AppendKey
from tests.lakehouse.conftest import open_table

PARTS = 3
SIZES = (10, 1_000, 50_000)
PHASES = ("between writes", "to staging", *write.STEPS[:-1])
"""Where a kill can hit; a step's name stands for the time after it."""

State: TypeAlias = tuple[tuple[str, int, int, int], ...]
"""Part, turn, rows and sum of the rows there, sorted: what a reader can tell rows by."""


@dataclass(frozen=True)
class Turn:
    """One write of one writer."""

    writer: int
    number: int
    seed: int

    @property
    def _random(self) -> random.Random:
        return random.Random(f"{self.seed} {self.writer} {self.number}")

    @property
    def appends(self) -> bool:
        return self._random.random() < 0.5

    @property
    def replaced(self) -> list[str]:
        """The parts that an overwrite replaces; the last of several comes out empty."""
        numbers = self._random.sample(range(PARTS), self._random.randint(1, PARTS))
        return [f"{self.writer}-{number}" for number in numbers]

    @property
    def written(self) -> list[str]:
        if self.appends:
            return [f"{self.writer}-{number}" for number in range(PARTS)]
        return self.replaced[:-1] or self.replaced

    def frame(self) -> pl.DataFrame:
        size = self._random.choice(SIZES)
        parts = pl.DataFrame({"part": self.written})
        values = pl.DataFrame({"value": pl.int_range(size, eager=True)})
        return parts.join(values, how="cross").with_columns(turn=pl.lit(self.number, pl.Int64))

    def make(self, table: Table, phase: Any) -> None:
        def on_step(name: str) -> None:
            phase.value = PHASES.index(name) if name in PHASES else 0

        phase.value = PHASES.index("to staging")
        if self.appends:
            key = AppendKey(f"{self.writer}/{self.number}")
            table.write(self.frame(), key=key, on_step=on_step)
        else:
            replaced = [(part,) for part in self.replaced]
            table.write(self.frame(), "overwrite_partitions", partitions=replaced, on_step=on_step)

    def after(self, before: State) -> State:
        kept = before if self.appends else [r for r in before if r[0] not in self.replaced]
        return tuple(sorted([*kept, *state_of(self.frame())]))


def state_of(frame: pl.DataFrame | pl.LazyFrame) -> State:
    sums = frame.lazy().group_by("part", "turn").agg(pl.len(), pl.col("value").sum())
    return tuple(sorted(sums.collect().rows()))


def states(writer: int, seed: int) -> Iterator[State]:
    """What a writer's partitions hold before its first turn, after it, and so on."""
    state: State = ()
    number = 0
    while True:
        yield state
        state = Turn(writer, number, seed).after(state)
        number += 1


def write_on(
    root: Path,
    formats: tuple[str, str],
    writer: int,
    seed: int,
    turn: Any,
    phase: Any,
    last: int | None = None,
) -> None:
    """Make turn after turn, telling the parent which one is next and how far it is."""
    table = open_soaked(root, formats)
    while last is None or turn.value < last:
        Turn(writer, turn.value, seed).make(table, phase)
        phase.value = 0
        turn.value += 1


def open_soaked(root: Path, formats: tuple[str, str]) -> Table:
    return open_table(root, "soaked", *formats, partition_by=["part"])
