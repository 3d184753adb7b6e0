"""What a network and a service do to a client: the faults that the proxy injects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong with one request."""


@dataclass(frozen=True)
class Reset(Fault):
    """The connection is reset before the server sees the request."""


@dataclass(frozen=True)
class Outage(Fault):
    """The server goes down as this request arrives: from here on, connections are refused."""


@dataclass(frozen=True)
class ResetRequest(Fault):
    """The connection is reset while the request's body is under way; the server sees a part.

    Attributes:
        after: How many bytes of the body arrive.
    """

    after: int = 0


@dataclass(frozen=True)
class ResetResponse(Fault):
    """The server acts and answers; the connection is reset while its answer is under way.

    Attributes:
        after: How many bytes of the answer's body arrive.
    """

    after: int = 0


@dataclass(frozen=True)
class LoseAnswer(Fault):
    """The server acts; the connection is reset before the client sees a byte of the answer."""


@dataclass(frozen=True)
class Slow(Fault):
    """The answer comes late, or in a trickle.

    Attributes:
        delay: Seconds before its first byte.
        rate: Bytes per second of its body; None for as fast as it goes.
    """

    delay: float = 0.0
    rate: int | None = None


@dataclass(frozen=True)
class Answer(Fault):
    """Somebody between client and server answers; the server does not see the request.

    Attributes:
        status: HTTP status.
        body: Text.
        headers: Such as ``Retry-After``.
    """

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def internal_error() -> Answer:
    """500, as S3 and its likes word it."""
    return _error(500, "InternalError", "We encountered an internal error. Please try again.")


def unavailable(retry_after: int = 1) -> Answer:
    """503 with the number of seconds to wait."""
    return _error(503, "SlowDown", "Please reduce your request rate.", retry_after)


def too_many_requests(retry_after: int | None = None) -> Answer:
    """429."""
    return _error(429, "TooManyRequests", "The rate of requests is too high.", retry_after)


def expired_token(status: int = 403) -> Answer:
    """Credentials that have expired meanwhile."""
    return _error(status, "ExpiredToken", "The provided token has expired.")


def access_denied() -> Answer:
    """Credentials without the permission."""
    return _error(403, "AccessDenied", "Access Denied")


def _error(status: int, code: str, message: str, retry_after: int | None = None) -> Answer:
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
    # Azure's clients read the code in the header, the others' in the body.
    headers = {"Content-Type": "application/xml", "x-ms-error-code": code}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    return Answer(status, body, headers)
