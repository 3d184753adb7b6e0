"""The version of the code behind a function: a hash of the project's files that it uses."""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from mcai_pipelines.config import project_root


def code_version_of(function: Callable[..., Any]) -> str:
    """A hash of the function's module and of every project module that it reaches by import.

    The function's own source would miss what it calls. Modules of installed packages, and
    this package's own, do not count.

    Returns:
        Sixteen hexadecimal digits.
    """
    return code_version_of_module(inspect.unwrap(function).__module__)


@cache
def code_version_of_module(module_name: str) -> str:
    """The same for every function of an imported module, by the module's name."""
    digest = hashlib.sha256()
    for path in sorted(_files(module_name)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _files(module_name: str) -> Iterator[Path]:
    root = project_root()
    seen: set[str] = set()
    waiting = [module_name]
    while waiting:
        name = waiting.pop()
        module = sys.modules.get(name)
        if name in seen or module is None:
            continue
        seen.add(name)
        path = Path(getattr(module, "__file__", None) or "/")
        if (
            not path.is_relative_to(root)
            or "site-packages" in path.parts
            or name.split(".")[0] == "mcai_pipelines"
        ):
            continue
        yield path
        waiting.extend(_reached(module))


def _reached(module: ModuleType) -> Iterator[str]:
    for value in vars(module).values():
        if isinstance(value, ModuleType):
            yield value.__name__
        elif callable(value) and getattr(value, "__module__", None):
            yield value.__module__
