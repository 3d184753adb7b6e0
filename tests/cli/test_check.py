"""``mcai check``: every problem as ``file:line: what; what to do``, before anything runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from mcai_pipelines.config import project_root
from tests.cli.conftest import Done, Mcai, command

PROBLEM = re.compile(r"[^:]+:\d+: .+; .+")


def test_the_project_is_in_order(mcai: Mcai, home: Path) -> None:
    done = mcai("check", "--json")

    assert done.code == 0, done.err
    assert done.json["ok"] is True
    kinds = [checked["kind"] for checked in done.json["checked"]]
    contracts = len(list((project_root() / "contracts").rglob("*.yaml")))
    assert kinds == ["platform", *["contract"] * contracts, "definitions"]
    assert not home.exists()


@pytest.mark.parametrize("folder", ["config", "contracts"])
def test_every_bad_file_is_refused_in_plain_words(mcai: Mcai, folder: str) -> None:
    files = sorted((project_root() / "tests" / folder / "bad").rglob("*.yaml"))
    assert files

    for file in files:
        done = mcai("check", str(file))
        assert done.code == 2, file
        assert done.err, file
        for line in done.err.splitlines():
            assert PROBLEM.fullmatch(line), line


def test_good_files_alone_with_no_variable_set(mcai: Mcai) -> None:
    files = ["platforms/cloud.example.yaml", "contracts/retail/coupons.yaml"]
    done = mcai("check", "--no-env", *files, "--json")

    assert done.code == 0
    assert [(c["kind"], c["name"]) for c in done.json["checked"]] == [
        ("platform", "cloud.example"),
        ("contract", "retail.coupons"),
    ]


def test_a_platform_in_force_needs_its_variables(
    mcai: Mcai, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MCAI_PLATFORM", "cloud.example")
    monkeypatch.setenv("AWS_LAKE_BUCKET", "a-bucket")

    done = mcai("check", "--json")

    assert done.code == 2
    missing = {problem["what"].split()[3] for problem in done.json["problems"]}
    assert "STATE_DB" in missing
    assert "AWS_LAKE_BUCKET" not in missing
    assert (
        "platforms/cloud.example.yaml:12: the environment variable STATE_DB is not set" in done.err
    )


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[], Path]:
    """Copies the project, without its library, to a folder of its own."""

    def make() -> Path:
        root = tmp_path / "project"
        for name in ("platforms", "contracts", "assets", "sensors", "resources"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(project_root() / name, root / name, ignore=ignored)
        return root

    return make


def check_in(root: Path) -> Done:
    done = subprocess.run(
        command("check", "--json"),
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{project_root()}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return Done(done.returncode, done.stdout, done.stderr)


def replaced(file: Path, old: str, new: str) -> int:
    """Replace text in a file; returns the line where it is."""
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return text[: text.index(old)].count("\n") + 1


def test_mistakes_in_several_contracts_are_reported_together(copy: Callable[[], Path]) -> None:
    root = copy()
    coupons = replaced(root / "contracts/retail/coupons.yaml", "logicalType: integer", "x: 1")
    products = replaced(root / "contracts/retail/products.yaml", "apiVersion: v3", "apiVersion: v9")

    done = check_in(root)

    assert done.code == 2
    assert f"contracts/retail/coupons.yaml:{coupons}: " in done.err
    assert f"contracts/retail/products.yaml:{products}: " in done.err
    assert [c["name"] for c in done.json["checked"] if "transactions" in c["name"]]


def test_a_type_that_the_format_of_the_site_cannot_hold(copy: Callable[[], Path]) -> None:
    root = copy()
    file = root / "contracts/retail/households.yaml"
    replaced(file, "name: age\n        logicalType: string", "name: age\n        logicalType: time")

    done = check_in(root)

    assert done.code == 2
    (problem,) = done.json["problems"]
    assert problem["where"].startswith("contracts/retail/households.yaml:")
    assert problem["what"].startswith("the column age is time: ")


def test_an_asset_that_names_a_site_that_is_not_there(copy: Callable[[], Path]) -> None:
    root = copy()
    replaced(root / "assets/retail/globals.py", '"aws-us-east-1"\n', '"aws-us-east-9"\n')

    done = check_in(root)

    assert done.code == 2
    assert "assets/retail/globals.py" in done.err
    assert "has no site 'aws-us-east-9'" in done.err


def test_an_error_in_an_asset_is_named_with_its_line(copy: Callable[[], Path]) -> None:
    root = copy()
    file = root / "assets/retail/reference.py"
    line = replaced(file, "import polars as pl\n", "import polars as pl\n\n1 / 0\n") + 2

    done = check_in(root)

    assert done.code == 2
    (problem,) = done.json["problems"]
    assert problem["where"] == f"assets/retail/reference.py:{line}"
    assert problem["what"] == "ZeroDivisionError: division by zero"


def test_python_that_does_not_parse(copy: Callable[[], Path]) -> None:
    root = copy()
    file = root / "assets/retail/reference.py"
    line = replaced(file, "import polars as pl\n", "import polars as\n")

    done = check_in(root)

    assert done.code == 2
    assert done.json["problems"][0]["where"] == f"assets/retail/reference.py:{line}"


def test_a_folder_that_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "platforms").mkdir()
    (tmp_path / "contracts").mkdir()

    done = check_in(tmp_path)

    assert done.code == 2
    assert "MCAI_PLATFORM: there is no platform 'local'" in done.err
