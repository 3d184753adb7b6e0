"""Plain YAML 1.2 scalars, and YAML syntax errors in plain words.

PyYAML's own resolver speaks YAML 1.1, where the country code ``NO``, ``on`` and ``yes`` are
booleans and ``2017-01-02`` is a date. Here the core schema of YAML 1.2.2 (section 10.3.2) holds:
only ``true`` and ``false`` are booleans and dates stay text.
"""

import re

import yaml

Scalar = str | int | float | bool | None

_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

# No number in a configuration is longer, and Python refuses to parse very long integers.
_LONGEST_NUMBER = 100


def plain_scalar(text: str) -> Scalar:
    """The value of an unquoted scalar under the YAML 1.2 core schema.

    Examples:
        >>> plain_scalar("NO"), plain_scalar("true"), plain_scalar("2017-01-02")
        ('NO', True, '2017-01-02')
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > _LONGEST_NUMBER or text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        return int(text)
    if _OCTAL.fullmatch(text):
        return int(text[2:], 8)
    if _HEXADECIMAL.fullmatch(text):
        return int(text[2:], 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "", 1)) if _SPECIAL.fullmatch(text) else text


_INDENT = "line up the keys of one mapping under each other, and close every quote and bracket"

# Fragments of the messages of libyaml and of PyYAML's own parser, which differ.
_SYNTAX: tuple[tuple[str, str, str], ...] = (
    (
        "mapping values are not allowed",
        "a colon is not expected here",
        "check the indentation, and put quotes around text that contains ': '",
    ),
    (
        "sequence entries are not allowed",
        "a list item is not expected here",
        "start the list on a line of its own, each item with '- '",
    ),
    ("expected ':'", "a key has no colon", "write it as 'key: value'"),
    (
        "cannot start any token",
        "an unquoted value cannot start with this character",
        "put quotes around the value",
    ),
    (
        "escape character",
        "a double-quoted text holds an unknown backslash escape",
        "double the backslash, or use single quotes",
    ),
    ("directive", "unknown % directive", "remove the line"),
    ("incompatible YAML document", "the %YAML version is not supported", "remove the line"),
    ("expected", "the line does not fit the lines above it", _INDENT),
)


def explain_syntax(error: yaml.YAMLError, lines: list[str]) -> tuple[int, str, str]:
    """A parser error as (line, what, fix), without the parser's jargon.

    Args:
        error: What PyYAML raised.
        lines: The lines of the file.
    """
    problem = str(getattr(error, "problem", None) or "")
    line = _line(getattr(error, "problem_mark", None), lines)
    opened = _line(getattr(error, "context_mark", None), lines)
    text = lines[line - 1] if lines else ""
    if "\t" in text[: len(text) - len(text.lstrip())] or "tab character" in problem:
        return line, "a tab is used for indentation", "indent with spaces"
    if "unexpected end of stream" in problem:
        return opened, "the quote opened here is never closed", "add the closing quote"
    if "expected ',' or" in problem:
        if "${" in text:
            return line, "${…} inside braces needs quotes", 'write it as "${NAME}"'
        what = f"a comma or a closing bracket is missing (bracket opened on line {opened})"
        return line, what, "add it, or put quotes around text that contains , [ ] { }"
    for fragment, what, fix in _SYNTAX:
        if fragment in problem:
            return line, what, fix
    return line, "this is not valid YAML", "check indentation, colons and quotes near this line"


def _line(mark: object, lines: list[str]) -> int:
    """The 1-based line of a parser mark, never past the last line of the file."""
    return max(1, min(getattr(mark, "line", 0) + 1, len(lines)))
