"""Reading a YAML file that a person wrote, so that every later message can name its line.

``read_yaml`` gives a ``Document``: plain Python data plus the line of each key and item. What
belongs here is YAML itself: encoding, syntax, duplicate keys, limits. What the keys mean belongs
to the loaders of platforms and contracts, which share this module.
"""

import re
import stat
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import yaml

from mcai_pipelines.config.findings import Findings, shown_path
from mcai_pipelines.config.wording import kind_of
from mcai_pipelines.config.yaml_nodes import LOADER, Node, NodeBuilder
from mcai_pipelines.config.yaml_scalars import explain_syntax

MAX_BYTES = 1 << 20

Location = tuple[str | int, ...]
"""Keys and list positions from the top of a document: ``("sites", "aws-us-east-1", "region")``."""

# YAML 1.2.2, section 5.1: the characters a YAML text may hold.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Document:
    """The content of one YAML file and where each part of it was written.

    Attributes:
        path: The file.
        findings: Problems so far. A document with duplicate keys or tags is still returned, so
            that they are reported together with what its loader finds; the loader ends with
            ``document.findings.raise_any()``.
    """

    def __init__(self, path: Path, root: Node, findings: Findings) -> None:
        """Wrap a parsed tree whose root is a mapping."""
        self.path = path
        self.findings = findings
        self._root = root

    @cached_property
    def data(self) -> dict[str, Any]:
        """The content as dicts, lists, text, numbers, booleans and None."""
        plain: dict[str, Any] = _plain(self._root)
        return plain

    def line(self, location: Location) -> int:
        """The 1-based line of a key or list item.

        A location that does not exist (a missing key) gives the line of what should hold it.
        """
        return self._walk(location)[0]

    def where(self, location: Location) -> str:
        """``file:line`` of a key or list item, the file relative to the working directory."""
        return f"{self.findings.file}:{self.line(location)}"

    def text(self, location: Location) -> str:
        """A scalar as it was written: ``1.10`` where the value is the number 1.1."""
        return self._walk(location)[1].text

    def add(self, location: Location, what: str, fix: str) -> None:
        """Record a problem at a key or list item."""
        self.findings.add(self.line(location), what, fix)

    def _walk(self, location: Location) -> tuple[int, Node]:
        line, node = self._root.line, self._root
        for step in location:
            content = node.content
            if isinstance(content, dict) and step in content:
                line, node = content[str(step)]
            elif isinstance(content, list) and isinstance(step, int) and step < len(content):
                node = content[step]
                line = node.line
            else:
                break
        return line, node


def read_yaml(path: Path) -> Document:
    """Read a YAML 1.2 file whose top level is a mapping.

    Args:
        path: The file; UTF-8, at most 1 MiB.

    Returns:
        The document. Duplicate keys, tags and merge keys are in its ``findings``.

    Raises:
        BadInput: When the file cannot be read, is not UTF-8 or not YAML, is empty, is not a
            mapping, or is too large or too deep once its aliases are expanded.
    """
    findings = Findings(shown_path(path))
    text = _decode(_read(path, findings), findings)
    try:
        root = NodeBuilder(yaml.parse(text, Loader=LOADER), findings).build()
    except yaml.YAMLError as error:
        findings.add(*explain_syntax(error, text.splitlines()))
        raise findings.error() from None
    if root is None or root.content is None:
        _stop(findings, 1, "the file is empty", "write its keys, or delete it")
    if not isinstance(root.content, dict):
        what = f"the file must hold keys and values, not {kind_of(root.content)}"
        _stop(findings, root.line, what, "start with lines such as 'name: value'")
    return Document(path, root, findings)


def _read(path: Path, findings: Findings) -> bytes:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            _stop(findings, 1, "this is a folder", "name the YAML file inside it")
        if not stat.S_ISREG(mode):  # reading a pipe or a device might never end
            _stop(findings, 1, "this is not a regular file", "name a YAML file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        _stop(findings, 1, "there is no such file", "check the path, or create the file")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _stop(findings, 1, f"the file cannot be read ({reason})", "check its path and permissions")
    if len(data) > MAX_BYTES:
        _stop(findings, 1, "the file is larger than 1 MiB", "split it")
    return data


def _decode(data: bytes, findings: Findings) -> str:
    try:
        text = data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        what = f"the byte 0x{data[error.start]:02X} is not UTF-8"
        _stop(findings, line, what, "save the file in the encoding UTF-8")
    if odd := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, odd.start()) + 1
        what = f"the control character U+{ord(odd.group()):04X} is not allowed"
        _stop(findings, line, what, "delete it")
    return text


def _stop(findings: Findings, line: int, what: str, fix: str) -> NoReturn:
    findings.add(line, what, fix)
    raise findings.error()


def _plain(node: Node) -> Any:
    if isinstance(node.content, dict):
        return {key: _plain(value) for key, (_, value) in node.content.items()}
    if isinstance(node.content, list):
        return [_plain(item) for item in node.content]
    return node.content
