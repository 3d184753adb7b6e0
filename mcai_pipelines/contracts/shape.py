"""Checking plain data against a table of field names, each problem at its line.

A ``Shape`` says what a value looks like. ``Checker.clean`` reports what does not fit and returns
the rest, so that the reading of meaning that follows never meets a wrong type: keys are left out,
and items of a list become None, which keeps the positions of the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from mcai_pipelines.config.wording import did_you_mean, kind_of, quoted
from mcai_pipelines.config.yaml_source import Document, Location


@dataclass(frozen=True)
class Plain:
    """A value of one of some Python types, and what to call it."""

    name: str
    types: tuple[type, ...]


TEXT = Plain("text", (str,))
FLAG = Plain("true or false", (bool,))
WHOLE = Plain("a whole number", (int,))
NUMBER = Plain("a number", (int, float))
SINGLE = Plain("a single value", (str, int, float, bool, type(None)))
MAPPING = Plain("a mapping", (dict,))
ANYTHING = Plain("anything", (object,))


@dataclass(frozen=True)
class Word:
    """Text that is one of some words; ``name`` says what they are, where the key does not."""

    choices: tuple[str, ...]
    name: str = ""


@dataclass(frozen=True)
class ListOf:
    """A list of one shape."""

    item: "Shape"


@dataclass(frozen=True)
class Keys:
    """A mapping with known keys; ``name`` is what messages call it."""

    name: str
    fields: Mapping[str, "Shape"] = field(repr=False)
    required: tuple[str, ...] = ()


@dataclass(frozen=True)
class Either:
    """A list of one shape, or else another shape."""

    items: ListOf
    other: "Shape"


Shape: TypeAlias = Plain | Word | ListOf | Keys | Either

_GONE = object()
"""Stands for a value that did not fit."""


@dataclass
class Checker:
    """Checks parts of one document.

    Attributes:
        document: Where problems are recorded.
        bad: Locations at which something was wrong.
    """

    document: Document
    bad: set[Location] = field(default_factory=set)

    def clean(self, shape: Keys, value: Mapping[str, Any], location: Location) -> dict[str, Any]:
        """The mapping without what does not fit; each misfit is a finding."""
        cleaned: dict[str, Any] = self._keys(shape, value, location)
        return cleaned

    def touched(self, location: Location) -> bool:
        """Whether anything at or below a location was wrong."""
        return any(bad[: len(location)] == location for bad in self.bad)

    def report(self, location: Location, what: str, fix: str) -> None:
        """Record a misfit, and remember that what lies here cannot be judged further."""
        self.bad.add(location)
        self.document.add(location, what, fix)

    def _any(self, shape: Shape, value: Any, location: Location) -> Any:
        if isinstance(shape, Either):
            chosen = shape.items if isinstance(value, list) else shape.other
            return self._any(chosen, value, location)
        if isinstance(shape, Plain):
            return self._plain(shape, value, location)
        if value is None:
            what = f"{_name(location)} is empty"
            return self._misfit(location, what, "write a value, or remove the key")
        if isinstance(shape, Word):
            return self._word(shape, value, location)
        if isinstance(shape, ListOf):
            return self._list(shape, value, location)
        if isinstance(value, dict):
            return self._keys(shape, value, location)
        what = f"{_name(location)} must be a mapping, not {kind_of(value)}"
        example = next(iter(shape.required or shape.fields))
        return self._misfit(location, what, f"write its keys below it, such as '{example}: …'")

    def _plain(self, shape: Plain, value: Any, location: Location) -> Any:
        # To Python true is also the number 1; to whoever writes YAML it is not.
        misread = isinstance(value, bool) and int in shape.types and bool not in shape.types
        if isinstance(value, shape.types) and not misread:
            return value
        if value is None:
            what = f"{_name(location)} is empty"
            return self._misfit(location, what, "write a value, or remove the key")
        what = f"{_name(location)} must be {shape.name}, not {kind_of(value)}"
        if shape is TEXT and not isinstance(value, list | dict):
            return self._misfit(location, what, f'put quotes around it: "{self._text(location)}"')
        return self._misfit(location, what, f"write {shape.name}")

    def _word(self, shape: Word, value: Any, location: Location) -> Any:
        if value in shape.choices:
            return value
        if not isinstance(value, str):
            what = f"{_name(location)} must be text, not {kind_of(value)}"
            return self._misfit(location, what, f"use one of {', '.join(shape.choices)}")
        what = f"{quoted(value)} is not a {shape.name or _name(location)}"
        return self._misfit(location, what, did_you_mean(value, shape.choices))

    def _list(self, shape: ListOf, value: Any, location: Location) -> Any:
        if not isinstance(value, list):
            what = f"{_name(location)} must be a list, not {kind_of(value)}"
            return self._misfit(location, what, "start each item on its own line with '- '")
        items = [self._any(shape.item, item, (*location, at)) for at, item in enumerate(value)]
        return [None if item is _GONE else item for item in items]

    def _keys(self, shape: Keys, value: Mapping[str, Any], location: Location) -> Any:
        cleaned = {}
        for key, item in value.items():
            here = (*location, key)
            if key not in shape.fields:
                what = f"unknown key {quoted(key)} in {shape.name}"
                self.report(
                    here, what, did_you_mean(key, shape.fields) if shape.fields else "remove it"
                )
                continue
            fitting = self._any(shape.fields[key], item, here)
            if fitting is not _GONE:
                cleaned[key] = fitting
        for key in shape.required:
            if key not in value:
                self.report(
                    (*location, key), f"{key} is missing in {shape.name}", f"add '{key}: …'"
                )
        return cleaned

    def _misfit(self, location: Location, what: str, fix: str) -> object:
        self.report(location, what, fix)
        return _GONE

    def _text(self, location: Location) -> str:
        return self.document.text(location)


def _name(location: Location) -> str:
    """What to call the value at a location: its key, or an item of its list."""
    last = location[-1]
    return str(last) if isinstance(last, str) else f"an item of {location[-2]}"
