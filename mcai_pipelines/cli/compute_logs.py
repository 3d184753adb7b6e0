"""Where Dagster keeps what steps print, when the platform says ``compute_logs: SITE``.

The cloud's own manager of dagster-aws, dagster-azure or dagster-gcp writes to the site's storage.
Each takes credentials in a way of its own, never as text that would lie in ``dagster.yaml``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mcai_pipelines.errors import BadInput

if TYPE_CHECKING:
    from mcai_pipelines.config import Platform, Site
    from mcai_pipelines.config.env import EnvString

FOLDER = "_compute_logs"
"""Below the site's storage root; a namespace's folder cannot have this name."""

_AWS_CHAIN = {
    "access_key_id": "AWS_ACCESS_KEY_ID",
    "secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
}


def compute_logs(platform: Platform, env: Mapping[str, str] = os.environ) -> dict[str, Any] | None:
    """The ``compute_logs`` section of a ``dagster.yaml``; None where Dagster's default serves.

    Args:
        platform: Its ``dagster.compute_logs`` names the site.
        env: What the site's storage URL and endpoint are resolved from.

    Raises:
        BadInput: The site's credentials cannot be handed to that manager.
    """
    if platform.dagster.compute_logs is None:
        return None
    site = platform.site(platform.dagster.compute_logs)
    url = urlsplit(site.storage.resolve(env))
    prefix = f"{url.path.strip('/')}/{FOLDER}".lstrip("/")
    if site.provider == "azure":
        return _azure(site, url.username or url.netloc, url.hostname or "", prefix)
    if site.provider == "gcp":
        return _gcp(site, url.netloc, prefix)
    return _s3(site, url.netloc, prefix, env)


def _s3(site: Site, bucket: str, prefix: str, env: Mapping[str, str]) -> dict[str, Any]:
    for name, reference in _keys(site).items():
        if _variable(reference) != _AWS_CHAIN.get(name):
            chain = ", ".join(f"${{{variable}}}" for variable in _AWS_CHAIN.values())
            raise _refused(
                site,
                reference,
                "Dagster's S3 log manager takes keys from the standard variables only",
                f"use ambient credentials, or refer to {chain}",
            )
    config: dict[str, Any] = {"bucket": bucket, "prefix": prefix, "region": site.region}
    if site.endpoint is not None:
        config["endpoint_url"] = site.endpoint.resolve(env)
    if site.ca_file is not None:
        config |= {"verify": True, "verify_cert_path": site.ca_file.resolve(env)}
    return _manager("dagster_aws.s3.compute_log_manager", "S3ComputeLogManager", config)


def _azure(site: Site, container: str, host: str, prefix: str) -> dict[str, Any]:
    if site.endpoint is not None:
        raise _refused(
            site,
            site.endpoint,
            "Dagster's Azure log manager reaches an account by its name only, not by an endpoint",
            "name another site in dagster.compute_logs",
        )
    account, _, suffix = host.partition(".")
    config: dict[str, Any] = {"storage_account": account, "container": container, "prefix": prefix}
    if suffix:
        config["endpoint_suffix"] = suffix.partition(".")[2]
    keys = {name: _reference(site, value) for name, value in _keys(site).items()}
    if not keys:
        config["default_azure_credential"] = {}
    elif "client_secret" in keys:
        config["secret_credential"] = keys
    else:
        config["access_key_or_sas_token"] = next(iter(keys.values()))
    return _manager("dagster_azure.blob.compute_log_manager", "AzureBlobComputeLogManager", config)


def _gcp(site: Site, bucket: str, prefix: str) -> dict[str, Any]:
    config: dict[str, Any] = {"bucket": bucket, "prefix": prefix}
    for name, value in _keys(site).items():
        if name == "service_account_key":
            config["json_credentials_envvar"] = _reference(site, value)["env"]
        elif _variable(value) != "GOOGLE_APPLICATION_CREDENTIALS":
            raise _refused(
                site,
                value,
                "Dagster's Google Cloud log manager finds a key file by one variable only",
                "refer to ${GOOGLE_APPLICATION_CREDENTIALS}, or use service_account_key",
            )
    return _manager("dagster_gcp.gcs.compute_log_manager", "GCSComputeLogManager", config)


def _manager(module: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
    from importlib.util import find_spec

    package = module.partition(".")[0]
    if find_spec(package) is None:
        extra = package.removeprefix("dagster_")
        raise BadInput.at(
            "dagster.compute_logs",
            f"{package.replace('_', '-')} is not installed",
            f"pip install 'mcai-pipelines[{extra}]'",
        )
    return {"module": module, "class": name, "config": config}


def _keys(site: Site) -> Mapping[str, EnvString]:
    return site.credentials if isinstance(site.credentials, Mapping) else {}


def _variable(value: EnvString) -> str | None:
    """The variable that a template consists of, and nothing else; None for any other."""
    (name, *others) = value.variables or ("",)
    return name if not others and value.template == f"${{{name}}}" else None


def _reference(site: Site, value: EnvString) -> dict[str, str]:
    name = _variable(value)
    if name is None:
        raise _refused(
            site,
            value,
            "Dagster takes a whole credential from one variable, and nothing else in it",
            "write the complete value into one variable: ${NAME}",
        )
    return {"env": name}


def _refused(site: Site, value: EnvString, what: str, fix: str) -> BadInput:
    return BadInput.at(value.where or f"site {site.name}", what, fix)
