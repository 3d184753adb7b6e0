"""The properties of an ODCS schema object as typed columns."""

from collections.abc import Iterator, Mapping
from typing import Any

from mcai_pipelines.config.wording import quoted
from mcai_pipelines.config.yaml_source import Location
from mcai_pipelines.contracts.logical import TypeProblem, column_type
from mcai_pipelines.contracts.model import Column
from mcai_pipelines.contracts.odcs import OPTIONS
from mcai_pipelines.contracts.shape import Checker
from mcai_pipelines.contracts.types import (
    Decimal,
    ListType,
    Primitive,
    StructField,
    StructType,
    Type,
)

Properties = list[dict[str, Any] | None]

# Delta Lake refuses the first group in column names (its protocol, 'Column Metadata'); the others
# break partition folders and the dotted paths by which both formats name nested columns.
_FORBIDDEN = " ,;{}()\n\t=" + "./\\`'\"%"


def read_columns(checker: Checker, properties: Properties, location: Location) -> list[Column]:
    """The columns that are right; problems of the others go to the checker.

    Args:
        checker: Has already checked the shape of ``properties``.
        properties: The cleaned ODCS properties; None where one was no mapping.
        location: Where they are in the document.
    """
    _check_names(checker, properties, location)
    keys = _positions(checker, properties, location, "primaryKey", "primaryKeyPosition")
    partitions = _positions(checker, properties, location, "partitioned", "partitionKeyPosition")
    columns = []
    for at, raw in _intact(checker, properties, location):
        here = (*location, at)
        found = _read_type(checker, raw, here)
        if found is None:
            continue
        if at in keys:
            _check_key(checker, raw, found, (*here, "primaryKey"), "primary key")
        if at in partitions:
            _check_key(checker, raw, found, (*here, "partitioned"), "partition")
        line = checker.document.line((*here, "name"))
        columns.append(_column(raw, found, keys.get(at), partitions.get(at), line))
    return columns


def _column(
    raw: Mapping[str, Any], found: Type, key: int | None, partition: int | None, line: int
) -> Column:
    return Column(
        name=raw["name"],
        type=found,
        required=raw.get("required", False),
        primary_key=key,
        partition=partition,
        description=raw.get("description", ""),
        business_name=raw.get("businessName"),
        tags=tuple(raw.get("tags", ())),
        classification=raw.get("classification"),
        quality=tuple(raw.get("quality", ())),
        relationships=tuple(raw.get("relationships", ())),
        line=line,
    )


