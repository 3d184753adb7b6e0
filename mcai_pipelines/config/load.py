"""Finding and loading the platform file."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from mcai_pipelines.config.env import EnvString
from mcai_pipelines.config.findings import shown_path
from mcai_pipelines.config.leaks import plain_secrets
from mcai_pipelines.config.places import project_root
from mcai_pipelines.config.platform import Platform
from mcai_pipelines.config.rules import platform_rules
from mcai_pipelines.config.validation import report
from mcai_pipelines.config.wording import closest, quoted
from mcai_pipelines.config.yaml_source import Document, Location, read_yaml
from mcai_pipelines.errors import BadInput, Problem


def platform_file(env: Mapping[str, str] = os.environ) -> Path:
    """The platform file in force.

    Args:
        env: ``MCAI_PLATFORM`` is a name (``platforms/NAME.yaml`` in the project root) or a path
            (it holds a ``/`` or ends in ``.yaml``). Default: ``local``.

    Raises:
        BadInput: When there is no such file; the fix names those that exist.
    """
    named = env.get("MCAI_PLATFORM") or "local"
    if "/" in named or named.endswith((".yaml", ".yml")):
        return Path(named).expanduser()
    folder = project_root() / "platforms"
    available = sorted(path.stem for path in folder.glob("*.yaml"))
    if named not in available:
        what = f"there is no platform {quoted(named)} in {shown_path(folder)}"
        near = closest(named, available)
        fix = f"use one of {', '.join(available)}" if available else "add platforms/local.yaml"
        fix = f"did you mean {near}? Otherwise {fix}" if near else fix
        raise BadInput.at("MCAI_PLATFORM", what, fix)
    return folder / f"{named}.yaml"


def load_platform(path: Path | None = None, env: Mapping[str, str] = os.environ) -> Platform:
    """Read and check a platform file. No variable is expanded, and none needs to be set.

    Args:
        path: The file; default: ``platform_file(env)``.
        env: Where ``MCAI_PLATFORM`` is looked up.

    Raises:
        BadInput: With every problem of the file, ordered by line.
    """
    file = Path(path) if path is not None else platform_file(env)
    document = read_yaml(file)
    platform = _validate(document, file.stem)
    for broken in (*platform_rules(document.data), *plain_secrets(document.data)):
        document.add(*broken)
    document.findings.raise_any()
    assert platform is not None  # a validation error left a finding
    return platform


def unresolved(platform: Platform, env: Mapping[str, str] = os.environ) -> list[Problem]:
    """What is wrong with a platform in this environment, for ``mcai check`` and ``mcai doctor``.

    Returns:
        By line: a problem for each reference whose variable is missing, and one for each rule
        that the resolved values break (a namespace with capitals, two sites whose storage turns
        out to be the same folder, …). Empty when all is well.
    """
    references = dict(_references(platform))
    problems = [problem for text in references.values() for problem in text.problems(env)]
    for location, what, fix in platform_rules(_resolved(platform, env)):
        problems.append(Problem(_where(references, location), what, fix))
    return sorted(problems, key=_line)


def _validate(document: Document, name: str) -> Platform | None:
    try:
        platform = Platform.model_validate({"name": name, **document.data})
    except ValidationError as error:
        report(error, document)
        return None
    located: Platform = _located(platform, document, ())
    return located


def _located(value: Any, document: Document, location: Location) -> Any:
    """The same model with ``where`` in every ``EnvString``."""
    if isinstance(value, EnvString):
        return EnvString(value.template, document.where(location))
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        parts = {key: _located(getattr(value, key), document, (*location, key)) for key in fields}
        return value.model_copy(update=parts)
    if isinstance(value, Mapping):
        return {key: _located(item, document, (*location, key)) for key, item in value.items()}
    return value


def _references(value: object, location: Location = ()) -> Iterator[tuple[Location, EnvString]]:
    if isinstance(value, EnvString):
        yield location, value
    elif isinstance(value, BaseModel):
        for key in type(value).model_fields:
            yield from _references(getattr(value, key), (*location, key))
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _references(item, (*location, key))


def _resolved(value: Any, env: Mapping[str, str]) -> Any:
    """A model as plain data with every reference expanded that can be."""
    if isinstance(value, EnvString):
        return value.template if value.missing(env) else value.resolve(env)
    if isinstance(value, BaseModel):
        return {key: _resolved(getattr(value, key), env) for key in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: _resolved(item, env) for key, item in value.items()}
    return value


def _where(references: Mapping[Location, EnvString], location: Location) -> str:
    found = references.get(location)
    return (found.where if found else None) or ".".join(str(step) for step in location)


def _line(problem: Problem) -> int:
    line = problem.where.rpartition(":")[2]
    return int(line) if line.isdigit() else 0
