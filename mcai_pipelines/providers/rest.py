"""Iceberg REST servers (Polaris, Lakekeeper, BigLake, …) as a site's catalog.

PyIceberg's client takes tokens and client secrets as properties, fetches them without the
site's certificates and proxy, and waits for ever. This one keeps them to itself, and sends every
request with a timeout and retries.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog.rest import RestCatalog
from pyiceberg.catalog.rest.auth import AuthManager, AuthManagerAdapter
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from mcai_pipelines.providers import manners

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

_MARGIN_SECONDS = 60
"""A token is renewed so long before it expires, or after half its life where that is shorter."""

# Never a POST that may have arrived: a commit must not be made twice unseen. Its own loop asks
# the table first.
_RETRY = Retry(
    total=manners.RETRIES,
    backoff_factor=manners.FIRST_BACKOFF_MS / 1000,
    backoff_jitter=manners.FIRST_BACKOFF_MS / 1000,
    backoff_max=manners.LONGEST_BACKOFF_MS / 1000,
    status_forcelist=(429, 500, 502, 503, 504),
    allowed_methods=("GET", "HEAD", "DELETE"),
    raise_on_status=False,
)


@dataclass(frozen=True, repr=False)
class RestConnection:
    """How to reach a REST server.

    Attributes:
        uri: Its base URL.
        warehouse: Which of its catalogs.
        token: A bearer token.
        credential: ``CLIENT_ID:CLIENT_SECRET`` for the OAuth 2.0 client credentials flow.
        ca_file: PEM file of certificates to trust.
        proxy: URL of the HTTP proxy.
    """

    uri: str
    warehouse: str | None = None
    token: str | None = None
    credential: str | None = None
    ca_file: str | None = None
    proxy: str | None = None

    def __repr__(self) -> str:
        return f"RestConnection(uri={self.uri!r}, warehouse={self.warehouse!r})"

    def session(self) -> Session:
        """An HTTP session to the server, without credentials."""
        session = Session()
        self.prepare(session)
        return session

    def prepare(self, session: Session) -> None:
        """Give a session timeouts, retries, certificates and proxy."""
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Adapter(max_retries=_RETRY))
        if self.ca_file is not None:
            session.verify = self.ca_file
        if self.proxy is not None:
            session.proxies = {"http": self.proxy, "https": self.proxy}

    def auth(self) -> AuthManager | None:
        """Who signs the requests; None where nobody need."""
        if self.token is not None:
            return _Bearer(self.token)
        return _ClientCredentials(self, self.credential) if self.credential else None


@cache
def open_rest_catalog(
    name: str, connection: RestConnection, file_io: tuple[tuple[str, str], ...]
) -> Catalog:
    """The catalog of a site on a REST server, one per process.

    Args:
        name: The catalog's name: the site's.
        connection: How to reach the server.
        file_io: Properties of the ``FileIO`` that its tables are read and written with.
    """
    properties: dict[str, Any] = {"uri": connection.uri, **dict(file_io)}
    if connection.warehouse is not None:
        properties["warehouse"] = connection.warehouse
    return _SiteRestCatalog(name, connection, properties)


class _SiteRestCatalog(RestCatalog):
    """PyIceberg's client with the site's own session; `_create_session` is its one way in."""

    def __init__(self, name: str, connection: RestConnection, properties: dict[str, str]) -> None:
        self._connection = connection
        self._signer = connection.auth()
        super().__init__(name, **properties)

    def _create_session(self) -> Session:
        session = super()._create_session()
        self._connection.prepare(session)
        if self._signer is not None:
            self._auth_manager = self._signer
            session.auth = AuthManagerAdapter(self._signer)
        return session

    def _load_file_io(self, properties: Any = None, location: str | None = None) -> Any:
        # What the server vends (keys, tokens, another FileIO) stays out: the site's own serve.
        from pyiceberg.io import load_file_io

        return load_file_io(self._file_io_properties(), location)

    def _file_io_properties(self) -> dict[str, str]:
        return {k: v for k, v in self.properties.items() if k in ("py-io-impl", "mcai.connection")}


class _Adapter(HTTPAdapter):
    """Requests with a time limit, which requests itself does not set."""

    def send(self, request: PreparedRequest, *args: Any, **kwargs: Any) -> Response:
        kwargs["timeout"] = kwargs.get("timeout") or (
            manners.CONNECT_SECONDS,
            manners.REQUEST_SECONDS,
        )
        return super().send(request, *args, **kwargs)


class _Bearer(AuthManager):
    def __init__(self, token: str) -> None:
        self._token = token

    def auth_header(self) -> str:
        return f"Bearer {self._token}"


class _ClientCredentials(AuthManager):
    """Tokens of the client credentials flow, renewed before they expire.

    Asked for as the Iceberg REST specification has it, with the keys in the form.
    """

    def __init__(self, connection: RestConnection, credential: str) -> None:
        self._connection = connection
        client, colon, secret = credential.partition(":")
        self._keys = (
            {"client_id": client, "client_secret": secret} if colon else {"client_secret": client}
        )
        self._lock = threading.Lock()
        self._token = ""
        self._renew_at = 0.0

    def auth_header(self) -> str:
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew()
            return f"Bearer {self._token}"

    def _renew(self) -> None:
        url = f"{self._connection.uri.rstrip('/')}/v1/oauth/tokens"
        asked = {"grant_type": "client_credentials", "scope": "catalog", **self._keys}
        with self._connection.session() as session:
            answer = session.post(url, data=asked)
        answer.raise_for_status()
        granted = answer.json()
        life = float(granted.get("expires_in") or 3600)
        self._token = str(granted["access_token"])
        self._renew_at = time.monotonic() + max(life - _MARGIN_SECONDS, life / 2)
