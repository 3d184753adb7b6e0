"""``dagster dev``: the webserver and the daemon, as a user starts them."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from mcai_pipelines.config import project_root
from tests.e2e.home import Home

PATIENCE = 180
"""Seconds to wait for what takes a few on an idle machine."""

_COLOR = re.compile(r"\x1b\[\d+m")
_LOCATION = """
    { locationOrLoadError { ... on RepositoryLocation { name } ... on PythonError { message } } }
"""


def wait_for(what: str, ready: Callable[[], Any]) -> Any:
    """The first true value of ``ready()``.

    Raises:
        TimeoutError: There was none for `PATIENCE` seconds.
    """
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := ready():
            return value
        time.sleep(0.25)
    raise TimeoutError(f"{what} took more than {PATIENCE} seconds")


class Server:
    """A running ``dagster dev`` of the project, on a free port of this machine.

    Args:
        home: Where its tables and its instance are.

    Raises:
        TimeoutError: It did not come up.
    """

    def __init__(self, home: Home) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.home = home
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = home.root / "dagster-dev.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("dagster")),
                    *("dev", "--host", "127.0.0.1", "--port", str(self.port)),
                ],
                cwd=project_root(),
                env=home.env,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        try:
            wait_for("starting dagster dev", self._is_up)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ask it to end, as Ctrl-C does, and wait until it and its children have."""
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def log(self) -> str:
        """What it has printed so far, without colors."""
        return _COLOR.sub("", self._log.read_text())

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """The data that answers a query, as the pages ask for it."""
        request = urllib.request.Request(
            f"{self.url}/graphql",
            data=json.dumps({"query": query, "variables": variables}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        assert "errors" not in answer, answer["errors"]
        data: dict[str, Any] = answer["data"]
        return data

    def _is_up(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"dagster dev ended:\n{self.log()}")
        try:
            data = self.graphql(f"{{ workspaceOrError {{ ... on Workspace {_ENTRIES} }} }}")
        except OSError:
            return False
        entries = data["workspaceOrError"]["locationEntries"]
        return bool(entries) and all(entry["locationOrLoadError"] for entry in entries)


_ENTRIES = f"{{ locationEntries {_LOCATION} }}"
