"""The command line, run in this process where that suffices and in a process of its own else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from mcai_pipelines.cli import main
from mcai_pipelines.config import project_root
from mcai_pipelines.lakehouse.lake import Lake

SALES = "shop/sales"


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, all of it, as JSON."""
        return json.loads(self.out)


Mcai = Callable[..., Done]


@pytest.fixture
def mcai(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Mcai:
    """Run ``mcai ARGUMENTS`` in this process."""

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["mcai", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return Done(int(ended.value.code or 0), out, err)

    return run


def command(*arguments: str) -> list[str]:
    """``mcai ARGUMENTS`` as a process."""
    return [sys.executable, "-m", "mcai_pipelines.cli", *arguments]


def run_process(*arguments: str, cwd: Path | None = None, **env: str) -> Done:
    """Run ``mcai ARGUMENTS`` in a process of its own."""
    done = subprocess.run(
        command(*arguments),
        cwd=cwd or project_root(),
        env={**os.environ, "PYTHONPATH": str(project_root()), **env},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new ``MCAI_HOME``; the folder is not made yet."""
    folder = tmp_path / "home"
    monkeypatch.setenv("MCAI_HOME", str(folder))
    return folder


@pytest.fixture
def shop(home: Path) -> Lake:
    """A lake with one table, ``shop/sales``: three versions, of one, two and three rows."""
    lake = Lake.open()
    table = lake.declare(("shop", "sales"), "azure-westeurope", None)
    for count in (1, 2, 3):
        numbers = list(range(count))
        frame = pl.DataFrame({"store": numbers, "sales": [n + 0.5 for n in numbers]})
        table.write(frame, "overwrite", properties={"mcai.run": f"run-{count}"})
    lake.register(table, "azure-westeurope", None)
    return lake


@pytest.fixture(scope="session")
def demo_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ``MCAI_HOME`` after ``mcai demo --through 3``; `demo_done` is what that printed."""
    return tmp_path_factory.mktemp("demo") / "home"


@pytest.fixture(scope="session")
def demo_done(demo_home: Path) -> Done:
    """``mcai demo --through 3 --json`` in a new ``MCAI_HOME``."""
    return run_process("demo", "--through", "3", "--json", MCAI_HOME=str(demo_home))
