"""Turning what the libraries raise into errors a user can act on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from mcai_pipelines.lakehouse.errors import LakeError
from mcai_pipelines.providers.secrets import chain, redact, scrub, texts

_LONGEST = 400
"""Characters of a cause; servers answer with whole pages."""

_ADVICE = (
    # Folders and SQLite.
    (r"No space left|disk is full", "the disk is full: free some space"),
    (r"Disk quota exceeded", "the quota is used up: free some space"),
    (r"Read-only file system", "the storage is read-only: choose another, or remount it"),
    (
        r"readonly database",
        "the storage is read-only: choose another, or change its permissions",
    ),
    (r"unable to open database file", "the catalog's folder cannot be written"),
    (r"Permission denied", "the storage may not be written: check its permissions"),
    (r"File name too long", "the key or a partition value is too long for a file name"),
    (
        r"File too large",
        "this process may not write a file so large: raise its limit (ulimit -f)",
    ),
    (r"disk I/O error", "the catalog's disk fails or is full"),
    (r"database is locked", "the catalog stayed locked: stop what holds it"),
    # Object stores, Glue and REST catalogs.
    (
        r"NoSuchBucket|ContainerNotFound|specified (bucket|container) does not exist",
        "the bucket does not exist: create it, or correct the site's storage",
    ),
    (
        r"PermanentRedirect|AuthorizationHeaderMalformed|IllegalLocationConstraint"
        r"|301 Moved|Received redirect|wrong region",
        "the bucket is in another region: correct the site's region",
    ),
    (
        r"token request|/latest/(?:api/token|meta-data)|NoCredential|169\.254\."
        r"|Unable to locate credentials|metadata\.google"
        r"|Unable to find valid credential|CredentialRetrievalError|no credential",
        "no credentials were found: give the site some, or run where it has an identity",
    ),
    (
        r"Expired|not valid in the specified time frame|TokenRefreshRequired",
        "the site's credentials have expired: renew them",
    ),
    (
        r"InvalidAccessKeyId|SignatureDoesNotMatch|AuthenticationFailed|failed to authenticate"
        r"|InvalidAuthenticationInfo|InvalidClientTokenId|UnrecognizedClient|InvalidSecurity"
        r"|\b401 [A-Z]|status: 401|Unauthori[sz]ed|OAuthError|InvalidToken",
        "the site's key is wrong, or this machine's clock: check both",
    ),
    (r"RequestTimeTooSkewed", "this machine's clock is wrong: set it"),
    (
        r"AccessDenied|AuthorizationPermissionMismatch|AuthorizationFailure"
        r"|InsufficientAccountPermissions|necessary privileges|not authorized|Forbidden"
        r"|\b403 [A-Z]",
        "the site's credentials do not permit it: grant them what docs/clouds.md lists",
    ),
    (
        r"SlowDown|TooManyRequests|Too Many Requests|Throttl|ServerBusy|\b(429|503) [A-Z]"
        r"|Rate exceeded|Service ?Unavailable",
        "the service is busy and asks for fewer requests: run again later",
    ),
    (r"\b50\d [A-Z]|InternalError", "the service failed: run again later"),
    (
        r"invalid peer certificate|UnknownIssuer|CERTIFICATE_VERIFY|InvalidCertificate",
        "its certificate is not trusted: name its issuer's in ca_file",
    ),
    (
        r"Connection refused|Could not connect to the endpoint",
        "nothing listens there: check the address, and that the service runs",
    ),
    (
        r"dns error|lookup address|Name or service not known|NameResolution|could not translate",
        "the host is not known: check its name and the network",
    ),
    (r"password authentication failed", "the catalog's user or password is wrong"),
    (
        r"timed out|reset by peer|connection closed|IncompleteMessage|response body"
        r"|server closed the connection|RemoteDisconnected|Broken pipe",
        "the connection was lost or is too slow: check the network, and run again",
    ),
    (
        r"No such file|not found|NotFound|NoSuchKey|BlobNotFound",
        "the file is gone: restore it, or roll back to a version without it",
    ),
)
_ADVICE_BY_SIGN = tuple((re.compile(sign, re.IGNORECASE), advice) for sign, advice in _ADVICE)

_LIBRARIES = ("pyiceberg.exceptions", "botocore", "requests", "urllib3")
"""Modules whose exceptions have no common base, or are not installed everywhere."""

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_REQUEST = re.compile(r"Error performing ([A-Z]+) (\S+) in ")
_STATUS = re.compile(r"\b([345]\d\d [A-Z][A-Za-z -]*[a-z])")
_CODE = re.compile(r"<Code>(.*?)</Code>|\"code\": *\"([^\"]+)\"", re.DOTALL)
_MESSAGE = re.compile(r"<Message>(.*?)(?:</Message>|$)|\"message\": *\"([^\"]+)\"", re.DOTALL)
_NETWORK = re.compile(
    r"Connection refused|Connection reset by peer|connection closed[^\n\")]*|operation timed out"
    r"|dns error|invalid peer certificate: ?\w*|error decoding response body|IncompleteMessage"
    r"|UnknownIssuer",
    re.IGNORECASE,
)


class StorageFailed(LakeError):
    """The storage or the catalog failed; what was committed before is as it was."""


@contextmanager
def as_storage_error(
    table: str, site: str | None = None, operation: str | None = None
) -> Iterator[None]:
    """Raise `StorageFailed` for a failure of the storage: table, site, operation and cause.

    No secret is left in the error, nor in those that it was raised from.

    Args:
        table: What the error names.
        site: The site whose storage it is.
        operation: What was tried: ``writing``.
    """
    try:
        yield
    except LakeError as error:
        scrub(error)
        raise
    except Exception as error:
        failed = _is_storage(error)
        where = f"{operation or 'working'} at site {site}: " if site else ""
        text = f"table {table}: {where}{_explain(error)}" if failed else ""
        scrub(error)
        if not failed:
            raise
        raise StorageFailed(text) from error


def explain(error: Exception) -> str:
    """What a failure of a storage or catalog was, and what to do, in one line without secrets."""
    return _explain(error)


def _is_storage(error: Exception) -> bool:
    import polars as pl
    from deltalake.exceptions import DeltaError
    from obstore.exceptions import BaseError
    from sqlalchemy.exc import SQLAlchemyError

    if isinstance(error, OSError | BaseError | DeltaError | SQLAlchemyError):
        return True
    if isinstance(error, pl.exceptions.ComputeError):
        text = str(error)
        return "os error" in text or "object-store" in text or _advice(text) is not None
    return any(kind.__module__.startswith(_LIBRARIES) for kind in type(error).__mro__)


def _advice(text: str) -> str | None:
    return next((advice for sign, advice in _ADVICE_BY_SIGN if sign.search(text)), None)


def _explain(error: Exception) -> str:
    text = _ANSI.sub("", str(getattr(error, "orig", None) or error)).strip()
    cause = _cause(text) or type(error).__name__
    advice = _advice(cause) or _advice(text) or _advice(texts(chain(error)))
    return f"{redact(cause)}; {advice or 'see the cause above, then run again'}"


def _cause(text: str) -> str:
    """One line that says what happened, from an error's whole text."""
    request = _REQUEST.search(text)
    if request is None:
        line = next((line for line in text.splitlines() if line.strip()), "")
        return _one_line(line)
    answer = text[request.end() :]
    doing = f"{request[1]} {request[2].partition('?')[0]}"
    status = _STATUS.search(answer.partition("Debug source")[0])
    if status is None:
        network = _NETWORK.search(answer)
        said = network[0] if network else answer.partition(" - ")[2].partition("\n")[0]
        return _one_line(f"{doing}: {said}")
    code, message = (_first(pattern.search(answer)) for pattern in (_CODE, _MESSAGE))
    details = ": ".join(part for part in (code, message.partition("\n")[0]) if part)
    return _one_line(f"{doing} was answered {status[1]}" + (f" ({details})" if details else ""))


def _first(match: re.Match[str] | None) -> str:
    return next((group for group in match.groups() if group), "").strip() if match else ""


def _one_line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
