"""What holds for every verb: help at once, plain errors, exit codes, quiet on closed pipes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcai_pipelines import __version__
from mcai_pipelines.config import project_root
from tests.cli.conftest import Mcai, command, run_process

VERBS = [
    ["check"],
    ["doctor"],
    ["ui"],
    ["demo"],
    ["demo", "advance"],
    ["table", "list"],
    ["table", "show"],
    ["table", "history"],
    ["table", "rollback"],
    ["table", "read"],
]

LOADED = """
import sys, time
from mcai_pipelines.cli import main
sys.argv = ["mcai", "--help"]
try:
    main()
except SystemExit:
    pass
print(sorted({"dagster", "polars", "pyiceberg", "pydantic", "sqlalchemy"} & sys.modules.keys()))
print(time.process_time())
"""


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_every_verb_explains_itself_and_offers_json(mcai: Mcai, verb: list[str]) -> None:
    done = mcai(*verb, "--help")

    assert done.code == 0
    assert "--json" in done.out


def test_help_loads_no_heavy_library_and_takes_no_time() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        cwd=project_root(),
        capture_output=True,
        text=True,
        check=True,
    )

    *_, loaded, seconds = done.stdout.splitlines()
    assert loaded == "[]"
    assert float(seconds) < 1  # of CPU; 0.3 s on a machine with nothing else to do


def test_version(mcai: Mcai) -> None:
    assert mcai("--version").out == f"mcai {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["tabel"],
        ["table", "show"],
        ["table", "rollback", "shop/sales"],
        ["table", "rollback", "shop/sales", "--to", "latest"],
        ["table", "read", "shop/sales", "--limit", "-1"],
        ["demo", "--through", "1"],
        ["demo", "--through", "53"],
        ["demo", "advance", "0"],
        ["ui", "--port", "0"],
        ["check", "--jsn"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_with_2(mcai: Mcai, home: Path, arguments: list[str]) -> None:
    done = mcai(*arguments)

    assert done.code == 2
    assert done.out == ""
    assert not home.exists()


def test_a_platform_that_does_not_exist(mcai: Mcai, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MCAI_PLATFORM", "locl")

    done = mcai("table", "list")

    assert done.code == 2
    assert done.out == ""
    assert "MCAI_PLATFORM: there is no platform 'locl'" in done.err
    assert "did you mean local?" in done.err


def test_an_unexpected_error_is_one_line_and_says_how_to_see_more(
    mcai: Mcai, monkeypatch: pytest.MonkeyPatch, shop: object
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("nobody thought of this\nat all")

    monkeypatch.setattr("mcai_pipelines.lakehouse.table.Table.history", fail)

    done = mcai("table", "history", "shop/sales")

    assert done.code == 1
    assert done.err.splitlines() == [
        "mcai failed unexpectedly: RuntimeError: nobody thought of this"
        " (set MCAI_DEBUG=1 to see where)"
    ]


def test_debug_shows_the_trace(home: Path) -> None:
    done = subprocess.run(
        command("table", "show", "no/such"),
        cwd=project_root(),
        env={**os.environ, "MCAI_DEBUG": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "KEY: no table 'no/such'" in done.stderr
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_reader_that_stops_reading_is_no_error(shop: object, json: list[str]) -> None:
    with subprocess.Popen(
        command("table", "read", "shop/sales", *json),
        cwd=project_root(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()

    assert said == ""
    assert process.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_an_output_that_cannot_be_written(shop: object) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("table", "list"),
            cwd=project_root(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_messages_go_to_standard_error_only(home: Path) -> None:
    done = run_process("table", "list", "--json")

    assert done.json == []
    assert done.err == ""
