"""All problems of one file, gathered so that the user sees them at once, in line order."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from mcai_pipelines.errors import BadInput, Problem

if TYPE_CHECKING:
    from mcai_pipelines.config.yaml_source import Location

MAX_FINDINGS = 100
"""A file with more problems than this is the wrong file; explaining on would take seconds."""


class Broken(NamedTuple):
    """A rule that does not hold: where, what, and what to do."""

    location: Location
    what: str
    fix: str


def shown_path(path: Path) -> str:
    """The path as messages show it: relative to the working directory when below it."""
    absolute = Path(os.path.abspath(path))
    try:
        return str(absolute.relative_to(Path.cwd()))
    except ValueError:
        return str(absolute)


class Findings:
    """Problems of one file. Readers add to it and go on; the loader raises at the end."""

    def __init__(self, file: str) -> None:
        """Start with none.

        Args:
            file: The file as messages show it.
        """
        self.file = file
        self._found: list[tuple[int, Problem]] = []

    def add(self, line: int, what: str, fix: str) -> None:
        """Record one problem.

        Raises:
            BadInput: When there are more than ``MAX_FINDINGS``.
        """
        self._found.append((line, Problem(f"{self.file}:{line}", what, fix)))
        if len(self._found) > MAX_FINDINGS:
            raise self.error()

    def error(self) -> BadInput:
        """Everything found so far as one error, ordered by line."""
        by_line = sorted(self._found, key=lambda found: found[0])
        return BadInput([problem for _, problem in by_line])

    def raise_any(self) -> None:
        """Raise what was found, if anything.

        Raises:
            BadInput: With every problem of the file, ordered by line.
        """
        if self._found:
            raise self.error()
