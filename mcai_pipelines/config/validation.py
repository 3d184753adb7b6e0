"""Pydantic's validation errors in plain words, each at its line."""

from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from mcai_pipelines.config.platform import Catalog, DagsterStorage, Platform, Site, StateDatabase
from mcai_pipelines.config.wording import did_you_mean, kind_of, quoted
from mcai_pipelines.config.yaml_source import Document, Location

_UNION_TAGS = ("word", "keys")
"""Steps that pydantic puts into a location after ``credentials``; they are not in the file."""


def report(error: ValidationError, document: Document) -> None:
    """Add each validation error of a platform to the findings of its document.

    Rules between keys are left out: the loader checks them on the document itself, where one
    wrong key does not hide another.
    """
    for details in error.errors(include_url=False):
        if details["type"] == "broken_rule":
            continue
        location = tuple(
            step for at, step in enumerate(details["loc"]) if at != 3 or step not in _UNION_TAGS
        )
        document.add(location, *_explain(details, location, document))


def _explain(details: Any, location: Location, document: Document) -> tuple[str, str]:
    """What is wrong and what to do, for one pydantic error."""
    key, place = str(location[-1]), _place(location)
    value, kind = details["input"], kind_of(details["input"])
    model = _model_of(location)
    field = model.model_fields.get(key)
    example = str(field.examples[0]) if field and field.examples else "…"
    if details["type"] == "missing":
        return f"{key}{place} is missing", f"add '{key}: {example}'"
    if details["type"] == "extra_forbidden":
        known = [name for name in model.model_fields if (model, name) != (Site, "name")]
        return f"unknown key {quoted(key)}{place}", did_you_mean(key, known)
    if details["type"] == "rule":
        return f"{key}{place}: {details['ctx']['what']}", str(details["ctx"]["fix"])
    if value is None or value == {}:
        return f"{key}{place} is empty", f"write '{key}: {example}', or remove the key"
    choices = _choices(field.annotation) if field else ()
    if choices and isinstance(value, str):
        return f"{quoted(value)} is not a {key}{place}", did_you_mean(value, choices)
    if choices:
        return (
            f"{key}{place} must be one of {', '.join(choices)}, not {kind}",
            f"write '{key}: {example}'",
        )
    if details["type"] == "string_type":
        text = document.text(location)
        fix = f'put quotes around it: "{text}"' if text else "write a single value"
        return f"{key}{place} must be text, not {kind}", fix
    return f"{key}{place} must be a mapping, not {kind}", "write its keys below it, indented"


def _place(location: Location) -> str:
    """Which part of the file a key belongs to: `` of site aws-us-east-1``."""
    if location[0] == "sites" and len(location) > 2:
        part = f" in the {location[2]}" if len(location) > 3 else ""
        return f"{part} of site {location[1]}"
    return f" of {location[0]}" if len(location) > 1 else ""


def _model_of(location: Location) -> type[BaseModel]:
    """The model that the last key of a location belongs to."""
    if location[0] == "sites":
        by_depth: dict[int, type[BaseModel]] = {3: Site, 4: Catalog}
        return by_depth.get(len(location), Platform)
    by_key: dict[str, type[BaseModel]] = {"state": StateDatabase, "dagster": DagsterStorage}
    return by_key.get(str(location[0]), Platform) if len(location) > 1 else Platform


def _choices(annotation: object) -> tuple[str, ...]:
    """The words of a ``Literal``, also inside unions and ``Annotated``."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(word for part in get_args(annotation) for word in _choices(part))
