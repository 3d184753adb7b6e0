"""``python -m tests.soak``: kill writers at random moments, and check every row.

Two writers fill one table, and lose 100 lives per primary format, while a reader checks that
every version it can see is complete, in both formats. At the end every row, every retained
version and every file is accounted for. Exits with 1 if anything was wrong.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from mcai_pipelines.lakehouse.versions import SOURCE
from tests.lakehouse.faults import crew
from tests.lakehouse.faults.readers import markers, unreferenced
from tests.soak.reader import Checker, Violation, read_on, readers
from tests.soak.writers import PHASES, open_soaked, state_of, write_on

WRITERS = 2
LONGEST_LIFE = 0.8
"""Seconds: several writes."""
REPORT_EVERY = 20
STATE_MACHINE = "tests/lakehouse/faults/test_state_machine.py"


@dataclass
class Soak:
    """One table being soaked."""

    root: Path
    formats: tuple[str, str]
    seed: int
    kills: int
    hits: Counter[str] = field(default_factory=Counter)

    def run(self) -> bool:
        """Whether everything was right."""
        began, chance = time.monotonic(), random.Random(self.seed)
        self.turns = [crew.context.Value("l", 0) for _ in range(WRITERS)]
        self.phases = [crew.context.Value("i", 0) for _ in range(WRITERS)]
        reads, broken = crew.context.Value("l", 0), crew.context.Event()
        reader = crew.start(read_on, self.root, self.formats, self.seed, self.turns, reads, broken)
        alive = [self.give_birth(writer) for writer in range(WRITERS)]
        while sum(self.hits.values()) < self.kills and not broken.is_set() and reader.is_alive():
            writer = chance.randrange(WRITERS)
            self.wait(writer, chance)
            phase = PHASES[self.phases[writer].value]
            if crew.kill(alive[writer]) != crew.KILLED:
                print(f"writer {writer} failed by itself", flush=True)
                broken.set()
            self.hits[phase] += 1
            if sum(self.hits.values()) % REPORT_EVERY == 0:
                print(
                    f"  {sum(self.hits.values())} kills, {sum(t.value for t in self.turns)} writes,"
                    f" {reads.value} reads, {time.monotonic() - began:.0f} s",
                    flush=True,
                )
            alive[writer] = self.give_birth(writer)
        died_reading = not reader.is_alive() and not broken.is_set()
        right = not broken.is_set() and not died_reading
        broken.set()
        for process in alive:
            crew.kill(process)
        crew.exit_code(reader)
        where = ", ".join(f"{phase} {self.hits[phase]}" for phase in PHASES)
        print(f"  killed: {where}", flush=True)
        return right and self.settle()

    def wait(self, writer: int, chance: random.Random) -> None:
        """Wait for a random moment; every other time for one in a random phase of a write.

        Left to chance alone, most kills hit the longest phase.
        """
        if chance.random() < 0.5:
            time.sleep(chance.uniform(0, LONGEST_LIFE))
            return
        phase, until = chance.randrange(len(PHASES)), time.monotonic() + 2 * LONGEST_LIFE
        while self.phases[writer].value != phase and time.monotonic() < until:
            time.sleep(0.0005)
        time.sleep(chance.expovariate(1 / 0.01))

    def give_birth(self, writer: int) -> crew.Process:
        self.phases[writer].value = 0
        return crew.start(
            write_on,
            self.root,
            self.formats,
            writer,
            self.seed,
            self.turns[writer],
            self.phases[writer],
        )

    def settle(self) -> bool:
        """Let each writer finish its turn and one more, and account for everything."""
        for writer, (turn, phase) in enumerate(zip(self.turns, self.phases, strict=True)):
            crew.run(
                write_on,
                self.root,
                self.formats,
                writer,
                self.seed,
                turn,
                phase,
                turn.value + 2,
            )
        try:
            versions, files = self.account()
        except Violation as violation:
            print(f"VIOLATION {violation}", flush=True)
            return False
        print(f"  every row, {versions} versions of both formats, {files} files: right", flush=True)
        return True

    def account(self) -> tuple[int, int]:
        table = open_soaked(self.root, self.formats)
        turns = [turn.value for turn in self.turns]
        checker = Checker(WRITERS, self.seed)
        for where, read in readers(table).items():
            state = read()
            if state is None or checker.check(where, state, turns) != turns:
                raise Violation(f"{where}: at the end the rows are not those of turns {turns}")
        mirror = table.mirror_log
        assert mirror is not None
        order: dict[int, int] = {}
        for version in reversed(table.history()):
            order[version.id] = len(order)
            checker.check_newest("history", state_of(table.scan(version=version.id)), turns)
        shown = list(mirror.versions())
        sources = [order[int(version.properties[SOURCE])] for version in shown]
        if sources != sorted(set(sources), reverse=True) or sources[0] != len(order) - 1:
            raise Violation(f"the mirror shows the versions {sources[::-1]}")
        for version in shown:
            mine = state_of(mirror.scan(mirror.at(version.id)))
            theirs = state_of(table.scan(version=int(version.properties[SOURCE])))
            if mine != theirs:
                raise Violation(f"mirror version {version.id} differs from what it shows")
        if left := [*markers(table), *sorted(unreferenced(table))]:
            raise Violation(f"{len(left)} files are left that nobody shows: {left[:5]}")
        files = len(list(Path(table.storage.uri, "_data").rglob("*.parquet")))
        return len(order), files


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=100, help="per primary format (100)")
    parser.add_argument("--seed", type=int, default=None, help="random unless given")
    parser.add_argument(
        "--examples",
        type=int,
        default=20,
        help="of the state machine, per combination of formats; 0 for none (20)",
    )
    return parser.parse_args()


def main() -> int:
    arguments = parse()
    seed = arguments.seed if arguments.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}; Polars {pl.__version__}", flush=True)
    right = True
    for formats in (("iceberg", "delta"), ("delta", "iceberg")):
        print(f"{formats[0]} with a {formats[1]} mirror:", flush=True)
        with tempfile.TemporaryDirectory(prefix="mcai-soak-") as folder:
            right &= Soak(Path(folder), formats, seed, arguments.kills).run()
    if arguments.examples:
        print(f"state machine, {arguments.examples} examples per combination:", flush=True)
        command = [sys.executable, "-m", "pytest", "-q", "-o", "timeout=0", STATE_MACHINE]
        environment = {**os.environ, "MCAI_SOAK": str(arguments.examples)}
        right &= subprocess.run(command, env=environment, check=False).returncode == 0
    print("right" if right else "WRONG", flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
