"""Text that refers to environment variables and is expanded only where it is used.

Passwords and accounts come from the environment. A value that was expanded while a file was
loaded would show up in a repr, a log, a traceback or a ``model_dump``; one that was not, cannot.
"""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, PydanticKnownError, core_schema

from mcai_pipelines.config.places import home
from mcai_pipelines.errors import BadInput, Problem

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# An escaped dollar, a reference, or a dollar that is neither.
_TOKEN = re.compile(rf"\$\$|\$\{{(?P<name>{_NAME})(?::-(?P<default>[^{{}}$]*))?\}}|(?P<bad>\$)")


@dataclass(frozen=True, slots=True)
class EnvString:
    """A template such as ``s3://${BUCKET}/lake``, kept as written until it is resolved.

    ``${NAME}`` is the variable's value, ``${NAME:-default}`` its value or the default when it is
    unset or empty, ``$$`` a dollar. ``repr``, ``str``, ``model_dump`` and the JSON schema show
    the template only. It is not a ``str`` on purpose: an unexpanded template must not pass as a
    path or URL.

    Attributes:
        template: The text as written.
        where: ``file:line``, when it came from a file; not part of equality.

    Raises:
        ValueError: When a ``$`` starts neither ``${NAME}``, ``${NAME:-default}`` nor ``$$``.
    """

    template: str
    where: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what a shell would read otherwise than we do."""
        if any(token["bad"] for token in _TOKEN.finditer(self.template)):
            raise ValueError("a $ must start ${NAME}, ${NAME:-default} or $$ (a plain dollar)")

    def __str__(self) -> str:
        """The template, never the value."""
        return self.template

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables it refers to, in order, each once."""
        return tuple(dict.fromkeys(token["name"] for token in self._references()))

    def missing(self, env: Mapping[str, str] = os.environ) -> tuple[str, ...]:
        """Names of the variables that are unset or empty and have no default."""
        absent = [token["name"] for token in self._references() if _value(token, env) is None]
        return tuple(dict.fromkeys(absent))

    def resolve(self, env: Mapping[str, str] = os.environ) -> str:
        """The text with every reference expanded.

        Args:
            env: Where values come from. ``MCAI_HOME`` is always known: see ``home``.

        Raises:
            BadInput: Naming each variable that is missing, and the file and line when known.
        """
        if self.missing(env):
            raise BadInput(self.problems(env))
        return _TOKEN.sub(
            lambda token: "$" if not token["name"] else _value(token, env) or "", self.template
        )

    def problems(self, env: Mapping[str, str] = os.environ) -> list[Problem]:
        """One problem for each missing variable."""
        return [
            Problem(
                self.where or f"environment variable {name}",
                f"the environment variable {name} is not set, or is empty",
                f"set it (export {name}=…), or write a default: ${{{name}:-…}}",
            )
            for name in self.missing(env)
        ]

    def _references(self) -> Iterator[re.Match[str]]:
        return (token for token in _TOKEN.finditer(self.template) if token["name"])

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: type[Any], handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Accept text or an ``EnvString``; always serialize the template."""
        return core_schema.no_info_plain_validator_function(
            cls._validated, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A string, as far as a YAML editor is concerned."""
        return {"type": "string", "description": "text; ${NAME} and ${NAME:-default} are expanded"}

    @classmethod
    def _validated(cls, value: object) -> "EnvString":
        if isinstance(value, EnvString):
            return value
        if not isinstance(value, str):
            raise PydanticKnownError("string_type")
        try:
            return cls(value)
        except ValueError as error:
            fix = "write the name in braces, or double the dollar"
            raise PydanticCustomError("rule", "{what}", {"what": str(error), "fix": fix}) from None


def _value(token: re.Match[str], env: Mapping[str, str]) -> str | None:
    """What a reference stands for; None when it is missing."""
    name: str = token["name"]
    default: str | None = token["default"]
    return str(home(env)) if name == "MCAI_HOME" else env.get(name) or default
