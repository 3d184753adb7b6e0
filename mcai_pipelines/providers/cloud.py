"""What every object store shares: how to connect to it, told to three libraries at once.

obstore, Polars and delta-rs are all built on the Rust crate ``object_store``, and take the same
keys for the same things. A provider (`aws`, `azure`, `gcp`, `s3`) only maps its site to those
keys; here they become each library's options, with the same timeouts and retries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from mcai_pipelines.config import rules
from mcai_pipelines.errors import BadInput
from mcai_pipelines.providers import aws, azure, gcp, manners, s3, secrets
from mcai_pipelines.providers.catalogs import open_catalog
from mcai_pipelines.providers.file_io import properties_for
from mcai_pipelines.providers.storage import SiteStorage, TableStorage, check_root
from mcai_pipelines.providers.trust import trust_site

if TYPE_CHECKING:
    from obstore.store import ObjectStore
    from pyiceberg.catalog import Catalog

    from mcai_pipelines.config import Site


_NOT_SECRET = ("client_id", "tenant_id", "service_account_file")


class _Provider(Protocol):
    """What a provider's module offers."""

    SKIP_SIGNATURE: str
    ENDPOINT: str

    def options(
        self, site: Site, root: str, keys: Mapping[str, str], env: Mapping[str, str]
    ) -> dict[str, str]: ...


_PROVIDERS: dict[str, _Provider] = {"aws": aws, "azure": azure, "gcp": gcp, "s3": s3}


@dataclass(frozen=True)
class Connection:
    """How to reach a site's object store; equal where everything about it is.

    Attributes:
        site: The site's name.
        options: Keys of ``object_store`` for the provider.
        client: Those for its HTTP client.
    """

    site: str
    options: tuple[tuple[str, str], ...]
    client: tuple[tuple[str, str], ...]

    def __repr__(self) -> str:
        return f"Connection(site={self.site!r})"

    def polars(self) -> dict[str, Any]:
        """``storage_options`` for Polars."""
        return {
            **dict(self.options),
            **dict(self.client),
            "max_retries": manners.RETRIES,
            "retry_timeout_ms": manners.RETRY_SECONDS * 1000,
            "retry_init_backoff_ms": manners.FIRST_BACKOFF_MS,
            "retry_max_backoff_ms": manners.LONGEST_BACKOFF_MS,
        }

    def delta(self) -> dict[str, str]:
        """``storage_options`` for delta-rs."""
        return {
            **dict(self.options),
            **dict(self.client),
            "max_retries": str(manners.RETRIES),
            "retry_timeout": f"{manners.RETRY_SECONDS}s",
            "backoff_config.init_backoff": f"{manners.FIRST_BACKOFF_MS}ms",
            "backoff_config.max_backoff": f"{manners.LONGEST_BACKOFF_MS}ms",
        }

    def store(self, url: str) -> ObjectStore:
        """An object store whose paths are relative to a URL."""
        from obstore.store import from_url

        # from_url has one overload for each kind of store, and these are any of them.
        settings: dict[str, Any] = {
            "config": dict(self.options),
            "client_options": {
                name: value == "true" if name == "allow_http" else value
                for name, value in self.client
            },
            "retry_config": {
                "max_retries": manners.RETRIES,
                "retry_timeout": timedelta(seconds=manners.RETRY_SECONDS),
                "backoff": {
                    "init_backoff": timedelta(milliseconds=manners.FIRST_BACKOFF_MS),
                    "max_backoff": timedelta(milliseconds=manners.LONGEST_BACKOFF_MS),
                },
            },
        }
        return from_url(url, **settings)

    @cache  # noqa: B019 - a process has one connection for each site, for good
    def root_store(self, scheme_and_host: str) -> ObjectStore:
        """The object store of a whole bucket, opened once."""
        return self.store(scheme_and_host)


def open_cloud(site: Site, root: str, namespace: str, env: Mapping[str, str]) -> SiteStorage:
    """A site whose storage is an object store.

    Args:
        site: From the platform file.
        root: Resolved storage URL, without a trailing slash.
        namespace: First part of every table's path and catalog identifier.
        env: Environment that the site's references are resolved from.

    Raises:
        BadInput: A reference is missing, or does not fit the provider.
    """
    check_root(site.name, urlsplit(root).path, root)
    connection = connect(site, root, env)
    file_io = properties_for(connection)

    def catalog() -> Catalog:
        return open_catalog(site, env, file_io)

    def open_at(uri: str, identifier: tuple[str, ...]) -> TableStorage:
        return TableStorage(
            site=site.name,
            uri=uri,
            identifier=identifier,
            catalog=catalog,
            open_store=lambda: connection.store(uri),
            polars_options=connection.polars(),
            delta_options=connection.delta(),
            file_io=file_io,
        )

    return SiteStorage(site.name, namespace, f"{root}/{namespace}", open_at)


def connect(site: Site, root: str, env: Mapping[str, str]) -> Connection:
    """How to reach the object store of a site.

    Args:
        site: From the platform file.
        root: Resolved storage URL.
        env: Environment that the site's references are resolved from.

    Raises:
        BadInput: A reference is missing, or does not fit the provider.
    """
    scheme = urlsplit(root).scheme
    if scheme not in rules.STORAGE_SCHEMES[site.provider]:
        raise BadInput.at(
            site.storage.where or f"site {site.name}",
            f"a site of the provider {site.provider} cannot store its tables at {scheme}://",
            "name the provider of that object store, or a folder",
        )
    provider = _PROVIDERS[site.provider]
    keys = {}
    if isinstance(site.credentials, Mapping):
        keys = {name: reference.resolve(env) for name, reference in site.credentials.items()}
        _remember(keys)
    anonymous = site.credentials == "anonymous"
    options = {
        # Written down even where it is false: Polars then leaves the credentials to
        # object_store, as the others do, and does not look for some in Python.
        provider.SKIP_SIGNATURE: str(anonymous).lower(),
        **provider.options(site, root, keys, env),
    }
    endpoint = site.endpoint.resolve(env).rstrip("/") if site.endpoint else None
    if endpoint is not None:
        options[provider.ENDPOINT] = endpoint
    return Connection(
        site.name, tuple(options.items()), tuple(_client(site, endpoint, env).items())
    )


def _remember(keys: Mapping[str, str]) -> None:
    """Keep a site's keys out of everything that is shown."""
    for name, value in keys.items():
        if name == "sas_token":
            secrets.remember_sas(value)
        elif name not in _NOT_SECRET:
            secrets.remember(value)


def _client(site: Site, endpoint: str | None, env: Mapping[str, str]) -> dict[str, str]:
    client = {
        "connect_timeout": f"{manners.CONNECT_SECONDS}s",
        "timeout": f"{manners.REQUEST_SECONDS}s",
    }
    if endpoint is not None and endpoint.startswith("http://"):
        client["allow_http"] = "true"
    if site.proxy is not None:
        client["proxy_url"] = site.proxy.resolve(env)
        secrets.remember_url(client["proxy_url"])
    trust_site(site, env)
    return client
