"""Random files for the loaders: bytes, YAML-like text, and good files with something changed."""

import time
from collections.abc import Callable
from pathlib import Path

import yaml
from hypothesis import strategies as st

from mcai_pipelines.errors import BadInput, Problem

_VALUES = st.sampled_from(
    ["", "7", "1.5", "true", "~", "[]", "{}", "[a, b]", "{a: b}", "'text'", "NO", "${",
     "${X}", "*a", "&a b", "!!int 5", "|", ">", "- x", '"', "@", "\t", "-1", "0", "9" * 400,
     ".nan", "\x85", "x: y"]
)  # fmt: skip


def any_bytes() -> st.SearchStrategy[bytes]:
    return st.binary(max_size=300)


def yaml_like() -> st.SearchStrategy[bytes]:
    """Text of the characters that mean something to YAML."""
    return st.text("ab01: -\n\n  [],{}&*#?|>'\"%@`!~$\t", max_size=200).map(str.encode)


@st.composite
def _changed_line(draw: st.DrawFn, lines: list[str]) -> list[str]:
    at = draw(st.integers(0, len(lines) - 1))
    line = lines[at]
    key, colon, _ = line.partition(":")
    change = draw(
        st.sampled_from(["delete", "duplicate", "value", "key", "indent", "swap", "text"])
    )
    if change == "delete":
        return lines[:at] + lines[at + 1 :]
    if change == "duplicate":
        return [*lines[:at], line, *lines[at:]]
    if change == "value":
        line = f"{key}{colon} {draw(_VALUES)}"
    elif change == "key":
        line = f"{key}{draw(st.sampled_from(['s', '_', ' ', '<<', '?']))}{colon}"
    elif change == "indent":
        line = draw(st.sampled_from(["", " ", "  ", "\t", "- "])) + line
    elif change == "swap":
        other = draw(st.integers(0, len(lines) - 1))
        lines[at], lines[other] = lines[other], lines[at]
        return lines
    else:
        line = draw(st.text(max_size=20))
    return [*lines[:at], line, *lines[at + 1 :]]


@st.composite
def mutated_text(draw: st.DrawFn, paths: list[Path]) -> bytes:
    """A good file with one to four of its lines deleted, doubled, swapped or rewritten."""
    lines = draw(st.sampled_from(paths)).read_text().splitlines()
    for _ in range(draw(st.integers(1, 4))):
        lines = draw(_changed_line(lines)) or [""]
    return "\n".join(lines).encode("utf-8", "replace")


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2)
    ),
    max_leaves=4,
)


@st.composite
def mutated_data(draw: st.DrawFn, paths: list[Path]) -> bytes:
    """A good file with a value somewhere in it replaced by one of another type."""
    data = yaml.safe_load(draw(st.sampled_from(paths)).read_text())
    node = data
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = draw(st.sampled_from(keys))
        if isinstance(node[key], dict | list) and node[key] and draw(st.booleans()):
            node = node[key]
            continue
        node[key] = draw(_JUNK)
        return yaml.safe_dump(data, allow_unicode=True, sort_keys=False).encode("utf-8", "replace")


def loads_or_says_why(load: Callable[[Path], object], path: Path, content: bytes) -> None:
    """Load content: it returns, or raises ``BadInput`` in plain words, within a moment."""
    path.write_bytes(content)
    problems: tuple[Problem, ...] = ()
    start = time.process_time()
    try:
        load(path)
    except BadInput as error:
        problems = error.problems
    assert time.process_time() - start < 1
    assert all(problem.where and problem.what and problem.fix for problem in problems)
    assert not [problem for problem in problems if "Input should" in problem.what]
