"""``mcai ui``, and plain ``dagster`` commands beside it: one instance, no misleading messages."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from mcai_pipelines.cli.instance import open_instance
from mcai_pipelines.config import project_root
from tests.cli.conftest import Mcai, command

OF_A_PROJECT = ("platforms", "contracts", "assets", "sensors", "resources")
PRODUCTS = "global/products"

QUERY = """{
  workspaceOrError { ... on Workspace { locationEntries {
    name
    loadStatus
    locationOrLoadError { __typename ... on PythonError { message } }
  } } }
  assetNodes { assetKey { path } }
  runsOrError { ... on Runs { results { status assetSelection { path } } } }
}"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def ask(port: int, query: str) -> Any:
    """What the web server answers to a GraphQL query."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps({"query": query}).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)["data"]


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=5).close()
            return
        except OSError:
            assert process.poll() is None, "it ended early"
            assert time.monotonic() < deadline
            time.sleep(0.2)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout of its own, without ``MCAI_HOME``: everything lies in its ``.mcai``."""
    root = tmp_path / "project"
    for name in OF_A_PROJECT:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(project_root() / name, root / name, ignore=ignored)
    for name in ("dagster.yaml", "workspace.yaml"):
        shutil.copy(project_root() / name, root)
    return root


def environment(root: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "MCAI_HOME"}
    return {**kept, "PYTHONPATH": f"{root}:{project_root()}"}


def materialize(root: Path) -> subprocess.CompletedProcess[str]:
    """``dagster asset materialize`` as anyone would type it in the project's root."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "dagster", "asset", "materialize"),
            *("-m", "mcai_pipelines.definitions", "--select", PRODUCTS),
        ],
        cwd=root,
        env=environment(root),
        capture_output=True,
        text=True,
        check=False,
    )


def test_plain_dagster_and_mcai_ui_share_an_instance(project: Path) -> None:
    done = materialize(project)
    assert done.returncode == 0, done.stderr
    with open_instance(project / ".mcai" / "dagster") as instance:
        assert instance.get_runs_count() == 1
    assert sorted(p.name for p in project.iterdir() if p.name.startswith(".")) == [".mcai"]

    port = free_port()
    log = project / "ui.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command("ui", "--port", str(port), "--json"),
            cwd=project / "assets",  # it serves the project, wherever it is started
            env=environment(project) | {"MCAI_HOME": str(project / ".mcai")},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    try:
        assert process.stdout is not None
        wait_for(port, process)
        answer = ask(port, QUERY)
    finally:
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=90)

    assert process.returncode == 0
    assert json.loads(out)["url"] == f"http://127.0.0.1:{port}"
    (location,) = answer["workspaceOrError"]["locationEntries"]
    assert location["name"] == "mcai_pipelines"
    assert location["locationOrLoadError"]["__typename"] == "RepositoryLocation", location
    assert {"path": PRODUCTS.split("/")} in [node["assetKey"] for node in answer["assetNodes"]]
    (run,) = answer["runsOrError"]["results"]
    assert run == {"status": "SUCCESS", "assetSelection": [{"path": PRODUCTS.split("/")}]}
    said = log.read_text()
    for word in ("WARNING", "ERROR", "Warning", "Traceback", "dg dev", "temporary directory"):
        assert word not in said, said


def test_a_port_in_use(mcai: Mcai, home: Path) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        done = mcai("ui", "--port", str(busy.getsockname()[1]))

    assert done.code == 2
    assert "Address already in use; name another with --port" in done.err


def test_a_host_that_is_none(mcai: Mcai, home: Path) -> None:
    done = mcai("ui", "--host", "no.such.host.invalid")

    assert done.code == 2
    assert "--host: no.such.host.invalid is no address" in done.err
