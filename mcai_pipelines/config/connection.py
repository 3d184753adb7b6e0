"""What must hold for how a site's object store is reached: credentials, endpoint, proxy."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mcai_pipelines.config.findings import Broken
from mcai_pipelines.config.wording import did_you_mean

CREDENTIAL_KEYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "aws": (("access_key_id", "secret_access_key", "session_token"),),
    "s3": (("access_key_id", "secret_access_key", "session_token"),),
    "azure": (("account_key",), ("sas_token",), ("client_id", "client_secret", "tenant_id")),
    "gcp": (("service_account_file",), ("service_account_key",)),
    "local": (),
}
"""Provider → the sets of keys that authenticate; one set at a time, and the whole of it."""

OPTIONAL_KEYS = ("session_token",)
"""Keys that a set may lack."""

_HTTP = re.compile(r"https?://[^/\s]+")
_REFERENCE_FIRST = re.compile(r"\$\{\w+(?::-[^{}$]*)?\}")
_ABFSS = re.compile(r"abfss://[^/@]+@[^/@.]+\.(dfs|blob)\.core\.windows\.net(/|$)")


def connection_rules(site: Mapping[str, Any]) -> Iterator[Broken]:
    """Every broken rule of how one site is reached, locations relative to the site."""
    provider = site.get("provider")
    if not isinstance(provider, str) or provider not in CREDENTIAL_KEYS:
        return
    if provider == "local":
        yield from _nothing_to_connect_to(site)
        return
    for key in ("endpoint", "proxy"):
        yield from _http_url(site.get(key), key)
    yield from _account(site)
    yield from _needs_endpoint(site)
    credentials = site.get("credentials")
    if isinstance(credentials, Mapping):
        yield from _credentials(provider, list(map(str, credentials)))
    elif credentials == "workload-identity" and provider == "s3":
        yield Broken(
            ("credentials",),
            "the identity of a pod or machine is AWS's, and means nothing to another store",
            "write the store's access_key_id and secret_access_key",
        )


def _nothing_to_connect_to(site: Mapping[str, Any]) -> Iterator[Broken]:
    for key in ("credentials", "endpoint", "ca_file", "proxy"):
        if site.get(key) is not None:
            yield Broken(
                (key,),
                f"a site of the provider local is a folder, and takes no {key}",
                "remove this key, or name the provider",
            )


def _http_url(value: object, key: str) -> Iterator[Broken]:
    if not isinstance(value, str) or _REFERENCE_FIRST.match(value) or _HTTP.match(value):
        return
    yield Broken(
        (key,), f"the {key} must be a URL that starts with https:// or http://", "write https://…"
    )


def _account(site: Mapping[str, Any]) -> Iterator[Broken]:
    storage = site.get("storage")
    if site.get("provider") != "azure" or not isinstance(storage, str):
        return
    if storage.startswith("abfss://") and "$" not in storage and not _ABFSS.match(storage):
        yield Broken(
            ("storage",),
            "the storage names no container and account",
            "write abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/FOLDER",
        )


def _needs_endpoint(site: Mapping[str, Any]) -> Iterator[Broken]:
    storage = site.get("storage")
    if site.get("provider") != "s3" or site.get("endpoint") is not None:
        return
    if isinstance(storage, str) and storage.startswith("s3://"):
        yield Broken(
            (),
            "an S3-compatible store has no address of its own",
            "add 'endpoint: https://HOST', or write 'provider: aws' for Amazon's",
        )


def _credentials(provider: str, given: list[str]) -> Iterator[Broken]:
    sets = CREDENTIAL_KEYS[provider]
    known = [key for keys in sets for key in keys]
    for key in given:
        if key == "endpoint_url":
            fix = "write 'endpoint: …' below the site instead"
            yield Broken(("credentials", key), "an endpoint is no credential", fix)
        elif key not in known:
            what = f"{key!r} is no credential of the provider {provider}"
            yield Broken(("credentials", key), what, did_you_mean(key, known))
    mine = [key for key in given if key in known]
    chosen = [keys for keys in sets if any(key in keys for key in mine)]
    if len(chosen) > 1:
        ways = " or ".join(" + ".join(k for k in keys if k not in OPTIONAL_KEYS) for keys in sets)
        what = f"the credentials {', '.join(mine)} exclude one another"
        yield Broken(("credentials",), what, f"give {ways}")
    elif chosen:
        lacking = [k for k in chosen[0] if k not in (*given, *OPTIONAL_KEYS)]
        if lacking:
            what = f"the credentials lack {' and '.join(lacking)}"
            fix = "; ".join(f"add '{key}: ${{NAME}}'" for key in lacking)
            yield Broken(("credentials",), what, fix)
