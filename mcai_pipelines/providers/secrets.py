"""Keeping secrets out of what people and logs get to see.

Libraries put request URLs, headers and bodies into their errors, and those may hold a signature
or a token. Every secret that a site resolves is remembered here, for as long as the process
lives, and never shown again; what only looks like one is taken out, too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qsl, quote, unquote, urlsplit

HIDDEN = "***"

_LEAST = 8
"""A shorter value is no secret, and taking it out would spoil the words around it."""

_PATTERNS = (
    (re.compile(r"(://[^/@:\s'\"]*:)[^/@\s'\"]+@(?=[\w.\[-])"), rf"\1{HIDDEN}@"),
    (re.compile(r"(https?://[^\s?'\"<>)]+\?)[^\s'\"<>)]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b(bearer +)[\w.:+/=~-]{6,}"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)\b((?:basic|sharedkey) +)[\w.:+/=~-]{16,}"), rf"\1{HIDDEN}"),
    (
        re.compile(
            r"(?i)((?:account_?key|shared_?access_?signature|signature|credential|client_secret"
            r"|secret_?access_?key|secret_?key|access_?key_?id|session_?token|security-token"
            r"|password|private_key|access_token|refresh_token|assertion|sig)"
            r"[\"']?\s*(?:=|:|>)\s*[\"']?)(?!\*\*\*)[^\s\"'<>,;&)]{6,}"
        ),
        rf"\1{HIDDEN}",
    ),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END|$)", re.DOTALL), HIDDEN),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{12,}\b"), HIDDEN),
)

_remembered: set[str] = set()


def remember(*values: str | None) -> None:
    """Never show these values again, as they are or as they look inside a URL or JSON."""
    for value in values:
        if value is not None and len(value) >= _LEAST:
            _remembered.update(
                {value, quote(value, safe=""), quote(value), json.dumps(value)[1:-1]}
            )


def remember_url(url: str | None) -> None:
    """Never show the password of a URL again."""
    if url is not None:
        password = urlsplit(url).password
        remember(password, unquote(password) if password else None)


def remember_sas(token: str) -> None:
    """Never show a shared access signature of Azure again."""
    remember(token, *(value for name, value in parse_qsl(token) if name == "sig"))


def remember_key_file(key: Mapping[str, object]) -> None:
    """Never show what is secret in a service account's key again."""
    for name in ("private_key", "private_key_id", "refresh_token", "client_secret"):
        value = key.get(name)
        remember(value if isinstance(value, str) else None)


def redact(text: str) -> str:
    """A text without secrets.

    >>> redact("GET https://lake.example.com/a?sig=abcdefgh failed")
    'GET https://lake.example.com/a?*** failed'
    """
    for value in sorted(_remembered, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def scrub(error: BaseException) -> None:
    """Take the secrets out of an error, and of all that it was raised from or during.

    An error whose text cannot be changed is cut off from those that lead to it.
    """
    for part in chain(error):
        for name, value in list(vars(part).items()):  # botocore keeps the request, headers and all
            if (shown := str(value)) != (clean := redact(shown)):
                setattr(part, name, clean)
        if (shown := str(part)) != redact(shown):
            part.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in part.args)
            if (shown := str(part)) != redact(shown):
                part.args = (redact(shown),)
        for link in ("__cause__", "__context__"):
            linked = getattr(part, link)
            if linked is not None:
                _scrub_or_cut(part, link, linked)


def _scrub_or_cut(part: BaseException, link: str, linked: BaseException) -> None:
    scrubbed = redact(str(linked))
    if str(linked) != scrubbed:
        linked.args = (scrubbed,)
        if redact(str(linked)) != str(linked):
            setattr(part, link, None)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error, and every error that it was raised from or during, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        part = waiting.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        waiting.extend((part.__cause__, part.__context__))


def texts(errors: Iterable[BaseException]) -> str:
    """All their texts, for a search."""
    return "\n".join(f"{type(error).__name__}: {error}" for error in errors)
