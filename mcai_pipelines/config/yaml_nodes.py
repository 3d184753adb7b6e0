"""YAML events into a tree of nodes that remember their lines.

The tree is built from PyYAML's event stream rather than by its composer, so that limits on
depth, size and alias expansion act before any work is done, and so that no tag ever constructs
an object.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from mcai_pipelines.config.findings import Findings
from mcai_pipelines.config.wording import quoted
from mcai_pipelines.config.yaml_scalars import Scalar, plain_scalar

MAX_DEPTH = 50
MAX_VALUES = 100_000

# libyaml parses about twenty times as fast; a PyYAML built without it still works.
LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it starts.

    Attributes:
        line: 1-based line of the value.
        content: A scalar, a list of nodes, or key → (line of the key, node).
        text: What was written, for a scalar: ``1.10`` for the number 1.1.
        size: How many values it holds, aliases expanded; itself included.
        height: How many levels lie below it, aliases expanded.
    """

    line: int
    content: "Scalar | list[Node] | dict[str, tuple[int, Node]]"
    text: str = ""
    size: int = 1
    height: int = 0


class NodeBuilder:
    """Builds the tree of one document, reporting what YAML allows and this project does not."""

    def __init__(self, events: Iterator[yaml.Event], findings: Findings) -> None:
        """Read from ``events``; problems go to ``findings``."""
        self._events = events
        self._findings = findings
        # None marks an anchor whose value is still being read.
        self._anchors: dict[str, Node | None] = {}
        self._values = 0

    def build(self) -> Node | None:
        """The only document of the stream, or None when there is none.

        Raises:
            BadInput: When the document is too deep or too large, or an alias refers to itself
                or to nothing.
            yaml.YAMLError: When the text is not YAML.
        """
        next(self._events)
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), 0)
        next(self._events)
        end = next(self._events)
        if not isinstance(end, yaml.StreamEndEvent):
            self._report(end, "a second document starts here", "keep one document per file")
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        self._values += 1
        self._limit(event, depth, self._values)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        anchor = getattr(event, "anchor", None)
        if anchor:
            self._anchors[anchor] = None
        if event.tag is not None:  # type: ignore[attr-defined]  # not an alias: it has a tag
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")  # type: ignore[attr-defined]
            what = f"the tag {quoted(tag)} is not allowed"
            self._report(event, what, "remove it; put quotes around a value that must stay text")
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(event, depth)
        else:
            node = self._mapping(event, depth)
        if anchor:
            self._anchors[anchor] = node
        return node

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        text = event.value
        plain = not event.style and event.implicit[0]  # libyaml says '' where Python says None
        return Node(_line(event), plain_scalar(text) if plain else text, text)

    def _sequence(self, event: yaml.Event, depth: int) -> Node:
        items: list[Node] = []
        while not isinstance(item := next(self._events), yaml.SequenceEndEvent):
            items.append(self._node(item, depth + 1))
        return self._sized(event, items, items)

    def _mapping(self, event: yaml.Event, depth: int) -> Node:
        entries: dict[str, tuple[int, Node]] = {}
        while not isinstance(start := next(self._events), yaml.MappingEndEvent):
            key = self._node(start, depth + 1)
            value = self._node(next(self._events), depth + 1)
            if not isinstance(key.content, str):
                self._report(start, "a key must be text", f"put quotes around it: {_fixed(key)}")
            elif key.content == "<<":
                self._report(start, "YAML 1.2 has no merge key <<", "write the keys out")
            elif key.content in entries:
                first = entries[key.content][0]
                what = f"the key {quoted(key.content)} is written twice (first on line {first})"
                self._report(start, what, "keep one of them, or rename one")
            else:
                entries[key.content] = (_line(start), value)
        return self._sized(event, entries, [node for _, node in entries.values()])

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        if event.anchor not in self._anchors:
            fix = f"define &{event.anchor} above, or put quotes around text that starts with *"
            self._report(event, f"there is no anchor &{event.anchor} above this line", fix)
            raise self._findings.error()
        node = self._anchors[event.anchor]
        if node is None:
            fix = "write the value out"
            self._report(event, f"the alias *{event.anchor} lies inside its own anchor", fix)
            raise self._findings.error()
        self._limit(event, depth + node.height, node.size)
        return node

    def _sized(
        self,
        event: yaml.Event,
        content: "list[Node] | dict[str, tuple[int, Node]]",
        children: list[Node],
    ) -> Node:
        size = 1 + sum(child.size for child in children)
        self._limit(event, 0, size)
        height = 1 + max((child.height for child in children), default=-1)
        return Node(_line(event), content, size=size, height=height)

    def _limit(self, event: yaml.Event, depth: int, values: int) -> None:
        """Stop before a small file becomes a large structure (``billion laughs``)."""
        if depth > MAX_DEPTH:
            self._report(event, f"nested more than {MAX_DEPTH} deep", "flatten the structure")
        elif values > MAX_VALUES:
            what = f"more than {MAX_VALUES:,} values, counting repeated aliases"
            self._report(event, what, "split the file, or write aliased values out")
        else:
            return
        raise self._findings.error()

    def _report(self, event: yaml.Event, what: str, fix: str) -> None:
        self._findings.add(_line(event), what, fix)


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return 1 if mark is None else int(mark.line) + 1


def _fixed(key: Node) -> str:
    return f'"{key.text}": …' if not isinstance(key.content, list | dict) else '"name": …'
