"""AWS Glue as an Iceberg catalog, with the credentials of its site."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from mcai_pipelines.errors import BadInput, McaiError
from mcai_pipelines.providers import manners
from mcai_pipelines.providers.trust import trust_site

if TYPE_CHECKING:
    from pyiceberg.catalog import Catalog

    from mcai_pipelines.config import Site

_KEYS = {
    "access_key_id": "aws_access_key_id",
    "secret_access_key": "aws_secret_access_key",
    "session_token": "aws_session_token",
}


def open_glue_catalog(
    site: Site, uri: str | None, env: Mapping[str, str], file_io: Mapping[str, str]
) -> Catalog:
    """The Glue catalog of a site's account and region, one per process.

    Args:
        site: From the platform file.
        uri: Another endpoint than the region's own.
        env: Environment that the site's references are resolved from.
        file_io: Properties of the ``FileIO`` that its tables are read and written with.

    Raises:
        BadInput: The site's requests are not signed, and Glue wants them to be.
        McaiError: boto3 is not installed.
    """
    if site.credentials == "anonymous":
        raise BadInput.at(
            f"site {site.name}", "Glue refuses requests without credentials", "use a sql catalog"
        )
    keys: dict[str, str] = {}
    if isinstance(site.credentials, Mapping):
        keys = {_KEYS[name]: value.resolve(env) for name, value in site.credentials.items()}
    return _open(
        site.name,
        site.region,
        uri,
        tuple(keys.items()),
        trust_site(site, env),
        site.proxy.resolve(env) if site.proxy else None,
        tuple(file_io.items()),
    )


@cache
def _open(
    name: str,
    region: str,
    uri: str | None,
    keys: tuple[tuple[str, str], ...],
    ca_file: str | None,
    proxy: str | None,
    file_io: tuple[tuple[str, str], ...],
) -> Catalog:
    try:
        import boto3
        from botocore.config import Config
        from pyiceberg.catalog.glue import GlueCatalog
    except ModuleNotFoundError as error:
        raise McaiError(
            f"site {name}: the Glue catalog needs {error.name}; install mcai-pipelines[aws]"
        ) from error
    # At DEBUG, botocore logs requests with their session tokens.
    logging.getLogger("botocore").setLevel(logging.INFO)
    # A stale version that is answered with an error must not be tried again: the commit loop
    # reads the table anew instead. botocore repeats only what was throttled, lost or unavailable.
    config = Config(
        connect_timeout=manners.CONNECT_SECONDS,
        read_timeout=manners.REQUEST_SECONDS,
        retries={"total_max_attempts": manners.RETRIES + 1, "mode": "standard"},
        proxies={"http": proxy, "https": proxy} if proxy else None,
    )
    session: Any = boto3.Session(region_name=region, **dict(keys))
    client = session.client("glue", endpoint_url=uri, config=config, verify=ca_file)
    return GlueCatalog(name, client=client, **dict(file_io))
