"""The errors this project raises on purpose, and the exit code each one means.

Every floor may import this module; it imports nothing of ours. Exit codes: 1 failure,
2 bad input, 3 refused by policy or budget.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a file that a person wrote.

    Attributes:
        where: ``file:line``, or the name of an argument or environment variable.
        what: What is wrong.
        fix: What to do about it.
    """

    where: str
    what: str
    fix: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.fix}"


class McaiError(Exception):
    """Base of every error raised on purpose: the message is meant for the user."""

    exit_code = 1


class BadInput(McaiError):
    """Something the user wrote is wrong: a file, an argument, a variable (exit code 2).

    Attributes:
        problems: All that was found, in the order of the file; never empty.
    """

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        if not problems:
            raise ValueError("BadInput needs at least one problem")
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def at(cls, where: str, what: str, fix: str) -> "BadInput":
        """A single problem: the usual case."""
        return cls([Problem(where, what, fix)])


class Refused(McaiError):
    """Policy or budget forbids it (exit code 3)."""

    exit_code = 3
