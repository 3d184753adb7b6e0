"""From the logical and physical types of ODCS to a neutral type.

ODCS names few logical types (``integer``, ``number``, …) and leaves the physical type as free
text of the data source. The logical type alone gives the widest type; the physical type, or the
size in ``logicalTypeOptions.format``, narrows it. Where they contradict one another, the contract
is wrong rather than one of them preferred.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from mcai_pipelines.config.wording import did_you_mean, quoted
from mcai_pipelines.contracts.types import Decimal, Primitive, PrimitiveKind

Nested = Literal["object", "array"]

_DEFAULTS: dict[str, PrimitiveKind] = {
    "string": "string",
    "integer": "long",
    "number": "double",
    "boolean": "boolean",
    "date": "date",
    "timestamp": "timestamp",
    "time": "time",
}

_PHYSICAL: dict[str, PrimitiveKind | Nested | Literal["decimal"]] = {
    **dict.fromkeys(("string", "text", "varchar", "char", "character varying", "uuid"), "string"),
    **dict.fromkeys(("int", "integer", "int32", "smallint", "tinyint"), "int"),
    **dict.fromkeys(("long", "bigint", "int64"), "long"),
    **dict.fromkeys(("float", "real", "float32"), "float"),
    **dict.fromkeys(("double", "double precision", "float64"), "double"),
    **dict.fromkeys(("decimal", "numeric", "number"), "decimal"),
    **dict.fromkeys(("boolean", "bool"), "boolean"),
    "date": "date",
    "time": "time",
    **dict.fromkeys(("timestamp", "datetime"), "timestamp"),
    **dict.fromkeys(("timestamptz", "timestamp with time zone", "timestamp_tz"), "timestamp"),
    **dict.fromkeys(("timestamp_ntz", "timestamp without time zone"), "timestamp_ntz"),
    **dict.fromkeys(("binary", "bytes", "varbinary", "blob", "bytea"), "binary"),
    **dict.fromkeys(("object", "struct", "record", "row"), "object"),
    **dict.fromkeys(("array", "list"), "array"),
}
# Names that say nothing about the zone, so that the logical type decides.
_ZONE_UNSAID = ("timestamp", "datetime")

_ALLOWED: dict[str, tuple[str, ...]] = {
    "string": ("string", "binary"),  # ODCS has no logical type for bytes
    "integer": ("int", "long", "decimal"),
    "number": ("float", "double", "decimal", "int", "long"),
    "boolean": ("boolean",),
    "date": ("date",),
    "timestamp": ("timestamp", "timestamp_ntz"),
    "time": ("time",),
    "object": ("object",),
    "array": ("array",),
}

# Sizes follow Rust's names (ODCS 3.1, logicalTypeOptions); an unsigned one needs the next larger.
_SIZES: dict[str, PrimitiveKind] = {
    **dict.fromkeys(("i8", "i16", "i32", "u8", "u16"), "int"),
    **dict.fromkeys(("i64", "u32"), "long"),
    "f32": "float",
    "f64": "double",
}

_PARAMETERS = re.compile(r"([a-z0-9_ ]+?)\s*(?:\(\s*(\d{1,9}|max)\s*(?:,\s*(\d{1,9})\s*)?\))?")
_SIZED = ("varchar", "char", "character varying", "binary", "varbinary")


class TypeProblem(ValueError):
    """A type that cannot be: which key says so, what is wrong, what to do."""

    def __init__(self, key: str, what: str, fix: str) -> None:
        """``key`` is the ODCS key to point at."""
        super().__init__(what)
        self.key, self.what, self.fix = key, what, fix


def column_type(
    logical: str | None, physical: str | None, options: Mapping[str, Any]
) -> Primitive | Decimal | Nested:
    """The neutral type of an ODCS property, or what kind of nested type it is.

    Args:
        logical: ``logicalType``, one of the nine of ODCS.
        physical: ``physicalType``: a common SQL, Arrow or Iceberg name, in any case.
        options: ``logicalTypeOptions``; ``format`` and ``timezone`` matter here.

    Raises:
        TypeProblem: When neither type is given, the physical type is unknown, or they clash.
    """
    if physical is not None:
        found = _physical_type(physical)
        _check_logical(logical, physical, found)
        _check_size(found, options)
        return _zoned(found, physical, options)
    if logical is None:
        fix = "add 'logicalType: string' (integer, number, boolean, date, timestamp, …)"
        raise TypeProblem("name", "no type is given", fix)
    if logical == "object":
        return "object"
    if logical == "array":
        return "array"
    if logical == "timestamp" and options.get("timezone") is False:
        return Primitive("timestamp_ntz")
    size = options.get("format") if logical in ("integer", "number") else None
    return Primitive(_sized(size) if size else _DEFAULTS[logical])


def _physical_type(physical: str) -> Primitive | Decimal | Nested:
    match = _PARAMETERS.fullmatch(physical.strip().lower())
    name = " ".join(match[1].split()) if match else ""
    kind = _PHYSICAL.get(name)
    if match is None or kind is None:
        what = f"the physicalType {quoted(physical)} is not known"
        raise TypeProblem("physicalType", what, did_you_mean(physical.lower(), _PHYSICAL))
    if kind == "decimal":
        return _decimal(match[2], match[3])
    if match[2] and (match[3] or name not in _SIZED):
        what = f"the physicalType {name} takes no size such as {quoted(physical)}"
        raise TypeProblem("physicalType", what, f"write 'physicalType: {name}'")
    if kind == "object":
        return "object"
    return "array" if kind == "array" else Primitive(kind)


def _decimal(precision: str | None, scale: str | None) -> Decimal:
    fix = "write for example 'physicalType: decimal(10,2)'"
    if precision is None or precision == "max":
        raise TypeProblem("physicalType", "a decimal needs its number of digits", fix)
    try:
        return Decimal(int(precision), int(scale or 0))
    except ValueError as error:
        raise TypeProblem("physicalType", str(error), fix) from None


def _check_logical(logical: str | None, physical: str, found: Primitive | Decimal | Nested) -> None:
    if logical is None:
        return
    allowed = _ALLOWED[logical]
    fractional = logical == "integer" and isinstance(found, Decimal) and found.scale > 0
    if _kind(found) not in allowed or fractional:
        what = f"the physicalType {quoted(physical)} does not fit the logicalType {logical}"
        fix = f"use one of {', '.join(allowed)}, or change the logicalType"
        raise TypeProblem("physicalType", what, fix)


def _check_size(found: Primitive | Decimal | Nested, options: Mapping[str, Any]) -> None:
    size = options.get("format")
    if size in _SIZES and _kind(found) in _SIZES.values() and _kind(found) != _SIZES[size]:
        what = f"the physicalType {found} does not fit logicalTypeOptions.format {size}"
        raise TypeProblem("physicalType", what, "remove one of them")


def _zoned(
    found: Primitive | Decimal | Nested, physical: str, options: Mapping[str, Any]
) -> Primitive | Decimal | Nested:
    zone = options.get("timezone")
    if zone is None or _kind(found) not in _ALLOWED["timestamp"]:
        return found
    wanted = Primitive("timestamp" if zone else "timestamp_ntz")
    if physical.strip().lower() not in _ZONE_UNSAID and found != wanted:
        what = f"the physicalType {quoted(physical)} does not fit timezone: {str(zone).lower()}"
        raise TypeProblem("physicalType", what, "remove one of them")
    return wanted


def _sized(size: str) -> PrimitiveKind:
    if size not in _SIZES:
        what = f"no table format has an integer of the size {quoted(size)}"
        raise TypeProblem("logicalTypeOptions", what, "use 'physicalType: decimal(38,0)', or i64")
    return _SIZES[size]


def _kind(found: Primitive | Decimal | Nested) -> str:
    if isinstance(found, Decimal):
        return "decimal"
    return found.kind if isinstance(found, Primitive) else found
