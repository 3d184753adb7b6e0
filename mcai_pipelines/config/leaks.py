"""Secrets that were written into a file instead of being referred to."""

import re
from collections.abc import Iterator, Mapping

from mcai_pipelines.config.findings import Broken
from mcai_pipelines.config.yaml_source import Location

_PASSWORD_IN_URL = re.compile(r"://[^/@\s:]*:(?!\$\{)[^/@\s]+@")
_REFERENCE = re.compile(r"\$\{\w+(?::-([^{}$]*))?\}")
_SECRET_NAME = re.compile(
    r"secret|password|token|account_key|connection_string|credential$", re.IGNORECASE
)
_ADDRESSES = ("_file", "_path", "_url")


def plain_secrets(value: object, location: Location = ()) -> Iterator[Broken]:
    """Passwords in URLs anywhere in a file, and secrets by name in credentials and catalogs.

    Args:
        value: Data as parsed, before any variable is expanded.
        location: Where it is in the document.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from plain_secrets(item, (*location, str(key)))
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield from plain_secrets(item, (*location, at))
    elif isinstance(value, str) and _PASSWORD_IN_URL.search(_REFERENCE.sub(_shortened, value)):
        fix = "put the URL, or the password, in an environment variable and write ${NAME}"
        yield Broken(location, "the URL holds a password in plain text", fix)
    elif isinstance(value, str) and "${" not in value and _is_secret(location):
        what = f"{location[-2]}.{location[-1]} holds a secret in plain text"
        fix = f"put it in an environment variable and write '{location[-1]}: ${{NAME}}'"
        yield Broken(location, what, fix)


def _is_secret(location: Location) -> bool:
    name = str(location[-1])
    below = "credentials" in location[:-1] or location[-2:-1] == ("catalog",)
    return below and bool(_SECRET_NAME.search(name)) and not name.endswith(_ADDRESSES)


def _shortened(reference: re.Match[str]) -> str:
    """A reference without its name; a default that is itself a URL stays to be looked at."""
    default = reference[1] or ""
    return default if "://" in default else "${}"