def _intact(
    checker: Checker, properties: Properties, location: Location
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Properties without a wrong key, whose meaning can be judged, with their positions."""
    for at, raw in enumerate(properties):
        if raw is not None and not checker.touched((*location, at)):
            yield at, raw


def _check_names(checker: Checker, properties: Properties, location: Location) -> None:
    seen: dict[str, str] = {}
    for at, raw in enumerate(properties):
        name = raw.get("name") if raw else None
        if name is None:
            continue
        here = (*location, at, "name")
        if problem := _name_problem(name):
            checker.document.add(here, f"the column name {quoted(name)} {problem}", "rename it")
        # Spark and most SQL engines read names without regard to case.
        other = seen.get(name.casefold())
        if other is not None:
            what = f"two columns are called {quoted(name)}"
            what += "" if other == name else f" and {quoted(other)}, which differ only in case"
            checker.document.add(here, what, "rename one of them")
        seen.setdefault(name.casefold(), name)
        if raw and raw.get("physicalName", name) != name:
            what = f"the physicalName {quoted(raw['physicalName'])} differs from the column's name"
            fix = "remove it: a column is stored under its name"
            checker.document.add((*location, at, "physicalName"), what, fix)


def _name_problem(name: str) -> str | None:
    if not name:
        return "is empty"
    if name.startswith("_"):
        return "starts with '_', which is kept for the table formats"
    for character in name:
        if character in _FORBIDDEN or not character.isprintable():
            return f"holds {quoted(character)}, which tables cannot store in a name"
    return None


def _positions(
    checker: Checker, properties: Properties, location: Location, flag: str, position: str
) -> dict[int, int]:
    """Index of each marked property → its 1-based place.

    Places come from the position keys when there are any, else from the order of the file.
    """
    marked: dict[int, int | None] = {}
    for at, raw in _intact(checker, properties, location):
        written = raw.get(position, -1)
        place = None if written == -1 else written  # -1 is the standard's word for 'none'
        here = (*location, at, position)
        if place is not None and not raw.get(flag):
            what = f"{position} without '{flag}: true'"
            checker.document.add(here, what, f"add '{flag}: true', or remove the position")
        elif place is not None and place < 1:
            checker.document.add(here, f"the {position} is {place}", "count from 1")
        elif place is not None and place in marked.values():
            what = f"the {position} {place} is taken by another column"
            checker.document.add(here, what, "give each column its own position")
        elif raw.get(flag):
            marked[at] = place
    return _in_order(checker, marked, location, (flag, position))


def _in_order(
    checker: Checker, marked: dict[int, int | None], location: Location, keys: tuple[str, str]
) -> dict[int, int]:
    flag, position = keys
    if any(marked.values()):
        for at in (at for at, place in marked.items() if place is None):
            what = f"{flag} without {position}, which other columns have"
            fix = f"add {position} to all of them, or to none"
            checker.document.add((*location, at, flag), what, fix)
    ordered = sorted(marked, key=lambda at: marked[at] or 0)
    return {at: place for place, at in enumerate(ordered, start=1)}


def _check_key(
    checker: Checker, raw: Mapping[str, Any], found: Type, location: Location, role: str
) -> None:
    """A key must compare exactly and never be null, in both formats."""
    name = raw["name"]
    if not isinstance(found, Primitive | Decimal):
        what = f"the {role} column {name} is a {found}"
        checker.document.add(location, what, "use a column with a single value")
    elif isinstance(found, Primitive) and found.kind in ("float", "double", "binary"):
        what = f"the {role} column {name} is {found}, which does not compare exactly"
        checker.document.add(location, what, "use a date, text, integer or decimal column")
    if not raw.get("required"):
        checker.document.add(
            location, f"the {role} column {name} may be empty", "add 'required: true'"
        )


def _read_type(checker: Checker, raw: Mapping[str, Any], location: Location) -> Type | None:
    """The type of a property; None when it has a problem."""
    logical, options = raw.get("logicalType"), raw.get("logicalTypeOptions", {})
    if options and not _check_options(checker, logical, options, location):
        return None
    try:
        found = column_type(logical, raw.get("physicalType"), options)
    except TypeProblem as problem:
        checker.document.add((*location, problem.key), problem.what, problem.fix)
        return None
    for key, kind in (("properties", "object"), ("items", "array")):
        if key in raw and found != kind:
            what = f"{key} belong to an {kind}, and this is {found}"
            checker.document.add(
                (*location, key), what, f"write 'logicalType: {kind}', or remove them"
            )
            return None
        if key not in raw and found == kind:
            checker.document.add(
                (*location, "logicalType"), f"an {kind} needs {key}", f"add '{key}:'"
            )
            return None
    if found == "object":
        return _struct(checker, raw["properties"], (*location, "properties"))
    if found == "array":
        return _list(checker, raw["items"], (*location, "items"))
    return found


def _check_options(
    checker: Checker, logical: str | None, options: Mapping[str, Any], location: Location
) -> bool:
    here = (*location, "logicalTypeOptions")
    if logical is None:
        checker.document.add(here, "logicalTypeOptions without a logicalType", "add a logicalType")
        return False
    checker.clean(OPTIONS[logical], options, here)
    return not checker.touched(here)


def _list(checker: Checker, items: Mapping[str, Any], location: Location) -> Type | None:
    _check_nested(checker, items, location)
    element = _read_type(checker, items, location)
    return ListType(element, items.get("required", False)) if element else None


def _struct(checker: Checker, properties: Properties, location: Location) -> Type | None:
    if not properties:
        checker.document.add(location, "an object needs at least one property", "add one")
    _check_names(checker, properties, location)
    fields = []
    for at, raw in _intact(checker, properties, location):
        here = (*location, at)
        _check_nested(checker, raw, here)
        found = _read_type(checker, raw, here)
        if found:
            fields.append(StructField(raw["name"], found, raw.get("required", False)))
    return StructType(tuple(fields)) if len(fields) == len(properties) else None


def _check_nested(checker: Checker, raw: Mapping[str, Any], location: Location) -> None:
    for flag, role in (("primaryKey", "primary key"), ("partitioned", "partition column")):
        if raw.get(flag):
            what = f"a {role} cannot lie inside an object or array"
            checker.document.add((*location, flag), what, "make it a column of its own")
