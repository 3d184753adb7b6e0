"""How a table is kept, which ODCS leaves to custom properties: format, mirror, external, history.

They stand at the top of the contract or at its schema object::

    customProperties:
      - {property: format, value: iceberg}
      - {property: mirror, value: delta}
      - {property: history, value: {keepVersions: 30, days: 90}}
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mcai_pipelines.config import EnvString, TableFormat
from mcai_pipelines.config.wording import closest, quoted
from mcai_pipelines.config.yaml_source import Location
from mcai_pipelines.contracts.model import External, Retention
from mcai_pipelines.contracts.shape import TEXT, WHOLE, Checker, Keys, Shape, Word

_FORMAT = Word(("iceberg", "delta"), "table format")
_VALUES: dict[str, Shape] = {
    "format": _FORMAT,
    "mirror": _FORMAT,
    "history": Keys("history", {"keepVersions": WHOLE, "days": WHOLE}),
    "external": Keys(
        "external",
        {"site": TEXT, "format": _FORMAT, "uri": TEXT, "catalogTable": TEXT},
        ("site", "format"),
    ),
}
_CATALOG_TABLE = re.compile(r"[^\s./]+(\.[^\s./]+)+")
_SHAPES = {name: Keys(name, {"value": shape}) for name, shape in _VALUES.items()}
# A typing error in one of ours would otherwise pass as somebody else's property.
_NEARLY = 0.8


@dataclass(frozen=True)
class Keeping:
    """How a table is kept; see ``Contract``."""

    format: TableFormat | None = None
    mirror: TableFormat | None = None
    external: External | None = None
    history: Retention = field(default_factory=Retention)

    @property
    def formats(self) -> tuple[TableFormat, ...]:
        """The formats that the contract names."""
        return tuple(named for named in (self.format, self.mirror) if named)


def read_keeping(
    checker: Checker, contract: Mapping[str, Any], table: Mapping[str, Any]
) -> Keeping:
    """Format, mirror and external from the custom properties of a contract and its table."""
    found: dict[str, tuple[Any, Location]] = {}
    for name, value, location in _ours(checker, contract, table):
        if name in found:
            what = f"the custom property {name} is written twice"
            checker.document.add(location, what, "keep one of them")
        else:
            found[name] = (value, location)
    external = _external(checker, *found["external"]) if "external" in found else None
    declared, mirror = (found.get(name, (None, ()))[0] for name in ("format", "mirror"))
    if mirror is not None and mirror == declared:
        what = f"the mirror has the format of the table, {mirror}"
        checker.document.add(found["mirror"][1], what, "remove the mirror, or use the other format")
    if external is not None and mirror is not None:
        what = "an external table is only read and has no mirror"
        checker.document.add(found["mirror"][1], what, "remove the mirror")
    if external is not None and declared not in (None, external.format):
        what = f"the format {declared} is not that of the external table, {external.format}"
        checker.document.add(found["format"][1], what, "remove the format")
    history = _history(checker, *found["history"]) if "history" in found else Retention()
    format = declared or (external.format if external else None)
    return Keeping(format, mirror, external, history)


def _ours(
    checker: Checker, contract: Mapping[str, Any], table: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Location]]:
    """The custom properties that mean something here, checked: (name, value, location)."""
    places: tuple[tuple[Mapping[str, Any], Location], ...] = (
        (contract, ()),
        (table, ("schema", 0)),
    )
    for holder, place in places:
        for at, item in enumerate(holder.get("customProperties", ())):
            here = (*place, "customProperties", at)
            if item is None or checker.touched(here):
                continue
            name = item["property"]
            if name in _VALUES:
                value = checker.clean(_SHAPES[name], {"value": item["value"]}, here)
                yield name, value.get("value"), (*here, "value")
            elif near := closest(name, _VALUES, _NEARLY):
                what = f"the custom property {quoted(name)} looks like {near}"
                checker.document.add((*here, "property"), what, f"did you mean {near}?")


def _history(checker: Checker, value: Any, location: Location) -> Retention:
    if value is None or checker.touched(location):
        return Retention()
    for name, least in (("keepVersions", 1), ("days", 0)):
        if (given := value.get(name)) is not None and given < least:
            what = f"{name} is {given}, and at least {least} is kept"
            checker.document.add((*location, name), what, f"write {least} or more")
    return Retention(value.get("keepVersions"), value.get("days"))


def _external(checker: Checker, value: Any, location: Location) -> External | None:
    if value is None or checker.touched(location):
        return None
    uri, catalog_table = value.get("uri") or None, value.get("catalogTable") or None
    if (uri is None) == (catalog_table is None):
        what = "an external table needs either a uri or a catalogTable"
        checker.document.add(location, what, "write one of them")
        return None
    if catalog_table is not None and value["format"] != "iceberg":
        what = "only Iceberg tables are found by catalogTable"
        checker.document.add((*location, "catalogTable"), what, "write the table's uri")
    if catalog_table is not None and not _CATALOG_TABLE.fullmatch(catalog_table):
        what = f"the catalogTable {quoted(catalog_table)} is not allowed"
        checker.document.add((*location, "catalogTable"), what, "write it as namespace.table")
    try:
        address = EnvString(uri, checker.document.where((*location, "uri"))) if uri else None
    except ValueError as error:
        checker.document.add((*location, "uri"), f"uri: {error}", "write the name in braces")
        return None
    return External(value["site"], value["format"], address, catalog_table)
