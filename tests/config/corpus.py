"""Malformed files that say themselves what is wrong with them.

Each begins with one comment per problem, in the order of the message::

    # expect: <line>: <regular expression of what is wrong and what to do>
"""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from mcai_pipelines.errors import BadInput

_EXPECT = re.compile(rb"# expect: (\d+): (.+)")


def check_expectations(path: Path, load: Callable[[Path], object]) -> None:
    """Load a malformed file: the problems are those that its comments announce, and no others."""
    expected = [
        (int(line), pattern.decode()) for line, pattern in _EXPECT.findall(path.read_bytes())
    ]
    assert expected, f"{path} announces no problem"
    with pytest.raises(BadInput) as caught:
        load(path)
    found = caught.value.problems
    assert [problem.where.rpartition(":")[2] for problem in found] == [
        str(line) for line, _ in expected
    ], str(caught.value)
    for problem, (line, pattern) in zip(found, expected, strict=True):
        assert problem.where == f"{path.relative_to(Path.cwd())}:{line}"
        assert problem.what
        assert problem.fix
        assert re.search(pattern, f"{problem.what}; {problem.fix}"), str(problem)
    assert caught.value.exit_code == 2
    assert not re.search(
        r"\[type=|Input should|validation error|pydantic|Traceback", str(caught.value)
    )
